#!/bin/sh
# Boots systemd in namespaces; tests/support/systemd_machine.py says what for.
#
#   systemd_machine.sh start FOLDER CGROUP CLONE PYTHON PACKAGES   in a mount namespace of its own
#   systemd_machine.sh remove FOLDER CGROUP                        the empty control groups that it leaves
#
# It ends with 77 where the host does not permit that.
set -eu

permitted() {
    "$@" || { echo "not permitted here: $*" >&2; exit 77; }
}

apart="unshare --fork --kill-child --mount --pid --ipc --uts --net --cgroup"
step=$1 folder=$2
shift 2
case $step in
start) # A control group of its own, which is the root of those that systemd sees.
    permitted $apart true
    permitted mount -t cgroup2 cgroup2 "$folder"
    permitted mkdir "$folder/$1"
    echo $$ >"$folder/$1/cgroup.procs"
    umount "$folder"
    shift
    exec $apart sh "$0" boot "$folder" "$@"
    ;;
remove)
    mount -t cgroup2 cgroup2 "$folder"
    find "$folder/$1" -depth -type d -exec rmdir {} \;
    exit
    ;;
esac

clone=$1 python=$2 packages=$3 root=$folder/root
permitted mount -t tmpfs machine "$folder"
mkdir "$folder/changes" "$folder/work" "$root"
permitted mount -t overlay machine -o "lowerdir=/,upperdir=$folder/changes,workdir=$folder/work" "$root"
cd "$root"

# What belongs to the kernel, and so to the host as well, can only be read.
permitted mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
permitted mount -t sysfs -o ro sysfs sys
permitted mount -t cgroup2 cgroup2 sys/fs/cgroup
for place in dev run tmp opt; do
    mount -t tmpfs -o mode=755 machine $place
done
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    permitted mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"
done
mkdir dev/pts dev/shm
chmod 1777 dev/shm tmp
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx

# A system just installed: no units but those of packages, no disks, no relay.
rm -rf etc/systemd/system etc/relayd usr/local/bin/relayd
mkdir etc/systemd/system
: >etc/fstab
echo 00000000000000000000000000000001 >etc/machine-id

# relayd, as if pip had installed it. The unit hides /home, /root and /tmp, where the tests may run.
mkdir -p opt/relayd/bin opt/code/relayd opt/code/systemd opt/python opt/packages root/relayd
mount --bind "$clone" root/relayd
mount --bind "$clone/relayd" opt/code/relayd
mount --bind "$clone/systemd" opt/code/systemd
mount --bind "$python" opt/python
mount --bind "$packages" opt/packages
cat >opt/relayd/bin/relayd <<'END'
#!/bin/sh
LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/code:/opt/packages exec /opt/python/bin/python3 -m relayd "$@"
END
chmod 755 opt/relayd/bin/relayd

mkdir host
pivot_root . host
umount -l host
# Nor may it do what the kernel does for the whole host: modules, clocks, auditing.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=relayd-test \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-sys_boot,-syslog,-audit_control,-audit_read \
    /lib/systemd/systemd --system --unit=basic.target

# What the commands of this folder share. Sourced, never run.

# say WORDS: what happens next, apart from what programs print.
say() { printf '\n== %s\n' "$*" >&2; }

# source_of FOLDER: the files of the commit, with its id in them (relayd/commit.txt), as they are in an archive.
source_of() {
  mkdir -p "$1"
  git archive --format=tar HEAD | tar -x -C "$1"
  git diff --quiet HEAD -- || echo "note: changes that are not committed are left out" >&2
}

# commit_time: when the commit was made, in seconds: the time that all built files get.
commit_time() { git log -1 --format=%ct; }

# build_tools FOLDER: a Python with what builds relayd. That is the active environment if it has it, and else
# a new one in FOLDER, with the versions and hashes of requirements.lock. Prints its path.
build_tools() {
  local wanted
  wanted=$(sed -n 's/^hatchling==\([^ ]*\).*/\1/p' requirements.lock)
  if [ -n "${VIRTUAL_ENV:-}" ] && "$VIRTUAL_ENV/bin/hatchling" --version 2>/dev/null | grep -qw "$wanted"; then
    echo "$VIRTUAL_ENV/bin/python"
  else
    python3 -m venv "$1" && "$1/bin/pip" install --quiet --require-hashes -r requirements.lock
    echo "$1/bin/python"
  fi
}

# environment SOURCE TOOLS FOLDER: a virtual environment with what packaging/requirements.lock has, by their
# hashes, and relayd. No pip is in it, and nothing that builds. PYTHON3 names the Python, if it is not the first one.
environment() {
  local python
  python=$(cd "$1" && build_tools "$2")
  (cd "$1" && "$python" -m hatchling build -t wheel -d "$3.wheel" >/dev/null 2>&1)
  "${PYTHON3:-python3}" -m venv --without-pip "$3"
  rm -f "$3/.gitignore" # of Python 3.13
  local install=("$python" -m pip --python "$3/bin/python" install --quiet --no-compile --no-deps)
  "${install[@]}" --only-binary :all: --require-hashes -r "$1/packaging/requirements.lock"
  "${install[@]}" --no-index "$3.wheel"/*.whl
  rm -r "$3.wheel"
}

# fresh_root SUITE FOLDER: a new minimal system, with Python and the certificates of Debian. It is made once and kept as an
# archive in FRESH_ROOTS (default: ~/.cache/relayd-roots). Ends with 77 and a reason where it cannot be made.
fresh_root() {
  local suite=$1 cache=${FRESH_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/relayd-roots} mirror keyring components=main
  case $suite in
    bookworm | trixie | forky | sid) mirror=http://deb.debian.org/debian keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
    noble) mirror=http://archive.ubuntu.com/ubuntu keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg components=main,universe ;;
    *) echo "skipped: no such suite is known here: $suite" >&2 && return 77 ;;
  esac
  if [ ! -e "$cache/$suite.tar" ]; then
    [ "$(id -u)" = 0 ] || { echo "skipped: only root can make the system of $suite" >&2 && return 77; }
    command -v debootstrap >/dev/null || { echo "skipped: debootstrap is not installed" >&2 && return 77; }
    if [ ! -e "$keyring" ]; then
      # Debian 13 has Ubuntu's keys as a package, signed by Debian.
      echo "the keys of $suite are taken from the package ubuntu-keyring of trixie" >&2
      mkdir -p "$cache" && fresh_root trixie "$2.keys" || return 77
      in_root "$2.keys" sh -ec 'apt-get update -qq; cd /tmp; apt-get download -qq ubuntu-keyring; dpkg-deb -x ubuntu-keyring_*.deb keys' >&2 \
        && cp "$2.keys/tmp/keys$keyring" "$cache/" || { echo "skipped: no keys of $suite" >&2 && return 77; }
      rm -rf "$2.keys"
      keyring=$cache/${keyring##*/}
    fi
    local script=
    [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=/usr/share/debootstrap/scripts/sid
    [ "$suite" != noble ] || [ -z "$script" ] || script=/usr/share/debootstrap/scripts/gutsy
    echo "the system of $suite is made, once" >&2
    # shellcheck disable=SC2086 -- the script may be missing
    if ! debootstrap --variant=minbase --components=$components --include=python3,python3-venv,ca-certificates \
      --keyring="$keyring" "$suite" "$2.new" "$mirror" $script >"$2.log" 2>&1; then
      tail -n 3 "$2.log" >&2
      rm -rf "$2.new"
      echo "skipped: the system of $suite cannot be made here" >&2
      return 77
    fi
    rm -rf "$2.new"/var/cache/apt/archives/*.deb
    mkdir -p "$cache"
    tar --numeric-owner -C "$2.new" -cf "$cache/$suite.tar.new" . && mv "$cache/$suite.tar.new" "$cache/$suite.tar"
    rm -rf "$2.new"
  fi
  mkdir -p "$2"
  tar --numeric-owner -C "$2" -xf "$cache/$suite.tar"
  # How this host gets out, that system does too.
  for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e "$file" ] || cp -L --remove-destination "$file" "$2$file"
  done
}

# in_root FOLDER COMMAND…: run it there, with processes and mounts of its own, and of the environment only how to get out.
in_root() {
  local root=$1 name
  shift
  local keep=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
  for name in PIP_INDEX_URL PIP_CERT http_proxy https_proxy no_proxy CI; do
    [ -z "${!name:-}" ] || keep+=("$name=${!name}")
  done
  # shellcheck disable=SC2016 -- that shell expands it
  unshare --mount --pid --fork --kill-child sh -ec '
    mount -t proc proc "$0/proc"
    mkdir -p "$0/dev/shm" && mount -t tmpfs shm "$0/dev/shm"
    root=$0
    exec chroot "$root" "$@"' "$root" env -i "${keep[@]}" "$@"
}

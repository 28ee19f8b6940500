/* Records what a process changes below one folder, in the order in which it happens, and what it syncs; has calls fail,
 * kills processes at named points, and sets their clocks.
 *
 * Loaded before the C library (LD_PRELOAD). PROOF_FOLDER is the folder, PROOF_LOG the record, PROOF_LOCK a file
 * whose mutex all processes share: a change and its record are one step. A sync has two records, its begin and its
 * end, since others go on meanwhile: what is durable is what was written before it began.
 *
 * Behind the mutex is what the test reads, and sets at any time: `struct shared`.
 *
 * Faults: `fault_at` is the number of the call that has one (0: none), `fault_error` its kind, an error's number, or 0 when the
 * process dies by SIGKILL before the call.
 *
 * Points: `target` (0: who gets there; else a process, or minus a group) is killed when a process has passed the steps in
 * their order, the last one `left` times. A step is an operation and what it has to be about: a pattern of the path below the
 * folder, or octets that go out or come in on a socket, or nothing for any. Small letters stand for before the operation, capitals for after it:
 * w a write to a file, s a sync, o an opening, n a new name, u a removal, t what a socket sends, r what it receives; q what a
 * socket sends to PostgreSQL, a its answers.
 *
 * Clocks: `real`, `boot` and `monotonic` are nanoseconds that those clocks are off. A sync takes PROOF_SYNC microseconds longer than it does by itself, as on a disk: folders in memory are quick.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct step {
  uint64_t operation;
  char about[120];
};

struct shared {
  pthread_mutex_t mutex;
  uint64_t syncs, calls, fault_at, fault_error;
  int64_t real, boot, monotonic;
  int64_t target;
  uint64_t steps, passed, by, left, killed; /* `by`: who passed the first step; `killed`: who passed the last */
  struct step step[3];
};

struct head {
  uint32_t length; /* of all that follows this head */
  uint32_t kind;
  uint64_t inode, a, b;
  uint32_t first, second; /* lengths: a path and another path, or data */
};

static char folder[PATH_MAX];
static size_t folder_length;
static int record = -1;
static struct shared *all;
static useconds_t sync_takes;

#define SOCKETS "tTrRqQaA"
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Begin where the environment says so: from the start, or after a fork of who was not looked at. */
__attribute__((constructor)) static void begin(void) {
  if (all) return;
  const char *under = getenv("PROOF_FOLDER"), *log = getenv("PROOF_LOG"), *lock = getenv("PROOF_LOCK");
  if (!under || !lock || strlen(under) >= sizeof folder) return;
  int fd = syscall(SYS_openat, AT_FDCWD, lock, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  struct shared *found = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (found == MAP_FAILED) return;
  strcpy(folder, under);
  folder_length = strlen(folder);
  if (log) {
    fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    record = fcntl(fd, F_DUPFD_CLOEXEC, 700); /* out of the way of who counts descriptors */
    syscall(SYS_close, fd);
  }
  const char *takes = getenv("PROOF_SYNC");
  sync_takes = takes ? atoi(takes) : 0;
  all = found;
}

static void lock_all(void) {
  if (pthread_mutex_lock(&all->mutex) == EOWNERDEAD) pthread_mutex_consistent(&all->mutex);
}
static void unlock_all(void) { pthread_mutex_unlock(&all->mutex); }

static int is_under(const char *path) {
  return !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

/* Put the path of a descriptor into `path` if it is below the folder. */
static int path_of(int fd, char *path) {
  char name[64];
  begin();
  if (!all) return 0;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, PATH_MAX - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return is_under(path);
}

static int path_at(int at, const char *name, char *path) {
  begin();
  if (!all || !name) return 0;
  if (name[0] == '/') snprintf(path, PATH_MAX, "%s", name);
  else {
    char base[PATH_MAX];
    if (at == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
    else {
      char link[64];
      snprintf(link, sizeof link, "/proc/self/fd/%d", at);
      ssize_t length = readlink(link, base, sizeof base - 1);
      if (length <= 0) return 0;
      base[length] = 0;
    }
    if (strlen(base) + strlen(name) + 2 > PATH_MAX) return 0;
    strcpy(path, base);
    strcat(path, "/");
    strcat(path, name);
  }
  return is_under(path);
}

/* Points */

static int is_about(const struct step *step, const char *what, size_t length) {
  if (strchr(SOCKETS, step->operation)) return !step->about[0] || memmem(what, length, step->about, strlen(step->about));
  return !fnmatch(step->about, what + folder_length + (what[folder_length] == '/'), 0);
}

/* Tell that an operation begins, or is done; kill the target if that was the point. Without the lock held. */
static void at(char operation, const char *what, size_t length) {
  if (!all || __atomic_load_n(&all->passed, __ATOMIC_ACQUIRE) >= __atomic_load_n(&all->steps, __ATOMIC_ACQUIRE)) return;
  int error = errno;
  lock_all();
  const struct step *step = &all->step[all->passed];
  if (all->passed < all->steps && step->operation == (uint64_t)operation && (!all->passed || all->by == (uint64_t)getpid()) &&
      is_about(step, what, length)) {
    if (all->passed + 1 < all->steps) {
      all->by = getpid();
      all->passed++;
    } else if (!--all->left) {
      all->passed++;
      all->killed = getpid();
      syscall(SYS_kill, all->target ? all->target : getpid(), SIGKILL);
    }
  }
  unlock_all();
  errno = error;
}

/* Tell whether a step that is waited for is about sockets: else nobody looks at what they carry. */
static int is_socket_watched(void) {
  if (!all) return 0;
  uint64_t passed = __atomic_load_n(&all->passed, __ATOMIC_ACQUIRE);
  return passed < __atomic_load_n(&all->steps, __ATOMIC_ACQUIRE) && strchr(SOCKETS, all->step[passed].operation);
}

static int is_socket(int fd) {
  struct stat found;
  return !fstat(fd, &found) && S_ISSOCK(found.st_mode);
}

/* Tell whether PostgreSQL is at the other end: its sockets have a name. */
static int is_database(int fd) {
  struct sockaddr_un peer = {0};
  socklen_t length = sizeof peer - 1;
  return !getpeername(fd, (struct sockaddr *)&peer, &length) && peer.sun_family == AF_UNIX && strstr(peer.sun_path, ".s.PGSQL.");
}

static void at_parts(char operation, const struct iovec *parts, int count, size_t length) {
  char seen[65536];
  size_t used = 0;
  for (int each = 0; each < count && used < length && used < sizeof seen; each++) {
    size_t more = parts[each].iov_len;
    if (more > length - used) more = length - used;
    if (more > sizeof seen - used) more = sizeof seen - used;
    memcpy(seen + used, parts[each].iov_base, more);
    used += more;
  }
  at(operation, seen, used);
}

static size_t length_of(const struct iovec *parts, int count) {
  size_t length = 0;
  while (count--) length += parts++->iov_len;
  return length;
}

static uint64_t inode_of(int fd) {
  struct stat found;
  return fstat(fd, &found) ? 0 : found.st_ino;
}

static void note(char kind, uint64_t inode, uint64_t a, uint64_t b, const void *first, size_t first_length,
                 const void *second, size_t second_length) {
  if (record < 0) return;
  struct head head = {first_length + second_length, kind, inode, a, b, first_length, second_length};
  struct iovec parts[] = {
      {&head, sizeof head}, {(void *)first, first_length}, {(void *)second, second_length}};
  syscall(SYS_writev, record, parts, 3);
}

static void note_path(char kind, uint64_t inode, const char *path) {
  note(kind, inode, 0, 0, path, strlen(path), NULL, 0);
}

/* Tell whether this call fails; with the lock held. */
static int fails(void) {
  if (++all->calls != all->fault_at) return 0;
  if (!all->fault_error) syscall(SYS_kill, getpid(), SIGKILL);
  errno = all->fault_error;
  return 1;
}

/* Descriptors that are written */

static void note_written(int fd, off_t offset, const void *data, size_t length) {
  note('W', inode_of(fd), offset, length, NULL, 0, data, length);
}

/* Note what was written by reading it again: the call did not have it in one piece. */
static void note_range(int fd, off_t offset, size_t length) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int again = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  char *data = malloc(length);
  ssize_t got = again < 0 || !data ? -1 : syscall(SYS_pread64, again, data, length, offset);
  if (got > 0) note_written(fd, offset, data, got);
  free(data);
  if (again >= 0) syscall(SYS_close, again);
}

#define WRITING(call, ...)                                                       \
  char path[PATH_MAX];                                                           \
  if (!path_of(fd, path)) return call;                                           \
  at('w', path, 0);                                                              \
  lock_all();                                                                    \
  ssize_t done = fails() ? -1 : call;                                            \
  int error = errno;                                                             \
  if (done > 0) { __VA_ARGS__; }                                                 \
  unlock_all();                                                                  \
  at('W', path, 0);                                                              \
  errno = error;                                                                 \
  return done;

ssize_t write(int fd, const void *data, size_t length) {
  static __typeof__(&write) real;
  if (!real) real = REAL(write);
  if (is_socket_watched() && is_socket(fd)) {
    int asks = is_database(fd);
    at(asks ? 'q' : 't', data, length);
    ssize_t done = real(fd, data, length);
    if (done > 0) at(asks ? 'Q' : 'T', data, done);
    return done;
  }
  WRITING(real(fd, data, length), note_written(fd, lseek(fd, 0, SEEK_CUR) - done, data, done))
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  static __typeof__(&writev) real;
  if (!real) real = REAL(writev);
  if (is_socket_watched() && is_socket(fd)) {
    int asks = is_database(fd);
    at_parts(asks ? 'q' : 't', parts, count, length_of(parts, count));
    ssize_t done = real(fd, parts, count);
    if (done > 0) at_parts(asks ? 'Q' : 'T', parts, count, done);
    return done;
  }
  WRITING(real(fd, parts, count), note_range(fd, lseek(fd, 0, SEEK_CUR) - done, done))
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  static __typeof__(&pwrite64) real;
  if (!real) real = REAL(pwrite64);
  WRITING(real(fd, data, length, offset), note_written(fd, offset, data, done))
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
  static ssize_t (*real)(int, const struct iovec *, int, off64_t, int);
  if (!real) real = dlsym(RTLD_NEXT, "pwritev64v2");
  WRITING(real(fd, parts, count, offset, flags),
          note_range(fd, offset < 0 ? lseek(fd, 0, SEEK_CUR) - done : offset, done))
}
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
  return pwritev64v2(fd, parts, count, offset, flags);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  static __typeof__(&pwritev64) real;
  if (!real) real = REAL(pwritev64);
  WRITING(real(fd, parts, count, offset), note_range(fd, offset, done))
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  return pwritev64(fd, parts, count, offset);
}
ssize_t sendfile64(int fd, int from, off64_t *where, size_t length) {
  static ssize_t (*real)(int, int, off64_t *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "sendfile64");
  WRITING(real(fd, from, where, length), note_range(fd, lseek(fd, 0, SEEK_CUR) - done, done))
}
ssize_t sendfile(int fd, int from, off_t *where, size_t length) { return sendfile64(fd, from, where, length); }
ssize_t copy_file_range(int from, off64_t *from_at, int fd, off64_t *where, size_t length, unsigned flags) {
  static __typeof__(&copy_file_range) real;
  if (!real) real = REAL(copy_file_range);
  WRITING(real(from, from_at, fd, where, length, flags),
          note_range(fd, (where ? *where : lseek(fd, 0, SEEK_CUR)) - done, done))
}

#define CHANGING(before, after, of, call, ...)                                   \
  char path[PATH_MAX];                                                           \
  if (!of) return call;                                                          \
  if (before) at(before, path, 0);                                               \
  lock_all();                                                                    \
  int done = fails() ? -1 : call;                                                \
  int error = errno;                                                             \
  if (done >= 0) { __VA_ARGS__; }                                                \
  unlock_all();                                                                  \
  if (after && done >= 0) at(after, path, 0);                                    \
  errno = error;                                                                 \
  return done;

int ftruncate64(int fd, off64_t size) {
  static __typeof__(&ftruncate64) real;
  if (!real) real = REAL(ftruncate64);
  CHANGING(0, 0, path_of(fd, path), real(fd, size), note('T', inode_of(fd), size, 0, NULL, 0, NULL, 0))
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  static __typeof__(&fallocate64) real;
  if (!real) real = REAL(fallocate64);
  struct stat before = {0};
  CHANGING(0, 0, path_of(fd, path) && !fstat(fd, &before), real(fd, mode, offset, length),
           if (!mode && offset + length > before.st_size)
               note('T', before.st_ino, offset + length, 0, NULL, 0, NULL, 0))
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
  static __typeof__(&posix_fallocate64) real;
  if (!real) real = REAL(posix_fallocate64);
  char path[PATH_MAX];
  struct stat before;
  if (!path_of(fd, path) || fstat(fd, &before)) return real(fd, offset, length);
  lock_all();
  int error = fails() ? errno : real(fd, offset, length);
  if (!error && offset + length > before.st_size)
    note('T', before.st_ino, offset + length, 0, NULL, 0, NULL, 0);
  unlock_all();
  return error;
}
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

/* Syncs */

static int synced(int fd, int (*real)(int)) {
  char path[PATH_MAX];
  struct stat found;
  if (!path_of(fd, path) || fstat(fd, &found)) return real(fd);
  at('s', path, 0);
  lock_all();
  int failed = fails();
  uint64_t number = ++all->syncs;
  if (!failed && S_ISDIR(found.st_mode)) note('D', 0, number, 0, path, strlen(path), NULL, 0);
  else if (!failed) note('B', found.st_ino, number, 0, NULL, 0, NULL, 0);
  int error = errno;
  unlock_all();
  errno = error;
  if (failed) return -1;
  usleep(sync_takes);
  int done = real(fd);
  error = errno;
  if (!done) {
    lock_all();
    note('E', 0, number, 0, NULL, 0, NULL, 0);
    unlock_all();
    at('S', path, 0);
  }
  errno = error;
  return done;
}
int fsync(int fd) {
  static __typeof__(&fsync) real;
  if (!real) real = REAL(fsync);
  return synced(fd, real);
}
int fdatasync(int fd) {
  static __typeof__(&fdatasync) real;
  if (!real) real = REAL(fdatasync);
  return synced(fd, real);
}

/* Names */

static int opened(int in, const char *name, int flags, mode_t mode) {
  char path[PATH_MAX];
  struct stat found;
  if (!path_at(in, name, path))
    return syscall(SYS_openat, in, name, flags, mode);
  at('o', path, 0);
  lock_all();
  int is_there = (flags & O_TMPFILE) != O_TMPFILE && !stat(path, &found);
  int fd = fails() ? -1 : (int)syscall(SYS_openat, in, name, flags, mode);
  int error = errno;
  if (fd >= 0) {
    if ((flags & O_TMPFILE) == O_TMPFILE) note_path('C', inode_of(fd), "");
    else if (!is_there && flags & O_CREAT) note_path('C', inode_of(fd), path);
    else if (flags & O_TRUNC) note('T', inode_of(fd), 0, 0, NULL, 0, NULL, 0);
  }
  unlock_all();
  if (fd >= 0) at('O', path, 0);
  errno = error;
  return fd;
}

#define MODE                                                   \
  mode_t mode = 0;                                             \
  if (flags & (O_CREAT | O_TMPFILE)) {                         \
    va_list more;                                              \
    va_start(more, flags);                                     \
    mode = va_arg(more, mode_t);                               \
    va_end(more);                                              \
  }
int open64(const char *name, int flags, ...) { MODE return opened(AT_FDCWD, name, flags, mode); }
int open(const char *name, int flags, ...) { MODE return opened(AT_FDCWD, name, flags, mode); }
int openat64(int in, const char *name, int flags, ...) { MODE return opened(in, name, flags, mode); }
int openat(int in, const char *name, int flags, ...) { MODE return opened(in, name, flags, mode); }
int creat64(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat(const char *name, mode_t mode) { return creat64(name, mode); }

int unlinkat(int in, const char *name, int flags) {
  CHANGING('u', 'U', path_at(in, name, path), (int)syscall(SYS_unlinkat, in, name, flags), note_path('U', 0, path))
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int mkdirat(int in, const char *name, mode_t mode) {
  CHANGING(0, 0, path_at(in, name, path), (int)syscall(SYS_mkdirat, in, name, mode), note_path('M', 0, path))
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  char target[PATH_MAX];
  CHANGING('n', 'N', (path_at(from_at, from, path) & path_at(to_at, to, target)),
           (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags),
           note('R', 0, 0, 0, path, strlen(path), target, strlen(target)))
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
  return renameat2(from_at, from, to_at, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
  struct stat found;
  CHANGING(0, 0, path_at(to_at, to, path), (int)syscall(SYS_linkat, from_at, from, to_at, to, flags),
           if (!stat(path, &found)) note_path('L', found.st_ino, path))
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* Sockets */

ssize_t send(int fd, const void *data, size_t length, int flags) {
  static __typeof__(&send) real;
  if (!real) real = REAL(send);
  if (!is_socket_watched()) return real(fd, data, length, flags);
  int asks = is_database(fd);
  at(asks ? 'q' : 't', data, length);
  ssize_t done = real(fd, data, length, flags);
  if (done > 0) at(asks ? 'Q' : 'T', data, done);
  return done;
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  static __typeof__(&sendmsg) real;
  if (!real) real = REAL(sendmsg);
  if (!is_socket_watched()) return real(fd, message, flags);
  int asks = is_database(fd);
  at_parts(asks ? 'q' : 't', message->msg_iov, message->msg_iovlen, length_of(message->msg_iov, message->msg_iovlen));
  ssize_t done = real(fd, message, flags);
  if (done > 0) at_parts(asks ? 'Q' : 'T', message->msg_iov, message->msg_iovlen, done);
  return done;
}
ssize_t read(int fd, void *data, size_t length) {
  static __typeof__(&read) real;
  if (!real) real = REAL(read);
  ssize_t done = real(fd, data, length);
  if (done > 0 && is_socket_watched()) at(is_database(fd) ? 'A' : 'R', data, done);
  return done;
}
ssize_t recv(int fd, void *data, size_t length, int flags) {
  static __typeof__(&recv) real;
  if (!real) real = REAL(recv);
  ssize_t done = real(fd, data, length, flags);
  if (done > 0 && is_socket_watched()) at(is_database(fd) ? 'A' : 'R', data, done);
  return done;
}
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  static __typeof__(&recvmsg) real;
  if (!real) real = REAL(recvmsg);
  ssize_t done = real(fd, message, flags);
  if (done > 0 && is_socket_watched()) at_parts(is_database(fd) ? 'A' : 'R', message->msg_iov, message->msg_iovlen, done);
  return done;
}

/* Clocks */

static int64_t off_by(clockid_t clock) {
  if (!all) return 0;
  switch (clock) {
    case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: return __atomic_load_n(&all->real, __ATOMIC_ACQUIRE);
    case CLOCK_BOOTTIME: return __atomic_load_n(&all->boot, __ATOMIC_ACQUIRE);
    case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_COARSE: case CLOCK_MONOTONIC_RAW:
      return __atomic_load_n(&all->monotonic, __ATOMIC_ACQUIRE);
    default: return 0;
  }
}
int clock_gettime(clockid_t clock, struct timespec *told) {
  static __typeof__(&clock_gettime) real;
  if (!real) real = REAL(clock_gettime);
  int done = real(clock, told);
  int64_t off = off_by(clock);
  if (!done && off) {
    int64_t nanoseconds = told->tv_nsec + off % 1000000000;
    told->tv_sec += off / 1000000000 + (nanoseconds >= 1000000000) - (nanoseconds < 0);
    told->tv_nsec = (nanoseconds + 1000000000) % 1000000000;
  }
  return done;
}
int gettimeofday(struct timeval *told, void *zone) {
  (void)zone;
  struct timespec found;
  int done = clock_gettime(CLOCK_REALTIME, &found);
  told->tv_sec = found.tv_sec;
  told->tv_usec = found.tv_nsec / 1000;
  return done;
}
time_t time(time_t *told) {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  if (told) *told = found.tv_sec;
  return found.tv_sec;
}

/* Preloaded library: from the n-th write or sync of the database's files on, some calls fail, as on a bad or a full disk; and the
   wall clock can be stepped. Armed by the process itself (fault_arm), or from outside through a file that CARDCORE_FAULTS names. */
#include "disk.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* As tests/desk/preload.py has it. `length` calls fail from call `armed` on; 0: none is to. */
struct control { int64_t armed, length, reason, count, fired, shift_s; };
static struct control own = {0, 0, EIO, 0, 0, 0}, *control = &own;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("CARDCORE_FAULTS");
    void *shared;
    int fd;
    if (!path) return;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    shared = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) abort();
    control = shared;
    close(fd);
}

void fault_arm(int n, int stay) { own.armed = n; own.length = stay ? INT32_MAX : 1; own.count = 0; own.fired = 0; }
void fault_reason(int number) { own.reason = number; }
int fault_count(void) { return (int)own.count; }
int fault_fired(void) { return (int)own.fired; }

/* Whether a call on this file is to fail: only databases and their logs are counted. */
static int fails(int fd) {
    int64_t count;
    char file;
    if (!control->armed) return 0;
    file = file_of(fd);
    if (file != 'd' && file != 'w' && file != 'p') return 0;
    count = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (count < control->armed || count >= control->armed + control->length) return 0;
    __atomic_add_fetch(&control->fired, 1, __ATOMIC_SEQ_CST);
    errno = (int)control->reason;
    return 1;
}

#define REAL(result, name, parameters, arguments, fd) \
    result name parameters { \
        NEXT(result, name, parameters); \
        return fails(fd) ? -1 : real arguments; \
    }

REAL(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), fd)
REAL(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), fd)
REAL(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), fd)
REAL(int, fdatasync, (int fd), (fd), fd)
REAL(int, fsync, (int fd), (fd), fd)
REAL(int, ftruncate64, (int fd, off64_t size), (fd, size), fd)
REAL(int, ftruncate, (int fd, off_t size), (fd, size), fd)

int clock_gettime(clockid_t clock, struct timespec *at) {
    NEXT(int, clock_gettime, (clockid_t clock, struct timespec *at));
    int result = real(clock, at);
    if (!result && clock == CLOCK_REALTIME) at->tv_sec += control->shift_s;
    return result;
}

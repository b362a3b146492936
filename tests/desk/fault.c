/* Preloaded library: the n-th write or sync of the database's files after fault_arm(n) fails, as a bad or a full disk does. */
#include "disk.h"

static int armed, count, fired, sticky, reason = EIO;

void fault_arm(int n, int stay) { armed = n; count = 0; fired = 0; sticky = stay; }
void fault_reason(int number) { reason = number; }
int fault_count(void) { return count; }
int fault_fired(void) { return fired; }

/* Whether a call on this file is to fail: only the database and its log are counted. */
static int fails(int fd) {
    char file;
    if (!armed) return 0;
    file = file_of(fd);
    if (file != 'd' && file != 'w') return 0;
    count++;
    if (count == armed || (sticky && count > armed)) { fired++; errno = reason; return 1; }
    return 0;
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

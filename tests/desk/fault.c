/* Preloaded library: the n-th write or sync of the database's files after fault_arm(n) fails with EIO, as a bad disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int armed, count, fired, sticky;

void fault_arm(int n, int stay) { armed = n; count = 0; fired = 0; sticky = stay; }
int fault_count(void) { return count; }
int fault_fired(void) { return fired; }

/* Whether a call on this file is to fail: only the database and its log are counted. */
static int fails(int fd) {
    char link[64], path[512];
    ssize_t size;
    if (!armed) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    if (!strstr(path, "cardcore.db") || strstr(path, "-shm")) return 0;
    count++;
    if (count == armed || (sticky && count > armed)) { fired++; errno = EIO; return 1; }
    return 0;
}

#define REAL(result, name, parameters, arguments, fd) \
    result name parameters { \
        static result (*real) parameters; \
        if (!real) real = (result (*) parameters) dlsym(RTLD_NEXT, #name); \
        return fails(fd) ? -1 : real arguments; \
    }

REAL(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), fd)
REAL(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), fd)
REAL(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), fd)
REAL(int, fdatasync, (int fd), (fd), fd)
REAL(int, fsync, (int fd), (fd), fd)
REAL(int, ftruncate64, (int fd, off64_t size), (fd, size), fd)
REAL(int, ftruncate, (int fd, off_t size), (fd, size), fd)

/* What the preloaded libraries share: which files they watch, and how they stand before a system call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* 'd' the database, 'w' its log, 'c' the checkpoints, 'p' a PostgreSQL server's files and log, 0 anything else. */
static char file_of(int fd) {
    char link[64], path[512];
    ssize_t size;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    if (strstr(path, "checkpoints.jsonl")) return 'c';
    if (strstr(path, "/data/pg_wal/") || strstr(path, "/data/base/")) return 'p';
    if (!strstr(path, "cardcore.db") || strstr(path, "-shm")) return 0;
    return strstr(path, "-wal") ? 'w' : 'd';
}

/* The next definition of a call. */
#define NEXT(result, name, parameters) \
    static result (*real) parameters; \
    if (!real) real = (result (*) parameters) dlsym(RTLD_NEXT, #name)

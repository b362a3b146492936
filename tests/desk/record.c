/* Preloaded library: writes down every write, truncation and sync of the database's files, in the order in which they happened.
   One call at a time, so what stands before a sync in the record was written before that sync began. */
#include "disk.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>

static int out = -1;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

struct head { char what, file; char pad[6]; uint64_t at, size; };

static void all(const void *data, size_t size) {
    while (size) {
        long done = syscall(SYS_write, out, data, size);
        if (done <= 0) abort();
        data = (const char *)data + done;
        size -= (size_t)done;
    }
}

static void put(char what, char file, uint64_t at, const void *data, size_t size) {
    struct head head = {what, file, {0}, at, size};
    all(&head, sizeof head);
    if (data) all(data, size);
}

void record_start(const char *path) { out = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600); if (out < 0) abort(); }

/* Somebody was told this. */
void record_mark(const char *text) {
    pthread_mutex_lock(&one);
    put('A', '-', 0, text, strlen(text));
    pthread_mutex_unlock(&one);
}

#define RECORDED(result, name, parameters, arguments, fd, what, at, data, size) \
    result name parameters { \
        NEXT(result, name, parameters); \
        char file = out < 0 ? 0 : file_of(fd); \
        result done; \
        if (!file) return real arguments; \
        pthread_mutex_lock(&one); \
        done = real arguments; \
        if (done >= 0) put(what, file, (uint64_t)(at), data, size); \
        pthread_mutex_unlock(&one); \
        return done; \
    }

RECORDED(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), fd, 'W', at, data, (size_t)done)
RECORDED(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), fd, 'W', at, data, (size_t)done)
RECORDED(int, fdatasync, (int fd), (fd), fd, 'S', 0, NULL, 0)
RECORDED(int, fsync, (int fd), (fd), fd, 'S', 0, NULL, 0)
RECORDED(int, ftruncate64, (int fd, off64_t size), (fd, size), fd, 'T', size, NULL, 0)
RECORDED(int, ftruncate, (int fd, off_t size), (fd, size), fd, 'T', size, NULL, 0)

"""A thin layer under SQLite's write-ahead log that hands a transaction to the system in one write.

SQLite writes each page of a transaction with two calls, 24 bytes of frame header and then the page. Between two syncs the
processor's caches are cold, and such a call costs several microseconds. So whatever continues the last write is gathered, and is
written when the transaction's last frame is whole: before the sync, and before SQLite tells other connections of the frames. Any
other look at the file writes what is gathered first. The layer changes neither the order nor the bytes of what SQLite writes, nor
where a failed write or sync is told. All other files, their locks and the shared memory are the system's own VFS alone.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

cdef extern from "dlfcn.h" nogil:
    void* dlsym(void* handle, const char* name)

# The few declarations of sqlite3.h that are used; it need not be installed.
cdef enum:
    SQLITE_OK = 0
    OPEN_WAL = 0x80000
    VFS_VERSION = 3
    VFS_METHODS = 15  # of that version, after xOpen
    GATHERED_MAX = 65_536  # bytes; a single settle has 3 pages
    FRAME_HEADER = 24  # bytes (SQLite file format, 4.1)
    SIZE_AFTER_COMMIT = 4  # where in it: four bytes, 0 unless the frame is a transaction's last

cdef struct Methods:
    int version
    int (*close)(File*) noexcept nogil
    int (*read)(File*, void*, int, int64_t) noexcept nogil
    int (*write)(File*, const void*, int, int64_t) noexcept nogil
    int (*truncate)(File*, int64_t) noexcept nogil
    int (*sync)(File*, int) noexcept nogil
    int (*file_size)(File*, int64_t*) noexcept nogil
    int (*lock)(File*, int) noexcept nogil
    int (*unlock)(File*, int) noexcept nogil
    int (*check_reserved_lock)(File*, int*) noexcept nogil
    int (*file_control)(File*, int, void*) noexcept nogil
    int (*sector_size)(File*) noexcept nogil
    int (*device_characteristics)(File*) noexcept nogil

cdef struct File:
    const Methods* methods

cdef struct Vfs:
    int version
    int file_size
    int path_max
    Vfs* next
    const char* name
    void* data
    int (*open)(Vfs*, const char*, File*, int, int*) noexcept nogil
    void* others[VFS_METHODS]

ctypedef Vfs* (*Find)(const char*) noexcept nogil
ctypedef int (*Register)(Vfs*, int) noexcept nogil

# The log as SQLite sees it. The system's own file object follows it in memory.
cdef struct Log:
    const Methods* methods
    int64_t end  # where the last write ended
    int length  # bytes gathered, which end there
    bint last  # the last write was the header of a transaction's last frame
    char gathered[GATHERED_MAX]


cdef inline File* below(File* file) noexcept nogil:
    return <File*> (<char*> file + sizeof(Log))


cdef int flush(File* file) noexcept nogil:
    """Write what is gathered. Where that fails it stays: SQLite may give up one statement only, and go on with what it wrote before."""
    cdef Log* log = <Log*> file
    cdef int result = SQLITE_OK
    if log.length:
        result = below(file).methods.write(below(file), log.gathered, log.length, log.end - log.length)
        if result == SQLITE_OK:
            log.length = 0
    return result


cdef int log_write(File* file, const void* data, int size, int64_t at) noexcept nogil:
    cdef Log* log = <Log*> file
    cdef bint whole = log.last  # a page after the header of a last frame
    cdef int result = SQLITE_OK
    cdef const unsigned char* head = <const unsigned char*> data + SIZE_AFTER_COMMIT
    log.last = size == FRAME_HEADER and (head[0] | head[1] | head[2] | head[3]) != 0
    if at != log.end or size > GATHERED_MAX - log.length:
        result = flush(file)
        if result != SQLITE_OK:
            return result
    if at != log.end or size > GATHERED_MAX:
        log.end = at + size
        return below(file).methods.write(below(file), data, size, at)
    memcpy(log.gathered + log.length, data, size)
    log.length += size
    log.end = at + size
    if whole:
        result = flush(file)
        log.length = 0  # a transaction whose commit failed is over, and is never written later
    return result


cdef int log_close(File* file) noexcept nogil:
    """Nothing that was committed is gathered."""
    return below(file).methods.close(below(file))


cdef int log_read(File* file, void* data, int size, int64_t at) noexcept nogil:
    cdef int result = flush(file)
    return result if result != SQLITE_OK else below(file).methods.read(below(file), data, size, at)


cdef int log_truncate(File* file, int64_t size) noexcept nogil:
    cdef int result = flush(file)
    return result if result != SQLITE_OK else below(file).methods.truncate(below(file), size)


cdef int log_sync(File* file, int flags) noexcept nogil:
    cdef int result = flush(file)
    return result if result != SQLITE_OK else below(file).methods.sync(below(file), flags)


cdef int log_file_size(File* file, int64_t* size) noexcept nogil:
    cdef int result = flush(file)
    return result if result != SQLITE_OK else below(file).methods.file_size(below(file), size)


cdef int log_lock(File* file, int level) noexcept nogil:
    return below(file).methods.lock(below(file), level)


cdef int log_unlock(File* file, int level) noexcept nogil:
    return below(file).methods.unlock(below(file), level)


cdef int log_check_reserved_lock(File* file, int* answer) noexcept nogil:
    return below(file).methods.check_reserved_lock(below(file), answer)


cdef int log_file_control(File* file, int operation, void* argument) noexcept nogil:
    return below(file).methods.file_control(below(file), operation, argument)


cdef int log_sector_size(File* file) noexcept nogil:
    return below(file).methods.sector_size(below(file))


cdef int log_device_characteristics(File* file) noexcept nogil:
    return below(file).methods.device_characteristics(below(file))


cdef Methods log_methods = Methods(
    version=1,  # without shared memory and mapping, which SQLite asks of a database's file only
    close=log_close, read=log_read, write=log_write, truncate=log_truncate, sync=log_sync, file_size=log_file_size,
    lock=log_lock, unlock=log_unlock, check_reserved_lock=log_check_reserved_lock, file_control=log_file_control,
    sector_size=log_sector_size, device_characteristics=log_device_characteristics,
)
cdef Vfs* system = NULL  # SQLite's default
cdef Vfs ours


cdef int open_file(Vfs* vfs, const char* name, File* file, int flags, int* opened) noexcept nogil:
    cdef Log* log = <Log*> file
    cdef int result
    if not flags & OPEN_WAL:
        return system.open(system, name, file, flags, opened)
    log.methods = NULL
    log.end = -1
    log.length = 0
    log.last = False
    result = system.open(system, name, below(file), flags, opened)
    if below(file).methods != NULL:
        log.methods = &log_methods
    return result


cdef const char* register_vfs(void* library):
    """Make the layer known to a loaded SQLite library; its name for `sqlite3_open_v2`, NULL (the system's own) where that cannot be done."""
    global system
    cdef Find find = <Find> dlsym(library, "sqlite3_vfs_find")
    cdef Register register = <Register> dlsym(library, "sqlite3_vfs_register")
    if find == NULL or register == NULL:
        return NULL
    system = find(NULL)
    if system == NULL or system.version < VFS_VERSION:
        return NULL
    memcpy(&ours, system, sizeof(Vfs))  # what is not about the log is done by the system's own methods, with its own data
    ours.version = VFS_VERSION
    ours.file_size = sizeof(Log) + system.file_size
    ours.next = NULL
    ours.name = "cardcore"
    ours.open = open_file
    return ours.name if register(&ours, 0) == SQLITE_OK else NULL

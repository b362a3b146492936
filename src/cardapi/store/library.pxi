# SQLite as Python's `_sqlite3` module has loaded it, its functions found at run time; a part of direct.pyx.

cdef extern from "dlfcn.h" nogil:
    void* dlopen(const char* path, int flags)
    void* dlsym(void* handle, const char* name)
    int RTLD_NOW

# The few declarations of sqlite3.h that are used; it need not be installed.
cdef enum:
    SQLITE_OK = 0
    SQLITE_MISUSE = 21
    SQLITE_ROW = 100
    SQLITE_DONE = 101
    SQLITE_INTEGER = 1
    SQLITE_TEXT = 3
    SQLITE_BLOB = 4
    OPEN_READWRITE = 0x2
    OPEN_NOMUTEX = 0x8000

ctypedef void* Database
ctypedef void* Statement

cdef int (*open_v2)(const char*, Database*, int, const char*) noexcept nogil
cdef int (*close_v2)(Database) noexcept nogil
cdef const char* (*errmsg)(Database) noexcept nogil
cdef int (*extended_errcode)(Database) noexcept nogil
cdef int (*get_autocommit)(Database) noexcept nogil
cdef int (*busy_timeout)(Database, int) noexcept nogil
cdef int (*threadsafe)() noexcept nogil
cdef int (*prepare_v2)(Database, const char*, int, Statement*, const char**) noexcept nogil
cdef int (*finalize)(Statement) noexcept nogil
cdef int (*parameter_count)(Statement) noexcept nogil
cdef int (*bind_int64)(Statement, int, int64_t) noexcept nogil
cdef int (*bind_text)(Statement, int, const char*, int, void*) noexcept nogil
cdef int (*bind_blob)(Statement, int, const void*, int, void*) noexcept nogil
cdef int (*step)(Statement) noexcept nogil
cdef int (*reset)(Statement) noexcept nogil
cdef int (*column_count)(Statement) noexcept nogil
cdef int (*column_type)(Statement, int) noexcept nogil
cdef int64_t (*column_int64)(Statement, int) noexcept nogil
cdef const void* (*column_blob)(Statement, int) noexcept nogil
cdef int (*column_bytes)(Statement, int) noexcept nogil

cdef const char* vfs = NULL  # of every connection made here; NULL: the system's own


cdef bint load():
    """Find SQLite where the sqlite3 module has it. False when any of it is not there."""
    global vfs
    global open_v2, close_v2, errmsg, extended_errcode, get_autocommit, busy_timeout, threadsafe, prepare_v2, finalize, parameter_count
    global bind_int64, bind_text, bind_blob, step, reset, column_count, column_type, column_int64, column_blob, column_bytes
    cdef void** places[20]
    cdef void* handle
    cdef int i
    try:
        import _sqlite3
        path = _sqlite3.__file__.encode()
    except (ImportError, AttributeError):  # no module, or one that is part of the interpreter
        return False
    handle = dlopen(path, RTLD_NOW)
    if handle == NULL:
        return False
    places[:] = [
        <void**> &open_v2, <void**> &close_v2, <void**> &errmsg, <void**> &extended_errcode, <void**> &get_autocommit,
        <void**> &busy_timeout, <void**> &threadsafe, <void**> &prepare_v2, <void**> &finalize, <void**> &parameter_count,
        <void**> &bind_int64, <void**> &bind_text, <void**> &bind_blob, <void**> &step, <void**> &reset,
        <void**> &column_count, <void**> &column_type, <void**> &column_int64, <void**> &column_blob, <void**> &column_bytes,
    ]
    names = (
        b"open_v2", b"close_v2", b"errmsg", b"extended_errcode", b"get_autocommit", b"busy_timeout", b"threadsafe", b"prepare_v2",
        b"finalize", b"bind_parameter_count", b"bind_int64", b"bind_text", b"bind_blob", b"step", b"reset", b"column_count",
        b"column_type", b"column_int64", b"column_blob", b"column_bytes",
    )
    for i in range(20):
        symbol = b"sqlite3_" + names[i]
        places[i][0] = dlsym(handle, symbol)
        if places[i][0] == NULL:
            return False
    if threadsafe() == 0:
        return False
    vfs = register_vfs(handle)
    return True


available = bool(load())
gathers = vfs != NULL

"""SQLite's C interface for whole batches, without the interpreter lock from the first statement to the end of the sync.

Rows are laid out as C cells that point into their Python objects, which the caller's lists keep alive; then one stretch
without the lock binds and steps them all. What is read is gathered in one block of memory and made into objects at the end.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from msgspec.structs import astuple

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef extern from "dlfcn.h" nogil:
    void* dlopen(const char* path, int flags)
    void* dlsym(void* handle, const char* name)
    int RTLD_NOW

# The few declarations of sqlite3.h that are used; it need not be installed.
cdef enum:
    SQLITE_OK = 0
    SQLITE_ROW = 100
    SQLITE_DONE = 101
    SQLITE_INTEGER = 1
    SQLITE_TEXT = 3
    SQLITE_BLOB = 4
    OPEN_READWRITE = 0x2
    OPEN_NOMUTEX = 0x8000
    BUSY_MS = 10_000
    STATEMENTS_MAX = 32
    STEPS_MAX = 16
    CELLS_KEPT = 262_144  # 8 MB, twice what the largest batch of a desk takes: beyond that the memory is given back

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


cdef bint load():
    """Find SQLite where the sqlite3 module has it. False when any of it is not there."""
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
    return threadsafe() != 0


available = bool(load())


class DirectError(Exception):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


cdef struct Cell:
    int kind  # SQLITE_INTEGER, SQLITE_TEXT or SQLITE_BLOB
    Py_ssize_t size
    int64_t number
    const char* data

cdef struct Step:
    Statement statement
    Py_ssize_t rows
    int columns
    Py_ssize_t start  # of its cells

cdef struct Found:
    char* data
    Py_ssize_t length
    Py_ssize_t cap
    Py_ssize_t rows


cdef int lay(Cell* cell, object value) except -1:
    """Point a cell at a value."""
    kind = type(value)
    if kind is int:
        cell.kind = SQLITE_INTEGER
        cell.number = value
    elif kind is str:
        cell.kind = SQLITE_TEXT
        cell.data = PyUnicode_AsUTF8AndSize(value, &cell.size)
    elif kind is bytes:
        cell.kind = SQLITE_BLOB
        cell.data = PyBytes_AS_STRING(value)
        cell.size = PyBytes_GET_SIZE(value)
    else:
        raise TypeError(f"SQLite takes no {kind.__name__} here")
    if cell.kind != SQLITE_INTEGER and cell.size > 0x3FFFFFFF:
        raise OverflowError("a value is too long for SQLite")
    return 0


cdef int bind(Statement statement, Cell* cells, int columns) noexcept nogil:
    cdef int i
    cdef int result
    for i in range(columns):
        if cells[i].kind == SQLITE_INTEGER:
            result = bind_int64(statement, i + 1, cells[i].number)
        elif cells[i].kind == SQLITE_TEXT:
            result = bind_text(statement, i + 1, cells[i].data, <int> cells[i].size, NULL)
        else:
            result = bind_blob(statement, i + 1, cells[i].data, <int> cells[i].size, NULL)
        if result != SQLITE_OK:
            return result
    return SQLITE_OK


cdef int once(Statement statement) noexcept nogil:
    """Run a statement that gives no rows to its end."""
    cdef int result
    cdef int end
    result = step(statement)
    while result == SQLITE_ROW:
        result = step(statement)
    end = reset(statement)
    return SQLITE_OK if result == SQLITE_DONE else (end if end != SQLITE_OK else result)


cdef int run(Step* one, Cell* cells) noexcept nogil:
    """Every row of one step."""
    cdef Py_ssize_t i
    cdef int result
    for i in range(one.rows):
        result = bind(one.statement, cells + one.start + i * one.columns, one.columns)
        if result == SQLITE_OK:
            result = once(one.statement)
        if result != SQLITE_OK:
            return result
    return SQLITE_OK


cdef int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef bint room(Found* found, Py_ssize_t more) noexcept nogil:
    cdef char* grown
    if found.length + more > found.cap:
        found.cap = (found.length + more) * 2 + 4096
        grown = <char*> realloc(found.data, found.cap)
        if grown == NULL:
            return False
        found.data = grown
    return True


cdef bint keep(Found* found, Statement statement, int columns) noexcept nogil:
    """Append the present row: for each column its kind and its number or size, then its bytes. False without memory."""
    cdef int i
    cdef int64_t head[2]
    cdef const void* data
    for i in range(columns):
        head[0] = column_type(statement, i)
        data = NULL
        if head[0] == SQLITE_INTEGER:
            head[1] = column_int64(statement, i)
        else:
            data = column_blob(statement, i)
            head[1] = column_bytes(statement, i) if data != NULL else 0
        if not room(found, 16 + (head[1] if data != NULL else 0)):
            return False
        memcpy(found.data + found.length, head, 16)
        found.length += 16
        if data != NULL:
            memcpy(found.data + found.length, data, head[1])
            found.length += head[1]
    found.rows += 1
    return True


cdef int gather(Step* one, Cell* cells, Found* found) noexcept nogil:
    """The rows of a query for each key. -1: no memory."""
    cdef Py_ssize_t i
    cdef int result
    cdef int width = column_count(one.statement)
    found.rows = 0
    for i in range(one.rows):
        result = bind(one.statement, cells + one.start + i * one.columns, one.columns)
        if result != SQLITE_OK:
            return result
        result = step(one.statement)
        while result == SQLITE_ROW:
            if not keep(found, one.statement, width):
                reset(one.statement)
                return -1
            result = step(one.statement)
        reset(one.statement)
        if result != SQLITE_DONE:
            return result
    return SQLITE_OK


cdef object value_at(Found* found, Py_ssize_t* at):
    cdef int64_t head[2]
    memcpy(head, found.data + at[0], 16)
    at[0] += 16
    if head[0] == SQLITE_INTEGER:
        return head[1]
    text = found.data + at[0]
    at[0] += head[1]
    if head[0] == SQLITE_TEXT:
        return PyUnicode_DecodeUTF8(text, head[1], NULL)
    if head[0] == SQLITE_BLOB:
        return PyBytes_FromStringAndSize(text, head[1])
    return None


cdef list rows_of(Found* found, int width):
    cdef Py_ssize_t at = 0
    return [tuple([value_at(found, &at) for _ in range(width)]) for _ in range(found.rows)]


cdef class Connection:
    cdef Database database
    cdef dict statements
    cdef Statement kept[STATEMENTS_MAX]
    cdef Statement begin_write
    cdef Statement begin_read
    cdef Statement commit
    cdef Statement rollback
    cdef Cell* cells  # kept from one call to the next: fresh memory for a batch costs more than what is put into it
    cdef Py_ssize_t cells_cap
    cdef Py_ssize_t cells_used
    cdef readonly int64_t sync_ns

    def __cinit__(self, *args, **kwargs):
        self.database = NULL
        self.statements = {}
        self.cells = NULL
        self.cells_cap = self.cells_used = 0

    def __init__(self, bytes path not None, setup=()):
        if not available:
            raise DirectError("SQLite's library is not within reach", 0)
        if open_v2(path, &self.database, OPEN_READWRITE | OPEN_NOMUTEX, NULL) != SQLITE_OK:
            error = self.error()
            self.close()
            raise error
        try:
            busy_timeout(self.database, BUSY_MS)
            for text in setup:
                self.check(once(self.prepare(text)))
            self.begin_write = self.prepare("BEGIN IMMEDIATE")
            self.begin_read = self.prepare("BEGIN")
            self.commit = self.prepare("COMMIT")
            self.rollback = self.prepare("ROLLBACK")
        except DirectError:
            self.close()
            raise

    def __dealloc__(self):
        self.end()
        free(self.cells)

    cdef void end(self) noexcept:
        cdef Py_ssize_t i
        if self.database != NULL:
            for i in range(len(self.statements)):
                finalize(self.kept[i])
            close_v2(self.database)
            self.database = NULL

    def close(self):
        self.end()
        self.statements = {}

    cdef object error(self):
        if self.database == NULL:
            return DirectError("out of memory", 7)
        return DirectError(errmsg(self.database).decode("utf-8", "replace"), extended_errcode(self.database))

    cdef int check(self, int result) except -1:
        if result != SQLITE_OK:
            raise self.error()
        return 0

    cdef Statement prepare(self, str text) except NULL:
        """A statement by its text, prepared once."""
        cdef Statement made = NULL
        place = self.statements.get(text)
        if place is not None:
            return self.kept[<int> place]
        if self.database == NULL:
            raise DirectError("the connection is closed", 21)
        if len(self.statements) == STATEMENTS_MAX:
            raise DirectError("too many different statements", 21)
        data = text.encode()
        self.check(prepare_v2(self.database, data, <int> len(data), &made, NULL))
        self.kept[len(self.statements)] = made
        self.statements[text] = len(self.statements)
        return made

    cdef int room(self, Py_ssize_t more) except -1:
        """Memory for this many cells after those in use."""
        cdef Cell* grown
        cdef Py_ssize_t cap
        if self.cells_used + more > self.cells_cap:
            cap = (self.cells_used + more) * 2 + 64
            grown = <Cell*> realloc(self.cells, cap * sizeof(Cell))
            if grown == NULL:
                raise MemoryError
            self.cells = grown
            self.cells_cap = cap
        return 0

    cdef void done(self) noexcept:
        """No cell is in use any more."""
        self.cells_used = 0
        if self.cells_cap > CELLS_KEPT:
            free(self.cells)
            self.cells = NULL
            self.cells_cap = 0

    cdef int open_step(self, Step* one, str text, list rows) except -1:
        """Lay out the rows of one step. The caller keeps them: the cells point into their values."""
        cdef Cell* cell
        one.statement = self.prepare(text)
        one.columns = parameter_count(one.statement)
        one.rows = len(rows)
        one.start = self.cells_used
        self.room(one.rows * one.columns)
        cell = self.cells + one.start
        for row in rows:
            if type(row) is not tuple:
                row = astuple(row)  # whose values the struct holds on to
            if len(<tuple> row) != one.columns:
                raise TypeError(f"a row is a tuple of {one.columns} values, one for each parameter")
            for value in <tuple> row:
                lay(cell, value)
                cell += 1
        self.cells_used += one.rows * one.columns
        return 0

    cdef bint idle(self) except -1:
        """Whether no transaction is open."""
        if self.database == NULL:
            raise DirectError("the connection is closed", 21)
        return get_autocommit(self.database) != 0

    cdef list ask(self, Statement begin, list queries):
        """The rows of each query. `begin`: what opens a transaction first, NULL for none; one that only reads is ended here."""
        cdef Step steps[STEPS_MAX]
        cdef Found found[STEPS_MAX]
        cdef int count = len(queries)
        cdef int i
        cdef int result = SQLITE_OK
        cdef bint again = begin == self.begin_read
        if count > STEPS_MAX:
            raise TypeError("too many queries at once")
        memset(found, 0, sizeof(found))
        try:
            for i in range(count):
                text, keys = <tuple> queries[i]
                self.open_step(&steps[i], text, keys)
            with nogil:
                if begin != NULL:
                    result = once(begin)
                for i in range(count):
                    if result == SQLITE_OK:
                        result = gather(&steps[i], self.cells, &found[i])
                if again and result == SQLITE_OK:
                    result = once(self.commit)
            if result != SQLITE_OK:
                error = MemoryError() if result == -1 else self.error()
                if begin != NULL:
                    self.abandon()
                raise error
            return [rows_of(&found[i], column_count(steps[i].statement)) for i in range(count)]
        finally:
            self.done()
            for i in range(count):
                free(found[i].data)

    def begin(self, queries):
        queries = [(text, list(keys)) for text, keys in queries]
        return self.ask(self.begin_write if self.idle() else NULL, queries)

    def abandon(self):
        if not self.idle():
            with nogil:
                once(self.rollback)

    def write(self, steps):
        cdef Step all_steps[STEPS_MAX]
        cdef int count = 0
        cdef int i
        cdef int result
        cdef int64_t began
        cdef bint idle = self.idle()
        steps = [(text, list(rows)) for text, rows in steps]
        if len(steps) > STEPS_MAX:
            raise TypeError("too many steps in one transaction")
        try:
            for text, rows in steps:
                self.open_step(&all_steps[count], text, rows)
                count += 1
            with nogil:
                result = once(self.begin_write) if idle else SQLITE_OK
                if result == SQLITE_OK:
                    for i in range(count):
                        result = run(&all_steps[i], self.cells)
                        if result != SQLITE_OK:
                            break
                    if result == SQLITE_OK:
                        began = now_ns()
                        result = once(self.commit)
                        self.sync_ns = now_ns() - began
            if result != SQLITE_OK:
                error = self.error()
                self.abandon()
                raise error
        finally:
            self.done()

    def read(self, str statement not None, keys):
        cdef Statement begin = NULL
        keys = list(keys)
        if len(keys) != 1 and self.idle():  # each statement sees one state by itself, several only in a transaction
            begin = self.begin_read
        return self.ask(begin, [(statement, keys)])[0]

"""SQLite's C interface for whole batches, without the interpreter lock from the first statement to the end of the sync.

Rows are laid out as C cells that point into their Python objects, which the caller's lists keep alive; then one stretch
without the lock binds and steps them all. What is read is gathered in one block of memory and made into objects at the end.
"""

cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from cardapi.store.wal_file cimport register_vfs

from msgspec.structs import astuple

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef extern from "pthread.h" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t* thread, const void* attributes, void* (*start)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)

include "library.pxi"

cdef enum:
    BUSY_MS = 10_000
    STATEMENTS_MAX = 32
    STEPS_MAX = 16
    CELLS_KEPT = 262_144  # 8 MB, twice what the largest batch of a desk takes: beyond that the memory is given back


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

# Steps that a thread of their own runs.
cdef struct Feed:
    Step steps[STEPS_MAX]
    Cell* cells
    int count
    int result


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


cdef int run_all(Step* steps, int count, Cell* cells) noexcept nogil:
    """Steps in order, up to the first that fails: SQLite may have ended the transaction then, and nothing may be run outside it."""
    cdef int i
    cdef int result
    for i in range(count):
        result = run(&steps[i], cells)
        if result != SQLITE_OK:
            return result
    return SQLITE_OK


cdef void* run_fed(void* argument) noexcept nogil:
    """What the feeding thread does: no Python, no interpreter lock."""
    cdef Feed* feed = <Feed*> argument
    feed.result = run_all(feed.steps, feed.count, feed.cells)
    return NULL


include "gathered.pxi"


@cython.no_gc_clear  # the feeding thread reads what `held` holds until `__dealloc__` has waited for it
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
    cdef Feed fed
    cdef pthread_t feeder
    cdef bint feeding  # the thread runs, and nothing else touches the database or the cells
    cdef bint parted  # the open transaction holds rows of `feed`
    cdef object failed  # why a part of it could not be written
    cdef list held  # the rows that the thread's cells point into

    def __cinit__(self, *args, **kwargs):
        self.database = NULL
        self.feeding = self.parted = False
        self.statements = {}
        self.cells = NULL
        self.cells_cap = self.cells_used = 0

    def __init__(self, bytes path not None, setup=()):
        if not available:
            raise DirectError("SQLite's library is not within reach", 0)
        if open_v2(path, &self.database, OPEN_READWRITE | OPEN_NOMUTEX, vfs) != SQLITE_OK:
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
        self.joined()
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
            raise DirectError("the connection is closed", SQLITE_MISUSE)
        if len(self.statements) == STATEMENTS_MAX:
            raise DirectError("too many different statements", SQLITE_MISUSE)
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

    cdef bint joined(self) noexcept:
        """Wait for the feeding thread. Whether there was one."""
        if not self.feeding:
            return False
        with nogil:
            pthread_join(self.feeder, NULL)
        self.feeding = False
        return True

    cdef int rest(self) except -1:
        """Wait for the feeding thread, and keep what it says."""
        if self.joined():
            self.held = None
            self.done()
            if self.fed.result != SQLITE_OK:
                self.failed = self.error()
        return 0

    cdef int ready(self) except -1:
        """The database is this thread's again. Raises what went wrong in a part of the open transaction, until it is abandoned."""
        self.rest()
        if self.failed is not None:
            raise self.failed
        return 0

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
            raise DirectError("the connection is closed", SQLITE_MISUSE)
        return get_autocommit(self.database) != 0

    cdef list ask(self, Statement begin, list queries):
        """The rows of each query. `begin`: what opens a transaction first, NULL for none; one that only reads is ended here."""
        cdef Step steps[STEPS_MAX]
        cdef Gathered found[STEPS_MAX]
        cdef int count = len(queries)
        cdef int i
        cdef int result = SQLITE_OK
        cdef bint again = begin == self.begin_read
        if count > STEPS_MAX:
            raise TypeError("too many queries at once")
        self.ready()
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
        self.ready()
        return self.ask(self.begin_write if self.idle() else NULL, queries)

    def feed(self, steps):
        self.ready()
        steps = [(text, list(rows)) for text, rows in steps]
        if len(steps) > STEPS_MAX:
            raise TypeError("too many steps at once")
        if self.idle():
            raise DirectError("there is no transaction to take a part of", SQLITE_MISUSE)
        self.parted = True
        self.fed.count = 0
        try:
            for text, rows in steps:
                self.open_step(&self.fed.steps[self.fed.count], text, rows)
                self.fed.count += 1
        except BaseException:
            self.done()
            raise
        self.fed.cells = self.cells
        self.held = steps
        self.feeding = pthread_create(&self.feeder, NULL, run_fed, &self.fed) == 0
        if not self.feeding:
            self.done()
            raise DirectError("there is no thread to write with", 0)

    def abandon(self):
        self.rest()
        self.failed = None
        self.parted = False
        if not self.idle():
            with nogil:
                once(self.rollback)

    cdef int finish(self, Step* steps, int count, Cell* cells) except -1:
        """Run these in the transaction that is open, or in one of their own, and commit it; rolled back before an error is raised."""
        cdef int result
        cdef int64_t began
        cdef bint idle = self.idle()
        with nogil:
            result = once(self.begin_write) if idle else SQLITE_OK
            if result == SQLITE_OK:
                result = run_all(steps, count, cells)
            if result == SQLITE_OK:
                began = now_ns()
                result = once(self.commit)
                self.sync_ns = now_ns() - began
        if result != SQLITE_OK:
            error = self.error()
            self.abandon()
            raise error
        return 0

    def write(self, steps):
        cdef Step all_steps[STEPS_MAX]
        cdef int count = 0
        self.ready()
        if self.parted and self.idle():
            raise DirectError("the transaction ended before its commit, and its first part with it", SQLITE_MISUSE)
        steps = [(text, list(rows)) for text, rows in steps]
        if len(steps) > STEPS_MAX:
            raise TypeError("too many steps in one transaction")
        try:
            for text, rows in steps:
                self.open_step(&all_steps[count], text, rows)
                count += 1
            self.finish(all_steps, count, self.cells)
            self.parted = False
        finally:
            self.done()

    def read(self, str statement not None, keys):
        cdef Statement begin = NULL
        keys = list(keys)
        self.ready()
        if len(keys) != 1 and self.idle():  # each statement sees one state by itself, several only in a transaction
            begin = self.begin_read
        return self.ask(begin, [(statement, keys)])[0]


include "single.pxi"

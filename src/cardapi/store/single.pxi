# One entry and its account without what a batch needs; a part of direct.pyx.

from cardapi.store import port

cdef enum:
    KEY_TAKEN = 2067  # SQLITE_CONSTRAINT_UNIQUE, of an entry: the index of client keys is the only one of its kind
    ENTRY_FIELDS = 22
    ACCOUNT_FIELDS = 3
    PAGES = 4  # that the log takes of a commit, about
    TOLD_EVERY = 8  # commits


cdef object column(Statement statement, int i):
    """A value of the present row."""
    cdef int kind = column_type(statement, i)
    cdef const char* data
    if kind == SQLITE_INTEGER:
        return column_int64(statement, i)
    data = <const char*> column_blob(statement, i)
    if kind == SQLITE_TEXT:
        return PyUnicode_DecodeUTF8(data, column_bytes(statement, i), NULL)
    return PyBytes_FromStringAndSize(data, column_bytes(statement, i))


@cython.final
cdef class Single:
    cdef Connection connection
    cdef Statement card
    cdef Step steps[2]
    cdef object tell
    cdef int untold
    cdef readonly int64_t write_ns

    def __init__(self, Connection connection not None, str card not None, str entry not None, str account not None, tell not None):
        self.connection = connection
        self.tell = tell
        self.card = connection.prepare(card)
        self.steps[0] = Step(connection.prepare(entry), 1, ENTRY_FIELDS, 0)
        self.steps[1] = Step(connection.prepare(account), 1, ACCOUNT_FIELDS, ENTRY_FIELDS)
        for step in self.steps:
            assert parameter_count(step.statement) == step.columns, "a row has another number of values"

    def read(self, str number not None):
        cdef Cell cell
        cdef int result
        cdef Statement statement = self.card
        lay(&cell, number)
        try:
            self.told()
            self.connection.ready()
            self.connection.idle()
            with nogil:
                result = once(self.connection.begin_write)
                if result == SQLITE_OK:
                    result = bind(statement, &cell, 1)
                if result == SQLITE_OK:
                    result = step(statement)
            try:
                if result == SQLITE_ROW:
                    return port.found_of(tuple([column(statement, i) for i in range(column_count(statement))]))
                if result != SQLITE_DONE:
                    raise self.connection.error()
                return None
            finally:
                reset(statement)
        except DirectError as error:
            self.connection.abandon()
            raise port.StoreError(f"cannot begin: {error}") from error

    def commit(self, entry not None, account_id not None, bytes state not None):
        cdef Cell cells[ENTRY_FIELDS + ACCOUNT_FIELDS]
        cdef Cell* cell = cells
        cdef tuple fields = astuple(entry)  # which holds on to the values
        cdef int64_t began = now_ns()
        cdef Py_ssize_t i
        for i in range(ENTRY_FIELDS):
            lay(cell + i, fields[i])
        lay(cell + ENTRY_FIELDS, account_id)
        lay(cell + ENTRY_FIELDS + 1, state)
        lay(cell + ENTRY_FIELDS + 2, fields[1])
        try:
            self.told()
            self.connection.ready()
            self.connection.finish(self.steps, 2, cells)
        except DirectError as error:
            if error.code == KEY_TAKEN:
                raise port.KeyTaken("the client key has its effect") from error
            raise port.StoreError(f"commit failed: {error}") from error
        self.untold += 1
        self.write_ns = now_ns() - began

    @property
    def sync_ns(self):
        return self.connection.sync_ns

    cdef int told(self) except -1:
        """Count what was committed, some at a time, and between two transactions."""
        if self.untold >= TOLD_EVERY and self.connection.idle():
            self.tell(PAGES, self.untold)
            self.untold = 0
        return 0

    def abandon(self):
        try:
            self.connection.abandon()
        except DirectError as error:
            raise port.StoreError(f"cannot end: {error}") from error

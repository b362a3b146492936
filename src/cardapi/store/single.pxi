# One entry and its account without what a batch needs; a part of direct.pyx.

from sys import intern

from cardapi.store import port
from cardapi.store.port import AccountRow, CardRow, Found

cdef enum:
    KEY_TAKEN = 2067  # SQLITE_CONSTRAINT_UNIQUE, of an entry: the index of client keys is the only one of its kind
    CARD_FIELDS = 12
    ENTRY_FIELDS = 22
    ACCOUNT_FIELDS = 3
    PAGES = 4  # that the log takes of a commit, about
    TOLD_EVERY = 8  # commits


cdef object text(Statement statement, int i):
    cdef const char* data = <const char*> column_blob(statement, i)
    return PyUnicode_DecodeUTF8(data, column_bytes(statement, i), NULL)


cdef object octets(Statement statement, int i):
    cdef const char* data = <const char*> column_blob(statement, i)
    return PyBytes_FromStringAndSize(data, column_bytes(statement, i))


@cython.final
cdef class Single:
    cdef Connection connection
    cdef Statement card
    cdef Step steps[2]
    cdef object tell
    cdef list words  # of the card that was read last
    cdef int untold
    cdef readonly int64_t write_ns

    def __init__(self, Connection connection not None, str card not None, str entry not None, str account not None, tell not None):
        self.connection = connection
        self.tell = tell
        self.words = [""] * CARD_FIELDS
        self.card = connection.prepare(card)
        self.steps[0] = Step(connection.prepare(entry), 1, ENTRY_FIELDS, 0)
        self.steps[1] = Step(connection.prepare(account), 1, ACCOUNT_FIELDS, ENTRY_FIELDS)
        assert column_count(self.card) == CARD_FIELDS + 2, "a card with its account has another number of values"
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
                    return self.found()
                if result != SQLITE_DONE:
                    raise self.connection.error()
                return None
            finally:
                reset(statement)
        except DirectError as error:
            self.connection.abandon()
            raise port.StoreError(f"cannot begin: {error}") from error

    cdef object word(self, int i):
        """A text that is one object in all cards; the last card had the same, mostly."""
        cdef Py_ssize_t length
        cdef str last = <str> self.words[i]
        cdef const char* known = PyUnicode_AsUTF8AndSize(last, &length)
        cdef const char* data = <const char*> column_blob(self.card, i)
        if column_bytes(self.card, i) != length or memcmp(data, known, length) != 0:
            last = intern(text(self.card, i))
            self.words[i] = last
        return last

    cdef object found(self):
        """`port.found_of` the present row."""
        cdef Statement row = self.card
        account_id = column_int64(row, 1)
        card = CardRow(
            text(row, 0), account_id, self.word(2), self.word(3), column_int64(row, 4), self.word(5), self.word(6), column_int64(row, 7),
            column_int64(row, 8), octets(row, 9), column_int64(row, 10), column_int64(row, 11),
        )
        return Found(card, AccountRow(account_id, octets(row, 12), column_int64(row, 13)))

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

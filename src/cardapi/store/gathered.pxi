# What is read without the interpreter lock, gathered in one block of memory and made into objects afterwards; a part of direct.pyx.

cdef struct Gathered:
    char* data
    Py_ssize_t length
    Py_ssize_t cap
    Py_ssize_t rows


cdef bint room(Gathered* found, Py_ssize_t more) noexcept nogil:
    cdef char* grown
    if found.length + more > found.cap:
        found.cap = (found.length + more) * 2 + 4096
        grown = <char*> realloc(found.data, found.cap)
        if grown == NULL:
            return False
        found.data = grown
    return True


cdef bint keep(Gathered* found, Statement statement, int columns) noexcept nogil:
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


cdef int gather(Step* one, Cell* cells, Gathered* found) noexcept nogil:
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


cdef object value_at(Gathered* found, Py_ssize_t* at):
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


cdef list rows_of(Gathered* found, int width):
    cdef Py_ssize_t at = 0
    return [tuple([value_at(found, &at) for _ in range(width)]) for _ in range(found.rows)]

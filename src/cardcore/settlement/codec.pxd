from cardcore.settlement.model cimport Account, Settlement

cdef bytes write_account(Account account)
cdef int read_account(Account account, bytes data) except -1
cdef bytes write_settlement(Settlement s)
cdef int read_settlement(Settlement s, bytes data) except -1

"""Coupons used in a ticket, coupons given, and gifts for points. Cold: few tickets bring one."""

from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Settlement, Snapshot, Value
from cardcore.settlement.rules cimport Programme, Rules
from cardcore.settlement.tender cimport SaleIn, Work

cdef int use_coupons(Programme programme, const Value* v, tuple coupons, tuple skus, const SaleIn* sale, int64_t at_s, Work* w) except -1
cdef int capture_coupon(Settlement s, const Rules* r, int posting, int64_t off_fen, int64_t held_fen) except -1
cdef int return_coupons(
    Settlement s, const Rules* r, Settlement ticket, list undone, int64_t left_fen, bint whole, bint explain
) except -1
cdef Settlement decide_give(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_redeem(Snapshot snapshot, object command, int64_t at_us)

"""`decide`: one doorway for every verb. Each verb has its own file; this one only finds it."""

from libc.stdint cimport int64_t

from cardcore.settlement.coupon cimport decide_redeem, decide_give
from cardcore.settlement.event cimport decide_event, decide_review
from cardcore.settlement.medium cimport decide_arrive, decide_clear, decide_load, decide_pay, decide_return, decide_unload
from cardcore.settlement.model cimport Settlement, Snapshot
from cardcore.settlement.sale cimport Sale, decide_sale
from cardcore.settlement.undo cimport decide_capture, decide_refund, decide_release, decide_reverse, decide_void
from cardcore.settlement.value cimport decide_adjust, decide_expire, decide_fee, decide_topup, decide_transfer

from cardcore.errors import AmountOutOfRange, InvalidCommand
from cardcore.settlement.commands import (
    Adjust, Arrive, Capture, Clear, Event, Expire, Fee, Give, Load, Pay, Redeem, Refund, Return, Reverse, Review, TopUp, Transfer, Unload, Void,
)


def decide(Snapshot snapshot not None, command, int64_t at_us):
    try:
        if type(command) is Sale:
            return decide_sale(snapshot, command, at_us)
        return decide_other(snapshot, command, at_us)
    except OverflowError:
        # The bounds of the doorway leave room for every rule in use; a rule that multiplies past 64 bits ends here.
        raise AmountOutOfRange("an amount of this decision leaves 64 bits") from None


cdef Settlement decide_other(Snapshot snapshot, command, int64_t at_us):
    kind = type(command)
    if kind is TopUp:
        return decide_topup(snapshot, command, at_us)
    if kind is Adjust:
        return decide_adjust(snapshot, command, at_us)
    if kind is Transfer:
        if len(snapshot.others) != 1:
            raise InvalidCommand("a transfer has one target")
        return decide_transfer(snapshot, command, at_us)
    if kind is Expire:
        return decide_expire(snapshot, command, at_us) if snapshot.ticket is None else decide_release(snapshot, command, at_us)
    if kind is Event:
        return decide_event(snapshot, command, at_us)
    if kind is Review:
        return decide_review(snapshot, command, at_us)
    if kind is Clear:
        return decide_clear(snapshot, command, at_us)
    if kind is Give:
        return decide_give(snapshot, command, at_us)
    if kind is Redeem:
        return decide_redeem(snapshot, command, at_us)
    if kind is Fee:
        return decide_fee(snapshot, command, at_us)
    if kind is Load:
        return decide_load(snapshot, command, at_us)
    if kind is Unload:
        return decide_unload(snapshot, command, at_us)
    if kind is Pay:
        return decide_pay(snapshot, command, at_us)
    if kind not in (Capture, Void, Refund, Reverse, Arrive, Return):
        raise InvalidCommand(f"unknown command {kind.__name__}")
    if snapshot.ticket is None:
        raise InvalidCommand("this verb names an earlier entry")
    if kind is Arrive:
        return decide_arrive(snapshot, command, at_us)
    if kind is Return:
        return decide_return(snapshot, command, at_us)
    if kind is Capture:
        return decide_capture(snapshot, command, at_us)
    if kind is Void:
        return decide_void(snapshot, command, at_us)
    if kind is Refund:
        return decide_refund(snapshot, command, at_us)
    return decide_reverse(snapshot, command, at_us)

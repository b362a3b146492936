"""What an entry about a chip must fit before it is written: the medium that its memo names (K1, K7, K8, M6)."""

from __future__ import annotations

import msgspec

from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.store.media import is_chip, unpack_shown
from cardapi.store.port import CardRow
from cardcore.errors import Declined

COUNTER_MAX = 65_535
UNSIGNED_MAX = 0xFFFFFFFF


def fit(work: Work, request: Request, card: CardRow, ref: int) -> None:
    """Hold a money verb to the medium its memo names, inside the transaction that posts.

    Raises Problem unknown_medium and invalid_payload; Declined not_same_card, medium_not_active, in_flight_open, not_in_flight.
    """
    assert request.command is not None, "a money verb has a command"
    try:
        shown = unpack_shown(request.command.memo)
    except msgspec.MsgspecError as error:
        raise Problem("invalid_payload", "the memo of this verb names a medium", name="memo") from error
    if shown is None:
        return
    row = work.medium(shown.medium)
    if row is None or not is_chip(row.medium):
        raise Problem("unknown_medium", "there is no such chip")
    if row.account_id != card.account_id:
        raise Declined("not_same_card")
    if request.verb in ("load", "unload", "pay"):
        if row.in_flight:
            raise Declined("in_flight_open", position=row.in_flight)
        if request.verb == "unload":
            if row.state == "blocked":
                raise Declined("medium_not_active", state=row.state)
        elif row.state != "active":
            raise Declined("medium_not_active", state=row.state)
    elif request.verb != "clear" and row.in_flight != ref:
        raise Declined("not_in_flight")
    most = COUNTER_MAX if row.medium.startswith("pboc:") else UNSIGNED_MAX
    within = -1 <= shown.online_counter <= COUNTER_MAX and -1 <= shown.offline_counter <= most
    if not (within and -1 <= shown.balance_fen <= UNSIGNED_MAX):
        raise Problem("invalid_payload", "a counter or balance of the memo is out of range", name="memo")

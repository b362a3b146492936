"""[membership] of a pack: who may become a member and how (L04-L10). Decisions do not read it; it stays in the pack's text."""

from __future__ import annotations

from typing import Final

from cardcore.settlement.toml_reader import Table

AMOUNT_MAX: Final = 10**15  # as in cardcore.money; tests hold the two equal
ROUTES: Final = ("registration", "purchase", "day", "fee", "group", "import")
MONTHS_MAX: Final = 1_200


def check(membership: Table) -> None:
    """Note every problem of the table."""
    membership.integer("age_min", 0, 150, 0)
    for route in membership.names("routes", "[a-z]+", "a route", len(ROUTES)) or ():
        if route not in ROUTES:
            membership.wrong("routes", f"there is no route `{route}`; routes are: {', '.join(ROUTES)}")
    for key in ("single_fen", "cumulative_fen", "day_fen", "fee_fen", "free_from_fen"):
        membership.integer(key, 0, AMOUNT_MAX, 0)
    membership.fraction("group_rate", 1, default=None)
    membership.flag("referral", True)
    suspend = membership.integer("suspend_months", 0, MONTHS_MAX, 0)
    leave = membership.integer("leave_months", 0, MONTHS_MAX, 0)
    if leave and leave <= suspend:
        membership.wrong("leave_months", "membership ends after it was suspended: `leave_months` must be above `suspend_months`")
    membership.close()

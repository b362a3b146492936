"""Top-up, transfer, adjustment, expiry."""

from cardcore.settlement.rules import Programme

def purse_in(source: Programme, purse: int, target: Programme) -> int:
    """The purse of the same name and unit in another programme, else the first of the same role.

    Raises Declined (transfer_not_allowed).
    """

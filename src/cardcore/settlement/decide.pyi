"""One doorway for every verb."""

from cardcore.settlement.commands import (
    Adjust,
    Arrive,
    Capture,
    Clear,
    Event,
    Expire,
    Fee,
    Give,
    Load,
    Pay,
    Redeem,
    Refund,
    Return,
    Reverse,
    Review,
    TopUp,
    Transfer,
    Unload,
    Void,
)
from cardcore.settlement.model import Settlement, Snapshot
from cardcore.settlement.sale import Sale

def decide(snapshot: Snapshot, command: Sale | TopUp | Capture | Void | Refund | Reverse | Transfer | Adjust | Expire | Event | Review | Load | Unload | Pay | Arrive | Return | Clear | Give | Redeem | Fee, at_us: int) -> Settlement:
    """Decide one command, purely: same arguments, same settlement, for ever. The snapshot is not changed.

    Raises Declined, InvalidCommand, AmountOutOfRange. The desk commits the settlement and folds it with `Account.apply` into the
    account and each further account.
    """

"""Events and reviews; `commands.Event` and `commands.Review` have the words."""

from cardcore.settlement.model import Account
from cardcore.settlement.rules import Programme

def ended_value(programme: Programme, account: Account, counter: int, at: int) -> int:
    """What an account's counter had in its period that ended before the one that epoch second `at` lies in. Raises IndexError."""

"""The conversation with a card: APDUs, status words, formats. Pure; a link outside sends and receives."""

from __future__ import annotations

from cardcore.card import value_block
from cardcore.card.apdu import Answer, Command, exchange
from cardcore.card.errors import CardError, CardRefused, InvalidApdu, InvalidValueBlock, UnexpectedAnswer
from cardcore.card.status import meaning, require, tries_left

__all__ = [
    "Answer",
    "CardError",
    "CardRefused",
    "Command",
    "InvalidApdu",
    "InvalidValueBlock",
    "UnexpectedAnswer",
    "exchange",
    "meaning",
    "require",
    "tries_left",
    "value_block",
]

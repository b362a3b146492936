"""The conversation with a card: APDUs, status words, and the dialogues of PBOC purses and DESFire cards. Pure."""

from __future__ import annotations

from cardcore.card import (
    desfire,
    desfire_issue,
    desfire_station,
    desfire_value,
    issue_seals,
    psam,
    purse,
    purse_debit,
    purse_issue,
    purse_load,
    purse_proof,
    seals,
    value_block,
)
from cardcore.card.apdu import Answer, Command
from cardcore.card.errors import CardError, CardRefused, InvalidApdu, InvalidValueBlock, OtherCard, UnexpectedAnswer
from cardcore.card.status import meaning, require, tries_left

__all__ = [
    "Answer",
    "CardError",
    "CardRefused",
    "Command",
    "InvalidApdu",
    "InvalidValueBlock",
    "OtherCard",
    "UnexpectedAnswer",
    "desfire",
    "desfire_issue",
    "desfire_station",
    "desfire_value",
    "issue_seals",
    "meaning",
    "psam",
    "purse",
    "purse_debit",
    "purse_issue",
    "purse_load",
    "purse_proof",
    "require",
    "seals",
    "tries_left",
    "value_block",
]

"""What a card, or the line to it, can get wrong. Facts carry status words, never keys, PINs or card data."""

from __future__ import annotations

from cardcore.errors import CardcoreError


class CardError(CardcoreError):
    """Root of the room's errors; only its leaves are raised."""


class InvalidApdu(CardError, ValueError):
    """Octets that are no command or answer APDU, or a command that cannot be encoded."""

    code = "invalid_apdu"


class UnexpectedAnswer(CardError):
    """A card answered with the right status but not in the form its specification gives, or without end."""

    code = "unexpected_answer"


class CardRefused(CardError):
    """A card answered with a status word that is not success. `facts["status"]` is the word as four hex digits."""

    code = "card_refused"


class InvalidValueBlock(CardError, ValueError):
    """A MIFARE Classic block that is not a value block: its copies and complements disagree."""

    code = "invalid_value_block"


class OtherCard(CardError):
    """Another card is on the reader than the one an open transaction is about."""

    code = "other_card"

"""What status words mean: ISO/IEC 7816-4:2013, table 6, the words of PBOC purses, and the wrapped status of DESFire."""

from __future__ import annotations

from cardcore.card.errors import CardRefused

SUCCESS = 0x9000
DESFIRE_OK, DESFIRE_MORE = 0x9100, 0x91AF

ISO: dict[int, str] = {
    0x9000: "done",
    0x6200: "warning, nothing changed",
    0x6281: "part of the data may be corrupt",
    0x6282: "end of file reached early",
    0x6283: "the selected file is blocked",
    0x6300: "authentication failed",
    0x6400: "execution error, nothing changed",
    0x6581: "the card's memory could not be written",
    0x6700: "wrong length",
    0x6881: "logical channel not supported",
    0x6882: "secure messaging not supported",
    0x6900: "the class byte does not match the protection of the file",
    0x6901: "not allowed in this state",
    0x6981: "wrong type of file for this command",
    0x6982: "security status not satisfied",
    0x6983: "the key or PIN is locked",
    0x6984: "no valid random",
    0x6985: "conditions of use not satisfied",
    0x6986: "no file is selected",
    0x6987: "the secure messaging MAC is missing",
    0x6988: "the secure messaging MAC is wrong",
    0x6A80: "wrong data",
    0x6A81: "function not supported, or the card is blocked",
    0x6A82: "file not found",
    0x6A83: "record not found",
    0x6A84: "no space left in the file",
    0x6A86: "wrong P1 or P2",
    0x6A88: "key not found",
    0x6B00: "offset outside the file",
    0x6D00: "instruction not supported",
    0x6E00: "class not supported",
    0x6F00: "the card cannot go on",
}

PBOC: dict[int, str] = {
    0x9301: "insufficient funds",
    0x9302: "the MAC is wrong",
    0x9303: "the application is permanently locked",
    0x9401: "insufficient funds",
    0x9402: "the transaction counter has reached its end",
    0x9403: "key index not supported",
    0x9406: "no proof for this transaction",
}

DESFIRE: dict[int, str] = {
    0x00: "done",
    0x0C: "nothing to commit or abort",
    0x0E: "no memory left",
    0x1C: "command not supported",
    0x1E: "CRC, MAC or padding wrong",
    0x40: "no such key",
    0x7E: "wrong length of command",
    0x9D: "permission denied",
    0x9E: "parameter out of range",
    0xA0: "no such application",
    0xA1: "application is damaged",
    0xAE: "authentication failed",
    0xAF: "more frames",
    0xBE: "outside the limits of the file",
    0xC1: "card is damaged",
    0xCA: "an earlier command was not finished",
    0xCD: "card is disabled",
    0xCE: "too many applications",
    0xDE: "exists already",
    0xEE: "the card's memory could not be written",
    0xF0: "file not found",
    0xF1: "file is damaged",
}


def meaning(status: int) -> str:
    """One line for people. Unknown words say so; nothing is raised."""
    high, low = status >> 8, status & 0xFF
    if high == 0x91:
        return DESFIRE.get(low, "unknown DESFire status")
    if high == 0x61:
        return f"{low or 256} octets wait"
    if high == 0x6C:
        return f"wrong length, {low or 256} is right"
    tries = tries_left(status)
    if tries is not None:
        return f"wrong PIN or key, {tries} tries left"
    return PBOC.get(status) or ISO.get(status, "unknown status word")


def tries_left(status: int) -> int | None:
    """Tries left after 63Cx, else None (ISO/IEC 7816-4, 5.6)."""
    return status & 0x0F if status & 0xFFF0 == 0x63C0 else None


def require(status: int, *good: int) -> None:
    """Raises CardRefused, with `status` as four hex digits, unless it is one of `good` (success when none is named)."""
    if status not in (good or (SUCCESS,)):
        raise CardRefused(f"the card answered {status:04X}: {meaning(status)}", status=f"{status:04X}")

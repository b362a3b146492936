"""What journal entries say of a medium, and how a row follows from them (M3, K1, K7).

The verbs that move value between an account and a chip carry a `Shown` as their settlement's memo: which medium, and what it
showed of itself. `register_medium` and the other steps of a medium's life carry whole rows (see `fold.Step`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from cardapi.store.port import MediumRow

VERBS = frozenset({"load", "unload", "pay", "arrive", "return", "clear"})
INTENTS = frozenset({"load", "unload", "pay"})
SHOWS = frozenset({"arrive", "return", "clear"})
COUNTER_RETIRE = 65_000
"""A purse counter from which its medium is retired: what is left of the 16 bits is for taking the money off (K7)."""


class Shown(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The memo of an entry about a medium: its counters and balance after the entry's step (before it in an intent).

    -1 stands for what was not seen. `facts` are those of the dialogue: the intent, or its proof.
    """

    medium: str
    online_counter: int = -1
    offline_counter: int = -1
    balance_fen: int = -1
    facts: dict[str, Any] = {}


pack_shown = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Shown).decode


def unpack_shown(memo: bytes) -> Shown | None:
    """The memo of a card's entry; None when it names no medium. Raises msgspec.DecodeError, msgspec.ValidationError."""
    return _unpack(memo) if memo else None


class KeyPeriod(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A key version that lies on a card, and when records may name it: epoch seconds, `valid_to` exclusive, 0 is open (K6)."""

    version: int
    valid_from: int = 0
    valid_to: int = 0


pack_keys = msgspec.msgpack.Encoder().encode
unpack_keys = msgspec.msgpack.Decoder(list[KeyPeriod]).decode


def key_allowed(row: MediumRow, version: int, at: int) -> bool:
    """Whether a record of epoch second `at` may name this key version of the medium (K6)."""
    return any(key.version == version and key.valid_from <= at and (not key.valid_to or at < key.valid_to) for key in unpack_keys(row.keys))


def is_chip(medium: str) -> bool:
    """Whether the medium can hold value: a UID, stripe or code only identifies (K8)."""
    return medium.startswith(("pboc:", "desfire:"))


def after(row: MediumRow, verb: str, position: int, shown: Shown) -> MediumRow:
    """The row once an applied entry has shown something of the medium. Counters only rise; the newest balance counts (K1)."""
    in_flight = position if verb in INTENTS else 0 if verb in ("arrive", "return") else row.in_flight
    online, offline, balance, state = row.online_counter, row.offline_counter, row.balance_fen, row.state
    if verb in SHOWS:
        seen_online = shown.online_counter if shown.online_counter >= 0 else online
        seen_offline = shown.offline_counter if shown.offline_counter >= 0 else offline
        if shown.balance_fen >= 0 and seen_online >= online and seen_offline >= offline:
            balance = shown.balance_fen
        online, offline = max(online, seen_online), max(offline, seen_offline)
        if state == "active" and row.medium.startswith("pboc:") and max(online, offline) >= COUNTER_RETIRE:
            state = "retired"
    return msgspec.structs.replace(
        row, state=state, online_counter=online, offline_counter=offline, balance_fen=balance, in_flight=in_flight, changed_at=position
    )

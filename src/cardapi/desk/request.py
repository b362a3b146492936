"""What an edge hands to the desk, and what the desk refuses without recording it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cardapi.custody import Pin
from cardcore.errors import CardcoreError

if TYPE_CHECKING:
    from cardcore.settlement import Command


class Request(msgspec.Struct, gc=False):
    """One verb as an edge hands it in: who, what and under which client key. Scope was judged before (R1, R2).

    Money verbs (with `command`): settle hold capture void refund reverse topup transfer adjust expire; between account and chip
    load unload pay arrive return clear, whose memo names the medium (`store.media.Shown`).
    Life cycle: stock issue activate lost freeze unfreeze swap reissue cancel expire_card take_back destroy exclude.
    Media: register_medium retire_medium block_medium unblock_medium.
    PIN: set_pin verify_pin unlock_pin. Registry: change.
    Members: enrol profile consent link unlink member_state disqualify merge split disclose erase.
    """

    verb: str
    client: str  # "terminal:<id>" | "operator:<id>" | "system"
    client_key: str  # 1..255 printable characters, made by the caller before its first try (O1)
    fingerprint: bytes  # 16 bytes: `Desk.fingerprint(meaning)`
    card: str = ""  # may stay empty when `ref` or `ref_key` names the entry, and for `issue` and `stock` by prefix
    command: Command | None = None
    further: tuple[str, ...] = ()  # further cards in tender order, or a transfer's target
    ref: int = 0  # position of the entry this one names
    ref_key: tuple[str, str] | None = None  # or its (client, client_key); a void of an unseen key leaves a tombstone (O6)
    partition: int = 0  # of `ref`
    unit: str = ""
    terminal: str = ""
    operator: str = ""
    approver: str = ""
    reason: str = ""
    pin: Pin | None = None
    payload: dict[str, Any] = {}
    """Facts of a life cycle verb or of `change`:
    stock, issue {"programme", "prefix", "kind", "valid_until"}: the number is made from the account when `card` is empty
    lost {"effective_at"} epoch seconds, 0 = now
    swap, reissue {"to": number of a stock or issued card or a new number, "prefix": when "to" is absent, "valid_until"}
    exclude {"excluded": bool}
    register_medium {"medium", "profile", "keys": [[version, valid_from, valid_to]], "purse", "offline_counter"}; the other steps {"medium"}
    change {"kind", "id", "document"}, or "remove" in place of the document of a session; "seen": the document before, as JSON with
    sorted keys, if it must still be so
    reissue also {"fee_fen", "fee_tender"}
    enrol {"profile", "claim", "consents", "referrer", "card", "programme", "fee_tender"}; the other verbs of members name "member", and
    profile {"changes"}, consent {"consents"}, member_state {"state"}, merge {"into"}; nothing of a profile enters the entry
    """


class Problem(CardcoreError):
    """A request the desk does not take: nothing recorded, nothing changed. `code` is per instance.

    key_required key_reused unknown_card unknown_ticket unknown_programme invalid_payload number_taken
    maker_is_checker not_ready busy unexpected (the outcome is unknown)
    """

    def __init__(self, code: str, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or code.replace("_", " "), **facts)
        self.code = code

"""`verify` does not trust the chain alone: entries with a good mac that do not add up are found too (M3, M8, M10, O1).

The journal is written again with the chain key after one entry was changed, as a fault in the desk or someone with the key
would leave it; each kind of disagreement is then named at its position.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cardapi.store import statements as sql
from cardapi.store.chain import genesis_mac, pack_further, seal
from cardapi.store.fold import is_settlement
from cardapi.store.port import Entry
from cardcore.settlement import Settlement
from tests.store.conftest import Copy
from tests.store.test_tampering import open_to_damage


def forge(copy: Copy, position: int, **changes: Any) -> str:
    """Change one entry, chain everything after it again, and return the reason `verify` gives, which must name it."""
    connection = open_to_damage(copy.store)
    key = copy.custody.chain_key(0)
    entries = list(copy.store.journal(0))
    previous = genesis_mac(key, 0, copy.store.partitions()[0])
    names = sql.ENTRY_COLUMNS.split(", ")
    for entry in entries:
        if entry.position == position:
            entry = msgspec.structs.replace(entry, **changes)
        sealed = seal(key, previous, msgspec.structs.astuple(entry)[:-1])
        previous = sealed.mac
        row = msgspec.structs.asdict(sealed) | {"id": sealed.position}
        connection.execute(f"UPDATE entry SET {', '.join(f'{name} = :{name}' for name in names)} WHERE id = :id", row)
    bad = copy.verify(checkpoints=False).first_bad
    assert bad is not None, changes
    assert (bad.table, bad.position) == ("entry", position), bad
    return bad.reason


def find(copy: Copy, verb: str, outcome: str = "applied", **more: bool) -> Entry:
    for entry in copy.store.journal(0):
        if entry.verb == verb and entry.outcome == outcome and all(bool(getattr(entry, name)) == value for name, value in more.items()):
            return entry
    raise AssertionError(f"the ledger has no {verb}")


def test_a_chain_written_again_is_as_good_as_the_first(copy: Copy) -> None:
    with pytest.raises(AssertionError):
        forge(copy, 0)
    assert copy.verify(checkpoints=False).ok


def test_prior(copy: Copy) -> None:
    entry = find(copy, "settle")
    assert "prior" in forge(copy, entry.position, prior=entry.prior - 1)


def test_further(copy: Copy) -> None:
    entry = find(copy, "settle", further=True)
    assert "further" in forge(copy, entry.position, further=b"")


def test_further_of_an_entry_without_any(copy: Copy) -> None:
    assert "further" in forge(copy, find(copy, "topup").position, further=pack_further([(1, 1)]))


def test_liability(copy: Copy) -> None:
    entry = find(copy, "settle")
    assert "liability" in forge(copy, entry.position, liability_fen=entry.liability_fen + 1)


def test_a_settlement_of_another_account(copy: Copy) -> None:
    entry = find(copy, "settle", further=False)
    other = next(row.account_id for row in copy.store.accounts() if row.account_id != entry.account_id)
    assert forge(copy, entry.position, account_id=other)


def test_a_name_that_leads_nowhere(copy: Copy) -> None:
    entry = find(copy, "refund")
    assert "names entry" in forge(copy, entry.position, ref=entry.position + 1)


def test_a_name_that_leads_to_another_account(copy: Copy) -> None:
    entry = find(copy, "refund")
    other = next(e for e in copy.store.journal(0) if is_settlement(e) and e.account_id != entry.account_id and e.position < entry.position)
    assert "no settlement of this account" in forge(copy, entry.position, ref=other.position)


def test_a_refund_larger_than_its_ticket(copy: Copy) -> None:
    """The refund is made to name an earlier and smaller sale of the same account."""
    for entry in copy.store.journal(0):
        if entry.verb != "refund" or entry.outcome != "applied":
            continue
        given = Settlement.unpack(entry.body).net_fen
        for sale in copy.store.journal(0, 0, entry.position - 1):
            same = sale.verb == "settle" and is_settlement(sale) and sale.account_id == entry.account_id
            if same and Settlement.unpack(sale.body).net_fen < given:
                assert "gives back more" in forge(copy, entry.position, ref=sale.position)
                return
    raise AssertionError("the ledger has no such pair")


def test_a_body_that_does_not_decode(copy: Copy) -> None:
    entry = find(copy, "topup")
    assert "does not fold" in forge(copy, entry.position, body=entry.body + b"\0")


def test_a_refusal_that_was_applied(copy: Copy) -> None:
    entry = find(copy, "settle", outcome="refused")
    assert forge(copy, entry.position, outcome="applied", code="")


def test_a_card_step_from_another_state(copy: Copy) -> None:
    first, second = [entry for entry in copy.store.journal(0) if entry.verb == "activate"][:2]
    assert "does not fold" in forge(copy, second.position, body=first.body)


def test_an_unknown_verb(copy: Copy) -> None:
    assert "unknown verb" in forge(copy, find(copy, "activate").position, verb="bless")


def test_an_empty_void_without_tombstone(copy: Copy) -> None:
    entry = find(copy, "void", body=False)
    assert "tombstone" in forge(copy, entry.position, ref=1)

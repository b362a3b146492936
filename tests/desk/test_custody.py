"""Keys from the root secret, and identifiers: each purpose, name and version has its own bytes, the same after loading again."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cardapi.custody import Custody, CustodyError, Secret
from cardapi.ids import is_slug, parse_ticket_id, ticket_id


def keys(custody: Custody) -> list[bytes]:
    terminals = [custody.terminal_key(name, version).reveal() for name in ("t1", "t2", "t") for version in (1, 2)]
    signer = custody.checkpoint_signer().private_bytes_raw()
    return [custody.chain_key(0), custody.chain_key(1), signer, custody.fingerprint(b"x"), *terminals]


def test_every_purpose_has_its_own_key(tmp_path: Path) -> None:
    custody = Custody.create(tmp_path)
    assert len(set(keys(custody))) == len(keys(custody))
    assert keys(Custody.load(tmp_path)) == keys(custody)
    with pytest.raises(CustodyError, match="exists"):
        Custody.create(tmp_path)


def test_the_derivation_by_hand(tmp_path: Path) -> None:
    """RFC 5869 with SHA-256 and no salt over the documented label (another release must read the same chain)."""
    root = bytes(range(32))
    info = b"cardcore" + bytes([5, 4, 0, 0, 0, 1]) + b"chain" + bytes(4)
    expected = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(root)
    assert Custody(Secret(root)).chain_key(0) == expected


def test_secrets_stay_inside() -> None:
    secret = Secret(b"value")
    assert secret == Secret(b"value")
    assert secret != Secret(b"other")
    assert "value" not in f"{secret}{secret!r}{[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert not hasattr(secret, "__dict__")


def test_ticket_ids_go_both_ways_and_sort_by_position() -> None:
    places = [(0, 1), (0, 255), (0, 256), (0, 2**48 - 1), (1, 1), (255, 7)]
    names = [ticket_id(*place) for place in places]
    assert names == sorted(names)
    assert [parse_ticket_id(name) for name in names] == places


@pytest.mark.parametrize(
    "text", ["", "00-", "00-00000000000A", "0-000000000001", "00-0000000000001", "00-000000000000", "00-00000000000１", "00-000000000001\n"]
)
def test_malformed_ticket_ids(text: str) -> None:
    with pytest.raises(ValueError, match="ticket id"):
        parse_ticket_id(text)


def test_slugs() -> None:
    assert all(map(is_slug, ("a", "t-1", "0", "x" * 32)))
    assert not any(map(is_slug, ("", "-a", "A", "a b", "x" * 33, "é", "a\n")))

"""The batch file: every field comes back, a file cut at any octet gives its whole records, and damage is told and never guessed over.

Method: fixed records, a file cut and flipped at each octet, and octets that Hypothesis makes up. Offsets are checked against the
table of docs/clearing.md, written out here by hand.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardapi.clearing.file import BatchWriter, fragments, scan
from cardcore.clearing import BLOCK, Header, InvalidBatch, PurseRecord, ValueRecord, parse
from cardcore.clearing.layout import Seal, decode_record, encode_all, reader_id

HEADER = Header(bytes.fromhex("112233445566"), 7, 1_790_000_000, bytes.fromhex("20261122083000"), bytes(range(10)))
PURSE = PurseRecord(
    1250, 6, HEADER.terminal, 0x00010002, bytes.fromhex("20261122101112"), b"TACX", b"ISSUER01", b"SERIAL0001", 0x0102, 10_000, 5, 2, 3, 1,
    b"SAM0000001",
)  # fmt: skip
VALUE = ValueRecord(
    990, HEADER.terminal, 3, bytes.fromhex("20261122101213"), b"TMVALUE8", bytes.fromhex("04112233445566"), 0x01020304, -2, 1, 1,
    b"PREVIOUSREADERID",
)  # fmt: skip


def batch(path: Path, count: int = 5, *, sealed: bool = False) -> bytes:
    with BatchWriter(path, HEADER) as writer:
        for number in range(count):
            writer.append(replace(PURSE, number=number, amount=100 + number))
        if sealed:
            writer.seal()
    return path.read_bytes()


def test_every_field_stands_where_the_table_says() -> None:
    block = PURSE.encode()
    assert len(block) == BLOCK
    assert block[0:2] == b"\x01\x00"
    assert block[2:24] == bytes.fromhex("000004E2 06 112233445566 00010002 20261122 101112"), "as the TAC signs them"
    assert block[24:28] == b"TACX"
    assert block[28:31] == bytes((2, 3, 1)), "key index, key version, algorithm"
    assert block[31:33] == bytes.fromhex("0102"), "card counter"
    assert block[33:40] == bytes.fromhex("00002710 000005"), "balance, overdraw"
    assert block[40:68] == b"ISSUER01SERIAL0001SAM0000001"
    assert block[68:] == zlib.crc32(block[:68]).to_bytes(4)
    block = VALUE.encode()
    assert block[0:2] == b"\x02\x01"
    assert block[2:24] == bytes.fromhex("000003DE DC 112233445566 00000003 20261122 101213")
    assert block[24:34] == b"TMVALUE8" + bytes((1, 1)), "TMV, file, key version"
    assert block[34:45] == VALUE.uid + bytes.fromhex("01020304")
    assert block[45:65] == bytes.fromhex("FFFFFFFE") + b"PREVIOUSREADERID"
    assert block[65:68] == bytes(3)
    head = HEADER.encode()
    assert head[:35] == b"CCB1" + HEADER.terminal + bytes.fromhex("00000007") + (1_790_000_000).to_bytes(4) + HEADER.opened + HEADER.sam
    assert head[35:68] == bytes(33)
    seal = Seal(2, 300, bytes(range(32))).encode()
    assert seal[:48] == b"\xff\0\0\0" + bytes.fromhex("00000002 000000000000012C") + bytes(range(32))


def test_records_come_back() -> None:
    assert decode_record(PURSE.encode()) == PURSE
    assert decode_record(VALUE.encode()) == VALUE
    assert Header.decode(HEADER.encode()) == HEADER
    found = parse(encode_all(HEADER, [PURSE, VALUE]))
    assert found.header == HEADER
    assert found.seal is None
    assert found.records["signed"]["amount"].tolist() == [1250, 990]


def test_the_reader_id_carries_what_the_purse_mac_covers() -> None:
    assert reader_id(VALUE.terminal, VALUE.number, VALUE.at) == bytes.fromhex("112233445566 00000003 261122101213")
    assert len(VALUE.inputs()) == 16 + 16 + 48
    assert len(replace(VALUE, reader_proven=False).inputs()) == 32


@pytest.mark.parametrize("field", ["amount", "kind", "number", "counter", "balance", "overdraw", "key_version"])
def test_fields_that_do_not_fit_are_refused(field: str) -> None:
    for value in (-1, 1 << 32):
        with pytest.raises(InvalidBatch):
            replace(PURSE, **{field: value}).encode()  # type: ignore[arg-type]
    with pytest.raises(InvalidBatch):
        replace(PURSE, tac=b"123").encode()


def test_a_file_cut_at_any_octet_keeps_its_whole_records_and_goes_on(tmp_path: Path) -> None:
    whole = batch(tmp_path / "whole", 3)
    for cut in range(BLOCK, len(whole) + 1):
        path = tmp_path / "cut"
        path.write_bytes(whole[:cut])
        content = scan(path)
        assert content.count == cut // BLOCK - 1
        assert content.torn == cut % BLOCK
        with BatchWriter(path):
            assert path.stat().st_size == cut - cut % BLOCK, "the torn tail is gone before anything is appended"
        with BatchWriter(path) as writer:
            writer.append(replace(PURSE, number=99))
        again = scan(path)
        assert (again.count, again.torn) == (content.count + 1, 0)
        assert path.read_bytes()[: content.count * BLOCK + BLOCK] == whole[: content.count * BLOCK + BLOCK]
        path.unlink()


def test_a_header_that_was_never_whole_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "new"
    for cut in (0, 1, BLOCK - 1):
        path.write_bytes(HEADER.encode()[:cut])
        with BatchWriter(path, HEADER) as writer:
            writer.append(PURSE)
        assert scan(path).count == 1


def test_a_last_block_of_full_length_but_torn_inside_is_dropped(tmp_path: Path) -> None:
    """The file system may lengthen the file before the octets arrive."""
    whole = batch(tmp_path / "whole", 3)
    for kept in range(BLOCK):
        torn = whole[:-BLOCK] + whole[-BLOCK : len(whole) - BLOCK + kept] + bytes(BLOCK - kept)
        path = tmp_path / "torn"
        path.write_bytes(torn)
        content = scan(path)
        assert (content.count, content.torn) == ((3, 0) if torn == whole else (2, BLOCK))


def test_damage_before_the_end_is_an_error_and_not_a_torn_tail(tmp_path: Path) -> None:
    whole = batch(tmp_path / "whole", 3)
    path = tmp_path / "bad"
    for at in range(len(whole) - BLOCK):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises(InvalidBatch):
            scan(path)
        with pytest.raises(InvalidBatch):
            BatchWriter(path)


def test_a_sealed_batch_is_closed_for_good_and_adds_up(tmp_path: Path) -> None:
    path = tmp_path / "batch"
    whole = batch(path, 4, sealed=True)
    content = scan(path)
    assert content.seal == Seal(4, 100 + 101 + 102 + 103, hashlib.sha256(whole[: 5 * BLOCK]).digest())
    with pytest.raises(InvalidBatch, match="sealed"):
        BatchWriter(path)
    for at in range(BLOCK, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            found = scan(path)
        except InvalidBatch:
            continue
        assert found.seal is None, "a damaged seal seals nothing"
        assert found.torn == BLOCK
    path.write_bytes(whole[: 2 * BLOCK] + whole[3 * BLOCK :])
    with pytest.raises(InvalidBatch, match="does not fit"):
        scan(path)
    path.write_bytes(whole + whole[BLOCK : 2 * BLOCK])
    with pytest.raises(InvalidBatch):
        scan(path)


def test_a_writer_refuses_another_batch(tmp_path: Path) -> None:
    batch(tmp_path / "batch")
    with pytest.raises(InvalidBatch, match="another batch"):
        BatchWriter(tmp_path / "batch", replace(HEADER, batch=8))
    with pytest.raises(FileNotFoundError):
        BatchWriter(tmp_path / "absent")


@pytest.mark.parametrize("sealed", [False, True])
def test_fragments_are_batches_of_their_own_and_give_the_whole(tmp_path: Path, sealed: bool) -> None:
    path = tmp_path / "batch"
    batch(path, 10, sealed=sealed)
    for size in (1, 3, 10, 11):
        for after in (0, 4, 10):
            pieces = [parse(piece) for piece in fragments(path, scan(path), records=size, after=after)]
            numbers = [number for piece in pieces for number in piece.records["signed"]["terminal_number"].tolist()]
            assert numbers == list(range(after, 10))
            assert [piece.seal is not None for piece in pieces] == [False] * (len(pieces) - 1) + [sealed]


@given(st.data())
def test_any_octets_are_parsed_or_refused(data: st.DataObject) -> None:
    whole = bytearray(encode_all(HEADER, [PURSE, VALUE, PURSE]) + Seal(3, 3490, bytes(32)).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    first = data.draw(st.integers(0, len(whole)))
    piece = bytes(whole[: data.draw(st.integers(first, len(whole)))]) + data.draw(st.binary(max_size=80))
    try:
        found = parse(piece)
    except InvalidBatch as error:
        if error.facts["reason"] not in ("magic", "header", "length", "block", "kind", "order", "totals"):
            raise
        return
    blocks = [piece[at : at + BLOCK] for at in range(BLOCK, len(piece), BLOCK)]
    assert [decode_record(block).encode() for block in blocks[: len(found.records)]] == blocks[: len(found.records)]


def test_too_many_records_at_once_are_refused() -> None:
    with pytest.raises(InvalidBatch, match="at most 2"):
        parse(encode_all(HEADER, [PURSE] * 3), records_max=2)


@pytest.mark.parametrize(
    ("kind", "at", "octet"), [("purse", 1, 1), ("purse", 1, 0x80), ("chip", 1, 3), ("chip", 65, 1), ("chip", 67, 0xFF)]
)
def test_a_record_has_one_form(kind: str, at: int, octet: int) -> None:
    """Octets that mean nothing cannot make two records of one: nobody gets a case about a replay that only differs there."""
    signed = (HEADER.terminal, 7, bytes.fromhex("20261122101112"))
    record = (
        PurseRecord(1_00, 6, *signed, bytes(4), bytes(8), bytes(10), 0, 500) if kind == "purse"
        else ValueRecord(1_00, *signed, bytes(8), bytes(7), 1, 500)
    )  # fmt: skip
    block = record.encode()
    assert decode_record(block) == record
    body = block[:at] + bytes([octet]) + block[at + 1 : -4]
    other = body + zlib.crc32(body).to_bytes(4)
    header = HEADER.encode()
    for refused in (lambda: decode_record(other), lambda: parse(header + block + other)):
        with pytest.raises(InvalidBatch) as caught:
            refused()
        assert caught.value.facts["reason"] == "block"

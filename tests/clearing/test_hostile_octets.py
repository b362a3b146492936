"""Goal: no upload, whatever stands in it, gets another answer than an outcome for each record or a refusal of the whole; nothing stops.

Method: blocks of random and mutated octets with right CRCs, through the parser, the key store and the desk, and over HTTP by hand.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardcore.clearing import BLOCK, InvalidBatch, parse
from cardcore.clearing.body import Cleared
from cardcore.clearing.layout import DESFIRE, PURSE
from tests.clearing.yard import Yard
from tests.support import LONG


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    made = Yard(tmp_path_factory.mktemp("octets") / "shop")
    yield made
    made.till.sound()
    made.till.shop.close()


def closed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4)


@settings(max_examples=400 if LONG else 40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_records_of_any_octets_are_each_accounted_for(yard: Yard, data: st.DataObject) -> None:
    card = yard.card(1_00)
    genuine = [yard.pay(card, 1).encode(), yard.debit(yard.card(1_00, chip=True), 1).encode()]
    blocks = []
    for _ in range(data.draw(st.integers(1, 12))):
        body = bytearray(
            data.draw(st.sampled_from(genuine))[:-4] if data.draw(st.booleans()) else data.draw(st.binary(min_size=68, max_size=68))
        )
        body[0] = data.draw(st.sampled_from([PURSE, DESFIRE]))
        for _ in range(data.draw(st.integers(0, 3))):
            body[data.draw(st.integers(1, 67))] = data.draw(st.integers(0, 255))
        blocks.append(closed(bytes(body)))
    octets = yard.header(data.draw(st.integers(0, 3))).encode() + b"".join(blocks)
    try:
        fragment = parse(octets)
    except InvalidBatch:
        return
    reader = yard.till.shop.store.reader()
    upload = yard.prepare.upload(reader, fragment)
    reader.close()
    entry = yard.till.shop.desk.call(
        yard.till.request("clear_batch", key=f"octets-{next(yard.keys)}", command=upload, meaning=[octets.hex()])
    )
    body_ = Cleared.unpack(entry.body)
    assert body_.received == len(blocks) == len(body_) + body_.repeated
    rows = {row.digest for row in yard.store.cleared()}
    assert set(upload.digests) <= rows, "every record has its row"
    assert yard.till.shop.desk.failed is None


def test_an_upload_of_nothing_is_an_upload(yard: Yard) -> None:
    body = yard.upload([])
    assert (body.received, body.repeated, len(body)) == (0, 0, 0)
    assert len(yard.header().encode()) == BLOCK

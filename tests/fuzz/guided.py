"""Fuzzing guided by coverage (atheris): `python -m tests.fuzz.guided answers|batches|apdus|sales -runs=20000 -seed=1`.

Prints nothing and ends with 0 when nothing broke; a crash is printed with the octets that caused it, and `CRASH` names their file.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any


def answers(data: bytes) -> None:
    """The first octet chooses the dialogue, the rest bends the card's answers."""
    from tests.fuzz.dialogues import SCENARIOS

    names = sorted(SCENARIOS)
    if data:
        SCENARIOS[names[data[0] % len(names)]].play(data[1:64])


def apdus(data: bytes) -> None:
    """Commands and answers, as they stand on the line."""
    from tests.fuzz.dialogues import decode

    decode(data)


def batches(data: bytes) -> None:
    """A clearing batch: what is read of it is read the same when it is written again. With an odd first octet checksums are put right."""
    from cardcore.clearing import BLOCK, InvalidBatch, parse
    from cardcore.clearing.layout import decode_record

    repair, text = data[:1], data[1:]
    if repair and repair[0] % 2:
        blocks = [text[at : at + BLOCK - 4] for at in range(0, len(text) - BLOCK + 1, BLOCK)]
        text = b"".join(block + zlib.crc32(block).to_bytes(4) for block in blocks)
    try:
        fragment = parse(text)
    except InvalidBatch:
        return
    assert fragment.header.encode() == text[:BLOCK]
    for place in range(len(fragment.records)):
        block = text[BLOCK * (1 + place) : BLOCK * (2 + place)]
        try:
            record = decode_record(block)
        except InvalidBatch:
            continue
        assert decode_record(record.encode()) == record


def sales(data: bytes) -> None:
    """The body of a sale, with an odd first octet the ticket of a batch: what the short reader takes means the same to the long one."""
    from cardapi.http.sale_body import read, read_ticket
    from tests.http.test_sale_body import same

    keyed = bool(data[:1] and data[0] % 2)
    plain = (read_ticket if keyed else read)(data[1:])
    if plain is not None:
        same(data[1:], plain, keyed=keyed)


TARGETS: dict[str, Callable[[bytes], None]] = {"answers": answers, "apdus": apdus, "batches": batches, "sales": sales}


def main() -> None:
    """Run one target until its number of runs or its time is over."""
    import atheris

    target = TARGETS[sys.argv[1]]
    with atheris.instrument_imports(include=["cardcore"]):
        import cardcore.card
        import cardcore.clearing

        assert cardcore.card
        assert cardcore.clearing
    arguments: list[Any] = [sys.argv[0], *sys.argv[2:]]
    atheris.Setup(arguments, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Goal: memory is before or after a transaction, never between, wherever power fails and whatever the torn byte becomes.
Method: every cut of every transaction, cuts within the recovery too, against a plain dictionary.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from firmware_sim.nvm import Memory, MemoryFull, Power, PowerCut, Store

TORN = {
    "left": None,
    "written": lambda old, new: new,
    "mixed": lambda old, new: (old & 0xF0) | (new & 0x0F),
    "erased": lambda old, new: 0x00,
    "ones": lambda old, new: 0xFF,
}


def content(store: Store) -> dict[bytes, bytes]:
    return {name: store.read(name) for name in store.names()}


def filled() -> Store:
    store = Store(Memory(8192, journal=2048), slots=16)
    store.load()
    store.begin().create(b"a", b"first").create(b"bb", b"\x01\x02\x03").create(b"c", bytes(40)).commit()
    return store


def change(store: Store) -> None:
    store.begin().write(b"a", b"SEC", 1).delete(b"bb").create(b"new", b"object").write(b"c", b"x" * 40).commit()


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_every_cut_gives_before_or_after(torn):
    rehearsal = filled()
    start = rehearsal.memory.power.memory_bytes
    before = content(rehearsal)
    change(rehearsal)
    after, written = content(rehearsal), rehearsal.memory.power.memory_bytes - start
    assert before != after
    outcomes = []
    for cut in range(written):
        store = filled()
        store.memory.power.torn = torn
        store.memory.power.cut_at_memory_byte(cut)
        with pytest.raises(PowerCut):
            change(store)
        store.load()
        found = content(store)
        assert found in (before, after), cut
        outcomes.append(found == after)
        # What recovered stays, and the memory works on.
        store.begin().write(b"c", b"again").commit()
        store.load()
        assert store.read(b"c", 0, 5) == b"again"
    # One commit point: before it the old state, after it the new one.
    assert outcomes == sorted(outcomes)
    assert not outcomes[0]
    assert outcomes[-1]


def test_power_may_fail_again_and_again_while_recovering():
    for first in range(0, 200, 7):
        store = filled()
        before = content(store)
        store.memory.power.cut_at_memory_byte(first)
        with pytest.raises(PowerCut):
            change(store)
        for again in range(200):
            store.memory.power.cut_at_memory_byte(again)
            try:
                store.load()
                break
            except PowerCut:
                continue
        store.memory.power.disarm()
        reference = filled()
        change(reference)
        assert content(store) in (before, content(reference))


def test_a_transaction_is_read_only_after_its_commit():
    store = filled()
    transaction = store.begin().write(b"a", b"FIRST")
    assert store.read(b"a") == b"first"
    transaction.commit()
    assert store.read(b"a") == b"FIRST"


def test_full_memory_changes_nothing():
    store = filled()
    before = bytes(store.memory.cells)
    with pytest.raises(MemoryFull):
        store.begin().create(b"big", bytes(7000))
    with pytest.raises(MemoryFull):
        store.begin().write(b"c", b"x" * 40).create(b"fits", bytes(2100)).commit()
    many = store.begin()
    for number in range(13):
        many.create(b"n%d." % number, b"1")
    with pytest.raises(MemoryFull):
        many.create(b"no slot", b"1")
    assert bytes(store.memory.cells) == before


def test_space_of_deleted_objects_comes_back():
    store = filled()
    for _ in range(50):
        store.begin().create(b"big", bytes(1500)).commit()
        store.begin().delete(b"big").commit()
    assert store.names() == [b"a", b"bb", b"c"]


def test_random_transactions_agree_with_a_dictionary():
    rng = random.Random(7)
    store = Store(Memory(16384, journal=4096), slots=12)
    store.load()
    truth: dict[bytes, bytes] = {}
    for step in range(400):
        transaction, planned = store.begin(), dict(truth)
        for _ in range(rng.randrange(1, 4)):
            name = b"n%d." % rng.randrange(10)
            if name not in planned:
                planned[name] = rng.randbytes(rng.randrange(1, 60))
                transaction.create(name, planned[name])
            elif rng.random() < 0.3:
                del planned[name]
                transaction.delete(name)
            else:
                at = rng.randrange(len(planned[name]))
                planned[name] = planned[name][:at] + b"!" + planned[name][at + 1 :]
                transaction.write(name, b"!", at)
        if rng.random() < 0.5:
            store.memory.power.cut_at_memory_byte(rng.randrange(0, 250))
        try:
            transaction.commit()
            truth = planned
        except PowerCut:
            pass
        store.memory.power.disarm()
        store.load()
        found = content(store)
        assert found in (truth, planned), step
        truth = found


def test_image_file_is_locked_and_survives(tmp_path: Path):
    path = tmp_path / "card.img"
    memory = Memory(8192, journal=2048, path=path)
    store = Store(memory, slots=8)
    store.load()
    store.begin().create(b"a", b"kept").commit()
    with pytest.raises(BlockingIOError):
        Memory(8192, journal=2048, path=path)
    memory.close()
    again = Store(Memory(8192, journal=2048, path=path), slots=8)
    again.load()
    assert again.read(b"a") == b"kept"
    again.memory.close()
    with pytest.raises(ValueError, match="8192 bytes"):
        Memory(4096, journal=1024, path=path)
    (tmp_path / "other").write_bytes(b"not a card" + bytes(4086))
    with pytest.raises(ValueError, match="not a card image"):
        Memory(4096, journal=1024, path=tmp_path / "other")


def test_power_counts_what_it_paid():
    power = Power()
    assert power.pay_memory(5) == 5
    power.cut_at_memory_byte(3)
    assert power.armed()
    assert power.pay_memory(5) == 3
    assert not power.armed()
    assert power.memory_bytes == 8
    power.cut_at_answer_byte(0)
    assert power.pay_answer(2) == 0
    assert power.pay_answer(2) == 2


def test_a_damaged_journal_is_dropped_and_not_applied():
    """The checksum: a committed journal with a bad cell must not be written over good data."""
    reference = filled()
    start = reference.memory.power.memory_bytes
    journal_and_commit_byte = 8 + len(b"SEC") + 6 + 1
    reference.begin().write(b"a", b"SEC", 1).commit()
    assert reference.memory.power.memory_bytes - start > journal_and_commit_byte
    for damaged in range(9, 17 + 6 + 3):
        store = filled()
        before = content(store)
        store.memory.power.cut_at_memory_byte(journal_and_commit_byte)
        with pytest.raises(PowerCut):
            store.begin().write(b"a", b"SEC", 1).commit()
        assert store.memory.cells[8] == 0x5A
        store.memory.cells[damaged] ^= 0x10
        store.load()
        assert content(store) == before, damaged
        assert store.memory.cells[8] == 0

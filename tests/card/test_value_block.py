"""MIFARE Classic value blocks against the data sheet's example; every single wrong bit is found."""

from __future__ import annotations

import pytest

from cardcore.card import InvalidValueBlock, value_block
from tests.crypto.vectors import cases, octets


@pytest.mark.parametrize("vector", cases("mifare_classic_value", "value_block"))
def test_block(vector):
    value, address, block = vector["input"]["value"], vector["input"]["address"], octets(vector["expected"]["block"])
    assert value_block.encode(value, address) == block
    assert value_block.decode(block) == (value, address)
    for bit in range(128):
        bent = bytearray(block)
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidValueBlock):
            value_block.decode(bytes(bent))


@pytest.mark.parametrize("vector", cases("mifare_classic_value", "value_block_invalid"))
def test_invalid_block(vector):
    assert vector["expected"]["valid"] is False
    with pytest.raises(InvalidValueBlock):
        value_block.decode(octets(vector["input"]["block"]))


@pytest.mark.parametrize("block", [b"", bytes(15), bytes(17)])
def test_other_lengths(block):
    with pytest.raises(InvalidValueBlock):
        value_block.decode(block)


@pytest.mark.parametrize(("value", "address"), [(1 << 31, 0), (-(1 << 31) - 1, 0), (0, 256), (0, -1)])
def test_values_outside_the_block(value, address):
    with pytest.raises(InvalidValueBlock):
        value_block.encode(value, address)

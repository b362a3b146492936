"""Goal: the strict scan accepts exactly the JSON that has one reading, and never crashes or reads past the end.

Method: Hypothesis against an oracle made of Python's own json with an `object_pairs_hook`: documents it builds, the same
documents damaged byte by byte, and plain bytes. The codes have a table of their own beside the edges of every bound.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardcore import strictjson

DEPTH, KEYS = 8, 64


class Refused(Exception):
    """The oracle's no."""


def oracle(data: bytes) -> bool:
    """Whether the text has one reading by the rules of the scan, decided slowly and with other means."""
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    if text.startswith("\ufeff"):
        return False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        if len(set(names)) != len(names) or len(names) > KEYS:
            raise Refused
        return dict(items)

    def refuse(_: str) -> Any:
        raise Refused

    def integer(digits: str) -> int:
        if len(digits.lstrip("-")) > 19:
            raise Refused
        return int(digits)

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_float=refuse, parse_constant=refuse, parse_int=integer)
    except (Refused, ValueError, RecursionError):
        return False
    return depth(value) <= DEPTH and clean(value) and not escaped_key(text)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def clean(value: Any) -> bool:
    """No NUL and no lone surrogate in any string."""
    if isinstance(value, dict):
        return all(clean(name) and clean(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(map(clean, value))
    return not isinstance(value, str) or ("\0" not in value and not re.search("[\ud800-\udfff]", value))


def escaped_key(text: str) -> bool:
    """Whether some object key is written with an escape: string tokens followed by a colon."""
    return any("\\" in token[0] for token in re.finditer(r'"(?:[^"\\]|\\.)*"(?=[ \t\r\n]*:)', text))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\0"\\', min_codepoint=0x20), max_size=4)
scalars = st.none() | st.booleans() | st.integers(-(10**19) + 1, 10**19 - 1) | texts
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12)


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """A document in some spelling of it."""
    return json.dumps(draw(documents), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 0, 2]))).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A document with a few bytes changed, inserted, repeated or taken out."""
    data = bytearray(draw(written()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        piece = draw(
            st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b".5", b"e1", b"\\u0000", b"\\ud83d\\ude00", b"0", b"\0"])
        )
        action = draw(st.integers(0, 2))
        data[at : at + (action != 0)] = piece if action != 2 else draw(st.binary(max_size=2))
    return bytes(data)


@given(written())
def test_what_json_writes_is_accepted_unless_a_rule_forbids_it(data: bytes) -> None:
    assert (strictjson.find(data) is None) == oracle(data)


@given(damaged())
def test_damage_is_judged_as_the_oracle_judges_it(data: bytes) -> None:
    assert (strictjson.find(data) is None) == oracle(data), strictjson.find(data)


@given(st.binary(max_size=64))
def test_any_bytes(data: bytes) -> None:
    found = strictjson.find(data)
    assert (found is None) == oracle(data)
    if found is not None:
        assert found[0] in strictjson.CODES
        assert 0 <= found[1] <= len(data)


@given(written(), st.data())
def test_every_prefix_is_refused_or_whole(data: bytes, draw: st.DataObject) -> None:
    cut = data[: draw.draw(st.integers(0, len(data)))]
    assert (strictjson.find(cut) is None) == oracle(cut)


@pytest.mark.parametrize(
    ("text", "code", "offset"),
    [
        (b"", "json_empty", 0),
        (b"  ", "json_empty", 2),
        (b"{", "json_truncated", 1),
        (b'"a', "json_truncated", 2),
        (b"[1,", "json_truncated", 3),
        (b'{"a"', "json_truncated", 4),
        (b"-", "json_truncated", 1),
        (b"{1}", "json_syntax", 1),
        (b"[1}", "json_syntax", 2),
        (b"tru", "json_syntax", 0),
        (b"00", "json_syntax", 0),
        (b"-01", "json_syntax", 1),
        (b"1 1", "json_trailing", 2),
        (b'{"a":1,"a":2}', "json_duplicate_key", 7),
        (b'{"\\u0061":1}', "json_escaped_key", 2),
        (b"[0.0]", "json_fraction", 1),
        (b"[0e0]", "json_exponent", 1),
        (b"NaN", "json_not_a_number", 0),
        (b"-Infinity", "json_not_a_number", 1),
        (b"9" * 20, "json_integer_too_long", 0),
        (b"[" * 9, "json_too_deep", 8),
        (b'"\xc3"', "json_invalid_utf8", 1),
        (b'"\t"', "json_control_character", 1),
        (b'"\\q"', "json_bad_escape", 1),
        (b'"\\udc00"', "json_lone_surrogate", 1),
        (b'"\\ud800\\u0041"', "json_lone_surrogate", 1),
        (b'"\\u0000"', "json_nul_character", 1),
    ],
)
def test_codes_and_places(text: bytes, code: str, offset: int) -> None:
    assert strictjson.find(text) == (code, offset)
    with pytest.raises(strictjson.StrictJsonError) as caught:
        strictjson.check(text)
    assert (caught.value.code, caught.value.offset, caught.value.facts) == (code, offset, {"offset": offset})


def test_bounds_at_their_edges() -> None:
    def many(count: int) -> bytes:
        return json.dumps({f"k{number}": 1 for number in range(count)}).encode()

    assert strictjson.find(b"9" * 19) is None
    assert strictjson.find(b"-" + b"9" * 19) is None
    assert strictjson.find(b"[" * DEPTH + b"]" * DEPTH) is None
    assert strictjson.find(b"[" * 32 + b"]" * 32, depth_max=32) is None
    assert strictjson.find(many(KEYS)) is None
    assert strictjson.find(many(KEYS + 1)) == ("json_too_many_keys", many(KEYS + 1).index(b'"k64"'))
    assert strictjson.find(many(1024), keys_max=1024) is None
    nested = many(1023)[:-1] + b',"x":{"y":1}}'  # 1,025 keys open at once in all
    assert strictjson.find(nested, keys_max=1024) is not None
    beside = b"[" + b",".join([many(64)] * 100) + b"]"
    assert strictjson.find(beside) is None, "keys of objects that are closed do not count"
    for depth_max, keys_max in ((0, 1), (33, 1), (1, 0), (1, 1025)):
        with pytest.raises(ValueError):
            strictjson.find(b"{}", depth_max=depth_max, keys_max=keys_max)


@pytest.mark.parametrize("data", ["{}", bytearray(b"{}"), memoryview(b"{}"), None, 1])
def test_bytes_only(data: Any) -> None:
    with pytest.raises(TypeError):
        strictjson.find(data)


def test_colliding_hashes_are_not_taken_for_equal_keys() -> None:
    # FNV-1a, 32 bits: these two five-letter keys share their hash (found by search), so only the bytes tell them apart.
    pair = collision()
    assert strictjson.find(json.dumps(dict.fromkeys(pair, 1)).encode()) is None


def collision() -> tuple[str, str]:
    """Two words with the same 32-bit FNV-1a."""
    seen: dict[int, str] = {}
    for number in range(2_000_000):
        word = f"{number:x}"
        mix = 2166136261
        for byte in word.encode():
            mix = (mix ^ byte) * 16777619 & 0xFFFFFFFF
        if mix in seen:
            return seen[mix], word
        seen[mix] = word
    raise AssertionError("no collision in two million words")


def test_the_quadratic_attack_is_bounded() -> None:
    """8 MiB of objects as full of keys as allowed: the comparison of keys stays a small factor of reading them."""
    import time

    one = json.dumps({f"{number:02}": 1 for number in range(KEYS)}, separators=(",", ":")).encode()
    data = b"[" + b",".join([one] * (8 * 2**20 // (len(one) + 1))) + b"]"
    started = time.perf_counter()
    assert strictjson.find(data) is None
    assert time.perf_counter() - started < 2.0

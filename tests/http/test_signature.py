"""Goal: a terminal's signature covers everything, counts once and in time, and dies with the terminal (I, R4, R5).

Method: a table of ways to bend one good request, each with its code; a clock the test sets; the reference layout spelled out here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re

import pytest

from cardapi.http.app import build_app
from cardapi.http.nonces import NonceTable
from cardapi.http.signature import message, sign
from cardapi.http.signed import read
from cardcore.mackey import MacKey
from tests.http.client import Client, Till
from tests.http.conftest import Chain

PATH = "/v1/quote"


def good(chain: Chain, till: Till, card: str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"card": card, "lines": [{"amount_fen": 1}]}).encode()
    return body, {**till.headers("POST", PATH, body, "k"), "Idempotency-Key": "k"}


def send(chain: Chain, body: bytes, headers: dict[str, str], path: str = PATH) -> tuple[int, str]:
    reply = chain.client.call("POST", path, body, headers)
    return reply.status, reply.code


def test_the_layout_is_what_the_documents_say(chain: Chain, till: Till, card: str) -> None:
    body = json.dumps({"card": card, "lines": [{"amount_fen": 1}]}).encode()
    now = str(chain.clock.seconds())
    text = "\n".join(["cardcore-hmac-1", "POST", PATH, now, "n" * 16, "k", hashlib.sha256(body).hexdigest()])
    mac = hmac.new(till.secret, text.encode(), "sha256").hexdigest()
    proof = f"Cardcore-HMAC terminal=till-1,version=1,time={now},nonce={'n' * 16},mac={mac}"
    assert send(chain, body, {"Authorization": proof, "Idempotency-Key": "k"}) == (200, "")


BENT = {
    "body": lambda body, headers: (body + b" ", headers),
    "key": lambda body, headers: (body, {**headers, "Idempotency-Key": "l"}),
    "no key": lambda body, headers: (body, {"Authorization": headers["Authorization"]}),
    "time": lambda body, headers: (body, bend(headers, "time=1", "time=2", last=True)),
    "nonce": lambda body, headers: (body, bend(headers, "nonce=nonce-", "nonce=nonce_")),
    "terminal": lambda body, headers: (body, bend(headers, "terminal=till-1", "terminal=till-2")),
    "unknown terminal": lambda body, headers: (body, bend(headers, "terminal=till-1", "terminal=till-9")),
    "version": lambda body, headers: (body, bend(headers, "version=1", "version=2")),
    "mac": lambda body, headers: (body, {**headers, "Authorization": headers["Authorization"][:-64] + "0" * 64}),
}


def bend(headers: dict[str, str], old: str, new: str, *, last: bool = False) -> dict[str, str]:
    proof = headers["Authorization"]
    if last:  # one second later: still in the window, no longer what was signed
        start = proof.index("time=") + 5
        time = proof[start : proof.index(",", start)]
        return {**headers, "Authorization": proof.replace(f"time={time}", f"time={int(time) + 1}")}
    assert old in proof
    return {**headers, "Authorization": proof.replace(old, new)}


@pytest.mark.parametrize("name", BENT)
def test_every_signed_part_counts(chain: Chain, till: Till, card: str, name: str) -> None:
    body, headers = BENT[name](*good(chain, till, card))
    assert send(chain, body, headers) == (401, "signature_invalid")


def test_path_query_and_method_are_signed(chain: Chain, till: Till, card: str) -> None:
    body, headers = good(chain, till, card)
    assert send(chain, body, headers, "/v1/settle") == (401, "signature_invalid")
    assert send(chain, body, headers, PATH + "?x=1") == (401, "signature_invalid")
    proof = till.headers("GET", "/v1/cards/62000000", b"", "")
    assert chain.client.call("GET", "/v1/cards/62000000", b"", proof).code == "unknown_card"


MALFORMED = [
    "Cardcore-HMAC ", "Cardcore-HMAC terminal=till-1", "Cardcore-HMAC terminal=till-1,version=1,time=1,nonce=short,mac=" + "0" * 64,
    "Cardcore-HMAC terminal=till-1,version=01,time=1,nonce=" + "n" * 16 + ",mac=" + "0" * 64,
    "Cardcore-HMAC terminal=till-1,version=1,time=-1,nonce=" + "n" * 16 + ",mac=" + "0" * 64,
    "Cardcore-HMAC terminal=till-1,version=1,time=1,nonce=" + "n" * 65 + ",mac=" + "0" * 64,
    "Cardcore-HMAC terminal=till-1,version=1,time=1,nonce=" + "n" * 16 + ",mac=" + "0" * 63,
    "Cardcore-HMAC terminal=till-1,version=1,time=1,nonce=" + "n" * 16 + ",mac=" + "A" * 64,
    "Cardcore-HMAC terminal=TILL,version=1,time=1,nonce=" + "n" * 16 + ",mac=" + "0" * 64,
    "Cardcore-HMAC version=1,terminal=till-1,time=1,nonce=" + "n" * 16 + ",mac=" + "0" * 64,
]  # fmt: skip


@pytest.mark.parametrize("proof", MALFORMED)
def test_malformed_headers(chain: Chain, proof: str) -> None:
    assert send(chain, b"{}", {"Authorization": proof}) == (401, "signature_malformed")


FORM = re.compile(
    rb"Cardcore-HMAC terminal=([a-z0-9][a-z0-9-]{0,31}),version=([1-9][0-9]{0,5}),time=([1-9][0-9]{0,11}),"
    rb"nonce=([A-Za-z0-9_-]{16,64}),mac=([0-9a-f]{64})"
)


def test_a_header_is_read_as_its_form_says() -> None:
    """Thousands of damaged headers against the form as a regular expression."""
    draw = random.Random(20261122)
    taken = 0
    for _ in range(20_000):
        version, time = draw.choice([1, 1, 1, 999_999, 10**6, 0]), draw.choice([1_795_300_000, 1_795_300_000, 10**12 - 1, 10**12])
        parts = [b"Cardcore-HMAC ", b"terminal=", b"till-1" * draw.choice([1, 1, 1, 5, 6]), b",version=", b"%d" % version,
                 b",time=", b"%d" % time, b",nonce=", b"n" * draw.choice([15, 16, 16, 16, 64, 65]), b",mac=",
                 draw.randbytes(32).hex().encode()]  # fmt: skip
        if draw.random() < 0.3:
            del parts[draw.randrange(len(parts))]
        data = bytearray(b"".join(parts))
        if draw.random() < 0.3:
            data[draw.randrange(len(data))] = draw.randrange(256)
        if draw.random() < 0.2:
            at = draw.randrange(len(data) + 1)
            data[at:at] = draw.choice([b"\0", b"\n", b" ", b",", b"0", b"A", b"-"])
        header = bytes(data)
        form, claim = FORM.fullmatch(header), read(header)
        assert (claim is None) == (form is None), header
        if claim is not None and form is not None:
            taken += 1
            read_as = (claim.terminal.encode(), b"%d" % claim.version, b"%d" % claim.time, claim.nonce)
            assert read_as == form.groups()[:4], header
    assert 1_000 < taken < 18_000


@pytest.mark.parametrize("size", [0, 1, 200, 700, 5_000])
def test_the_mac_is_that_of_the_reference(size: int) -> None:
    """Short messages and such as need memory of their own; every digit of the MAC counts."""
    draw = random.Random(size)
    secret, target, key, body = draw.randbytes(32), "/" + "t" * size, "k" * size, draw.randbytes(size)
    header = sign(secret, "till-1", 1, "POST", target, 1_795_300_000, "n" * 16, key, body)
    claim = read(header.encode())
    assert claim is not None
    said = (b"POST", target.encode(), key.encode(), body)
    assert claim.holds(MacKey(secret), *said)
    expected = hmac.new(secret, message(b"POST", said[1], b"1795300000", b"n" * 16, said[2], body), "sha256").hexdigest()
    assert header.endswith(expected)
    assert not claim.holds(MacKey(secret[::-1]), *said)
    assert not claim.holds(MacKey(secret), b"POST", said[1], said[2], body + b"x")
    for place in range(64):
        digit = "0" if header[place - 64] != "0" else "1"
        bent = read((header[: len(header) - 64 + place] + digit + header[len(header) - 63 + place :]).encode())
        assert bent is not None
        assert not bent.holds(MacKey(secret), *said), place


@pytest.mark.parametrize("proof", ["", "Basic YTpi", "cardcore-hmac x", "Bearer", "Digest x"])
def test_other_proofs_are_none(chain: Chain, proof: str) -> None:
    assert send(chain, b"{}", {"Authorization": proof} if proof else {}) == (401, "unauthenticated")


def test_a_nonce_counts_once(chain: Chain, till: Till, card: str) -> None:
    body, headers = good(chain, till, card)
    assert send(chain, body, headers) == (200, "")
    assert send(chain, body, headers) == (401, "nonce_reused")
    other = json.dumps({"card": card, "lines": [{"amount_fen": 2}]}).encode()
    till.nonce = lambda: headers["Authorization"].split("nonce=")[1].split(",")[0]  # type: ignore[method-assign]
    try:
        proof = till.headers("POST", PATH, other, "k")
    finally:
        del till.nonce
    assert send(chain, other, {**proof, "Idempotency-Key": "k"}) == (401, "nonce_reused")


@pytest.mark.parametrize(("shift", "code"), [(-301, "signature_time"), (301, "signature_time"), (299, ""), (3_600, "signature_time")])
def test_the_window(chain: Chain, till: Till, card: str, shift: int, code: str) -> None:
    now = till.now
    till.now = lambda: now() + shift
    try:
        body, headers = good(chain, till, card)
    finally:
        till.now = now
    reply = chain.client.call("POST", PATH, body, headers)
    assert reply.code == code
    if code:
        assert abs(reply.json["server_time"] - chain.clock.seconds()) <= 1


def test_a_restart_does_not_reopen_the_window(chain: Chain, till: Till, card: str) -> None:
    body, headers = good(chain, till, card)
    assert send(chain, body, headers) == (200, "")
    again = Client(build_app(chain.shop, clock=chain.clock, quick_passwords=True), chain.loop)
    assert again.call("POST", PATH, body, headers).code == "signature_time"


@pytest.mark.parametrize("back", [60, 1_800, 86_400])
def test_a_clock_that_is_set_back_keeps_nobody_out_who_goes_by_the_answer(chain: Chain, card: str, back: int) -> None:
    """And what counted before then does not count again, whatever time the clock shows."""
    shown = chain.clock.seconds() + 86_400

    def now() -> int:
        return shown

    again = Client(build_app(chain.shop, clock=lambda: now() * 1_000_000, quick_passwords=True), chain.loop)
    mine = chain.tills["store-1"]
    till = Till(again, mine.terminal, mine.version, mine.secret, now)
    body, key = json.dumps({"card": card, "lines": [{"amount_fen": 1}]}).encode(), {"Idempotency-Key": "k"}
    spent = []
    for _ in range(30):  # half an hour: the first nonces are forgotten on the way
        shown += 61
        spent.append({**till.headers("POST", PATH, body, "k"), **key})
        assert again.call("POST", PATH, body, spent[-1]).status == 200
    shown -= back
    off, farthest = 0, 0
    till.now = lambda: now() + off
    for _ in range(40):
        reply = again.call("POST", PATH, body, {**till.headers("POST", PATH, body, "k"), **key})
        if reply.status != 200:
            assert (reply.status, reply.code) == (401, "signature_time")
            off = reply.json["server_time"] - now()
            farthest = max(farthest, off)
            reply = again.call("POST", PATH, body, {**till.headers("POST", PATH, body, "k"), **key})
        assert reply.status == 200, reply.body
        for headers in spent:
            assert again.call("POST", PATH, body, headers).code in ("signature_time", "nonce_reused")
        shown += back // 30
    assert (farthest > 0) == (back > 300), "beyond the window, and no less, one had to go ahead of the clock"


def test_revoked_and_rotated_terminals_are_refused_at_once(chain: Chain, card: str) -> None:
    till = chain.till("till-8", "store-1")
    assert till.post(PATH, {"card": card, "lines": [{"amount_fen": 1}]}).status == 200
    assert chain.admin.post("/v1/terminals/till-8/revoke", {"reason": "stolen"}).json["state"] == "revoked"
    assert till.post(PATH, {"card": card, "lines": [{"amount_fen": 1}]}).code == "signature_invalid"
    made = chain.admin.post("/v1/terminals/till-8/rotate-key", {"reason": "found again"}).json
    assert (made["key_version"], made["state"]) == (2, "active")
    assert till.post(PATH, {"card": card, "lines": [{"amount_fen": 1}]}).code == "signature_invalid"
    fresh = Till(chain.client, "till-8", 2, bytes.fromhex(made["key"]), chain.clock.seconds)
    assert fresh.post(PATH, {"card": card, "lines": [{"amount_fen": 1}]}).status == 200


def test_unknown_terminal_and_wrong_mac_look_alike(chain: Chain, till: Till, card: str) -> None:
    body, headers = good(chain, till, card)
    wrong = chain.client.call("POST", PATH, *BENT["mac"](body, headers))
    unknown = chain.client.call("POST", PATH, *BENT["unknown terminal"](body, headers))
    assert wrong == unknown


def test_nonces_are_bounded_and_leave_with_their_time() -> None:
    table = NonceTable(4, 300)
    assert [table.add(digest, 10_000, 10_000) for digest in (5, 6, 5, 0, 0, 7, 8)] == [0, 0, 1, 0, 1, 0, -1]
    assert table.add(5, 10_100, 10_100) == 1, "the same nonce under another time"
    assert table.count() == 4
    assert table.add(9, 11_000, 11_000) == 0, "the old span is out of the window and gone"
    assert table.count() == 1
    assert table.add(5, 10_000, 10_000) == 1, "a clock set back does not bring it into play again"


def test_many_nonces_are_all_remembered() -> None:
    table = NonceTable(1 << 20, 300)
    digests = [hash((b"till", number)) for number in range(50_000)]
    assert not any(table.add(digest, 500, 500) for digest in digests)
    assert all(table.add(digest, 500, 500) for digest in digests)

"""Goal: whatever a neighbour does, or does not, each request that was passed to it has one answer and one effect, and nothing that may
have happened is denied (O1, O4).

Method: as in `test_neighbours.py`, with neighbours that are away, hang up, say nothing, too much or nonsense.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import time

import pytest

from cardapi.http import neighbours
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.http.next_door import (
    Door,
    Write,
    answers,
    both,
    hangs_up,
    hangs_up_half_way,
    has_failed,
    said,
    says_it_is_huge,
    says_no_length,
    says_nothing,
    says_too_much,
)
from tests.http.test_lane import Line, request, settle, shape, signed, split
from tests.shops import length


@pytest.mark.parametrize(
    "write", [None, hangs_up, hangs_up_half_way, says_no_length, says_too_much, says_it_is_huge, has_failed, says_nothing]
)
def test_without_an_answer_it_is_done_here(
    chain: Chain, till: Till, card: str, door: Door, write: Write | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "PATIENCE_S", 0.1)
    monkeypatch.setattr(neighbours, "LOOK_S", 0.02)
    other, before = door(card, write), length(chain.shop)
    for way, pieces in enumerate((1, 2)):
        for others in other.neighbours._others:
            if others is not None:
                others._away_until = 0.0
        line = Line(chain)
        data = settle(till, card, f"next-away-{getattr(write, '__name__', write)}-{way}")
        line.send(*([data] if pieces == 1 else [data[:20], data[20:]]))
        status, _, body = shape(line.answer())
        assert status == b"HTTP/1.1 200 OK"
        assert json.loads(body)["outcome"] == "applied"
        assert len(other.asked) == (0 if write is None else way + 1)
    assert length(chain.shop) == before + 2
    assert other.neighbours.counts == (0, 2)
    line = Line(chain)
    line.send(settle(till, card, f"next-away-{write}-rest".replace(" ", "")))
    assert line.answer().startswith(b"HTTP/1.1 200 OK")
    assert other.neighbours.counts == (0, 2), "nobody is asked for a while who was away"


def test_another_users_socket_is_told_nothing(chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    other, line = door(card, answers), Line(chain)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    line.send(settle(till, card, "next-stranger"))
    assert b"applied" in line.answer()
    assert (other.asked, other.neighbours.counts) == ([], (0, 1))


@pytest.mark.parametrize(("write", "code"), [(hangs_up, "outcome_unknown"), (None, "too_many_requests"), (has_failed, "too_many_requests")])
def test_a_refusal_here_does_not_deny_what_was_done_there(
    chain: Chain, till: Till, card: str, door: Door, write: Write | None, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before its key was looked for: nothing was recorded here (O4); there it may have been, unless it said that it did nothing."""

    def full(*_: object) -> None:
        raise chain.app.service.too_many("terminal", 1.0)

    door(card, write)
    monkeypatch.setattr(chain.app.service, "take", full)
    told = [json.loads(body) for _, _, body in both(chain, till, card, f"next-denied-{code}")]
    assert [problem["code"] for problem in told] == [code] * 2
    assert {problem.get("request_id") for problem in told} == {"of-the-test" if code == "outcome_unknown" else None}
    assert chain.app.service.metrics.problems["settle", code] >= 2, "counted as it was told"


def test_a_decline_here_is_the_word_of_the_books(chain: Chain, till: Till, door: Door) -> None:
    empty = chain.card()
    door(empty, hangs_up)
    for status, _, body in both(chain, till, empty, "next-declined"):
        assert status.startswith(b"HTTP/1.1 409")
        assert json.loads(body)["code"] == "insufficient_funds"


def test_one_that_began_after_a_request_was_signed_is_not_its_judge(chain: Chain, till: Till, card: str, door: Door) -> None:
    async def just_began(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(said(b'{"status":401,"code":"signature_time"}', status=b"401 Unauthorized"))

    door(card, just_began)
    assert [status for status, _, _ in both(chain, till, card, "next-began")] == [b"HTTP/1.1 200 OK"] * 2


def test_without_a_socket_to_ask_by_it_is_done_here(
    chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door(card, answers)

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("cardapi.http.neighbours.socket.socket", none_left)
    assert [status for status, _, _ in both(chain, till, card, "next-files")] == [b"HTTP/1.1 200 OK"] * 2


def test_who_is_slow_to_open_is_watched_too(chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch comes by while there is no link yet, and none after it."""
    monkeypatch.setattr(neighbours, "PATIENCE_S", 0.1)
    monkeypatch.setattr(neighbours, "LOOK_S", 0.01)
    user = os.geteuid()

    def stalls() -> int:
        time.sleep(0.05)
        return user

    door(card, says_nothing)
    monkeypatch.setattr(os, "geteuid", stalls)
    assert [status for status, _, _ in both(chain, till, card, "next-stall")] == [b"HTTP/1.1 200 OK"] * 2


def test_one_request_finds_out_whether_it_is_there_again(chain: Chain, till: Till, card: str, door: Door) -> None:
    other = door(card, says_nothing)
    (there,) = (each for each in other.neighbours._others if each is not None)
    there._away_until = 1.0  # a rest that is over
    one, two = Line(chain), Line(chain)
    one.send(settle(till, card, "next-first"))
    chain.loop.run_until_complete(asyncio.sleep(0.05))
    two.send(settle(till, card, "next-second"))
    assert b"applied" in two.answer()
    assert not one.transport.written
    assert len(other.asked) == 1
    there.close()
    assert b"applied" in one.answer()


def test_after_a_change_of_documents_nothing_is_passed_on_for_a_moment(
    chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was revoked here would still be let in there."""
    monkeypatch.setattr(neighbours, "NEWS_S", 0.2)
    other, line = door(card, answers), Line(chain)
    chain.made(chain.admin.post("/v1/units", {"id": f"next-{secrets.token_hex(4)}", "name": "x", "kind": "store", "parent": "north"}))
    line.send(settle(till, card, "next-news-0"))
    assert b"applied" in line.answer()
    assert other.asked == []
    chain.loop.run_until_complete(asyncio.sleep(0.25))
    line.send(settle(till, card, "next-news-1"))
    assert split(line.answer(2))[1] == said()


def test_who_is_not_known_has_an_answer_though_looking_again_took_no_time(
    chain: Chain, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> bool:
        await asyncio.sleep(-1)  # a bare yield
        return False

    monkeypatch.setattr(chain.app.service, "catch_up", look)
    door(card, hangs_up)
    line = Line(chain)
    body = json.dumps({"card": card, "lines": [{"amount_fen": 100}]}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "next-who", "Authorization": "Bearer nonsense"}
    line.send(request("/v1/settle", body, headers))
    assert line.answer().startswith(b"HTTP/1.1 500")  # it was asked there, and hung up
    chain.app.service.neighbours = None
    alone = Line(chain)
    alone.send(request("/v1/settle", body, headers))
    assert alone.answer().startswith(b"HTTP/1.1 401")


def test_it_is_asked_again_after_a_while(chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def first_hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number:
            writer.write(said())
        else:
            writer.close()

    monkeypatch.setattr(neighbours, "REST_S", 0.05)
    door(card, first_hangs_up)
    line = Line(chain)
    line.send(settle(till, card, "next-again-0"))
    assert b"applied" in line.answer()
    chain.loop.run_until_complete(asyncio.sleep(0.1))
    line.send(settle(till, card, "next-again-1"))
    assert split(line.answer(2))[1] == said()


def test_an_effect_whose_answer_was_lost_is_not_doubled(chain: Chain, card: str, door: Door) -> None:
    """The neighbour does the sale and dies before it says so: the same request, done here, finds it."""
    done: list[str] = []

    async def does_it_and_dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        chain.app.service.neighbours = None  # it has the card
        body = {"card": card, "lines": [{"amount_fen": 100}]}
        headers = {"Idempotency-Key": "next-lost", **chain.admin.headers("POST", "/v1/settle", b"", "")}
        reply = await chain.client.acall("POST", "/v1/settle", body, headers)
        done.append(reply.json["ticket_id"])
        writer.close()

    door(card, does_it_and_dies)
    before, line = length(chain.shop), Line(chain)
    body = json.dumps({"card": card, "lines": [{"amount_fen": 100}]}).encode()
    line.send(signed(chain.admin, "/v1/settle", body, "next-lost"))
    assert [json.loads(shape(line.answer())[2])["ticket_id"]] == done
    assert length(chain.shop) == before + 1


def test_a_neighbour_that_nobody_may_wait_for_any_more_is_not_asked(
    chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LINKS_MAX", 0)
    other, line = door(card, answers), Line(chain)
    line.send(settle(till, card, "next-full"))
    assert b"applied" in line.answer()
    assert (other.asked, other.neighbours.counts) == ([], (0, 0))

"""A client of a soak: asks for all kinds of things, at times hangs up before the answer, and repeats each key until it is answered.

What it asked and was told goes into a history that `tests.desk.history` judges. A request that is not answered within PATIENCE_S
is an error that says who waited for what.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cardapi.http.signature import sign
from cardapi.ids import parse_ticket_id
from firmware_sim.card import Card
from tests.desk.history import Asked
from tests.soak.service import Service
from tests.support import sized

PATIENCE_S = 180
PAUSE_S = 0.02
PACE_S = sized(1, 30) / 1_000  # between two things a client does, so that the long run is long and not only large
AGAIN = {429, 500, 502, 503, 504}  # not answered: what came of it is not known, or it was not taken
TERMINAL = "till-1"


@dataclass
class Stage:
    """What all clients share."""

    services: Sequence[Service]
    terminal_key: bytes
    people: dict[str, str]  # operator -> session token
    cards: Sequence[str]  # everybody's
    stop: threading.Event = field(default_factory=threading.Event)
    trouble: list[str] = field(default_factory=list)
    answers: int = 0  # for watching only: added to without a lock


class Client(threading.Thread):
    """One of them. Its verbs, and what it holds to do them with, are a subclass's."""

    def __init__(self, stage: Stage, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.stage = stage
        self.history: list[Asked] = []
        self.doing = "nothing yet"
        self.rng = random.Random(name)
        self._keys = itertools.count(1)
        self._line: http.client.HTTPConnection | None = None
        self._ahead_s = 0  # of our clock, the service's

    def run(self) -> None:
        """Until the stage says stop; then what is under way is brought to its end."""
        try:
            while not self.stage.stop.wait(PACE_S):
                self.step()
            self.finish()
        except BaseException as error:
            self.stage.trouble.append(f"{self.name}, at {self.doing}: {error!r}")
        finally:
            self._hang_up()

    def step(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Nothing, for a client that leaves nothing open."""

    def key(self) -> str:
        return f"{self.name}-{next(self._keys)}"

    # ------------------------------------------------------------ asking
    def ask(self, asked: Asked, path: str, body: dict[str, Any], operator: str = "") -> dict[str, Any]:
        """One keyed request and its answer, both into the history; now and then the same once more."""
        answer: dict[str, Any] = {}
        for _ in range(1 + (self.rng.random() < 0.1)):
            one = Asked(asked.key, asked.verb, asked.card, asked.amount_fen, asked.to, asked.of)
            one.began = time.monotonic()
            _, answer = self.send("POST", path, body, one.key, operator)
            answer = answer["cards"][0] if "cards" in answer else answer
            one.key, one.told = answer.get("client_key") or one.key, told(answer)  # some stand under a key made from ours
            one.ended = time.monotonic()
            self.history.append(one)
        return answer

    def done(self, verb: str, path: str, body: dict[str, Any], operator: str = "") -> dict[str, Any]:
        """A step that nothing can stand in the way of."""
        answer = self.ask(Asked(self.key(), verb, ""), path, body, operator)
        assert answer.get("ticket_id"), f"{verb} was answered {answer}"
        return answer

    def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str = "", operator: str = "", at: Service | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Until there is an answer. `at`: ask this process and no other."""
        deadline = time.monotonic() + PATIENCE_S
        reason = "not asked yet"
        while True:
            self.doing = f"{method} {path} {key} ({reason})"
            try:
                status, answer = self._once(method, path, json.dumps(body).encode() if body is not None else b"", key, operator, at)
                if answer.get("code") == "signature_time":  # a clock was stepped: go by what the service goes by
                    self._ahead_s = answer["server_time"] - int(time.time())
                elif status not in AGAIN and answer.get("code") != "nonce_reused":
                    self.stage.answers += 1
                    return status, answer
                reason = f"{status} {answer.get('code')}"
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                reason = repr(error)
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {method} {path} {key}; last: {reason}"
            time.sleep(PAUSE_S)

    def _once(self, method: str, path: str, body: bytes, key: str, operator: str, at: Service | None) -> tuple[int, dict[str, Any]]:
        port = (at or self.rng.choice(self.stage.services)).port
        if not port:
            raise ConnectionRefusedError("it does not listen")
        if self._line is None or self._line.port != port:
            self._hang_up()
            self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        hasty = self.rng.random() < 0.03
        if hasty:  # hangs up before the answer can be there, or just as it comes
            self._hang_up()
            self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=self.rng.choice((0.0005, 0.003, 0.01)))
        proof = f"Bearer {self.stage.people[operator]}" if operator else self._signed(method, path, key, body)
        headers = {"Authorization": proof, "Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        self._line.request(method, path, body, headers)
        response = self._line.getresponse()
        answer = json.loads(response.read() or b"{}")
        if hasty:
            self._hang_up()
        return response.status, answer

    def _signed(self, method: str, path: str, key: str, body: bytes) -> str:
        nonce = f"{self.rng.getrandbits(96):024x}"
        return sign(self.stage.terminal_key, TERMINAL, 1, method, path, int(time.time()) + self._ahead_s, nonce, key, body)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def told(answer: dict[str, Any]) -> str:
    """As `Effect.told` has it; "" for an answer that stands for no entry."""
    if not answer.get("ticket_id"):
        return ""
    partition, position = parse_ticket_id(answer["ticket_id"])
    # Some say by their status only that it was applied; what waits for a second person stands there as a change.
    outcome = answer.get("outcome", "applied").replace("pending", "applied")
    return f"{partition}:{position}:{outcome}"


def lines(fen: int) -> list[dict[str, int]]:
    return [{"amount_fen": fen}]


class Racer(Client):
    """Wants the last money of a card: once, with one key, at one process and then at the next."""

    def __init__(self, stage: Stage, number: int, card: str) -> None:
        super().__init__(stage, f"racer-{number}")
        self._number, self._card = number, card

    def run(self) -> None:
        try:
            for turn in range(2):
                at = self.stage.services[(self._number + turn) % len(self.stage.services)]
                one = Asked(f"{self.name}-1", "settle", self._card, 30)
                _, answer = self.send("POST", "/v1/settle", {"card": self._card, "lines": lines(30)}, one.key, at=at)
                one.told = told(answer)
                self.history.append(one)
        except BaseException as error:
            self.stage.trouble.append(f"{self.name}, at {self.doing}: {error!r}")
        finally:
            self._hang_up()


class Till(Client):
    """Sales, batches, holds, refunds, top-ups and transfers on the cards that everybody uses."""

    def __init__(self, stage: Stage, name: str) -> None:
        super().__init__(stage, name)
        self._tickets: list[Asked] = []
        self._holds: list[Asked] = []

    def step(self) -> None:
        verbs: list[Callable[[], None]] = [self.sell, self.sell, self.sell_many, self.hold, self.top_up, self.move, self.give_back]
        self.rng.choice(verbs)()
        if len(self._holds) > 3:
            self.end_hold()

    def finish(self) -> None:
        while self._holds:
            self.end_hold()

    def _asked(self, verb: str, **more: Any) -> Asked:
        return Asked(self.key(), verb, more.pop("card", "") or self.rng.choice(self.stage.cards), self.rng.randrange(1, 400), **more)

    def _kept(self, asked: Asked, answer: dict[str, Any], where: list[Asked]) -> None:
        if answer.get("outcome") == "applied":
            asked.told = told(answer)
            where.append(asked)

    def sell(self) -> None:
        asked = self._asked("settle")
        answer = self.ask(asked, "/v1/settle", {"card": asked.card, "lines": lines(asked.amount_fen)})
        self._kept(asked, answer, self._tickets)

    def sell_many(self) -> None:
        many = [self._asked("settle") for _ in range(5)]
        began = time.monotonic()
        tickets = [{"card": one.card, "lines": lines(one.amount_fen), "client_key": one.key} for one in many]
        while True:
            _, answer = self.send("POST", "/v1/settle-batch", {"tickets": tickets})
            if all(result.get("ticket_id") for result in answer["results"]):  # not so: some were not taken
                break
            time.sleep(PAUSE_S)
        for one, result in zip(many, answer["results"], strict=True):
            one.began, one.ended, one.told = began, time.monotonic(), told(result)
            self.history.append(one)

    def hold(self) -> None:
        asked = self._asked("hold")
        answer = self.ask(asked, "/v1/hold", {"card": asked.card, "lines": lines(asked.amount_fen)})
        self._kept(asked, answer, self._holds)

    def end_hold(self) -> None:
        held = self._holds.pop(0)
        asked = self._asked(self.rng.choice(("capture", "void")), card=held.card, of=held.key)
        self.ask(asked, f"/v1/{asked.verb}", {"client_key": held.key})

    def top_up(self) -> None:
        asked = self._asked("topup")
        self.ask(asked, "/v1/topup", {"card": asked.card, "paid_fen": asked.amount_fen})

    def move(self) -> None:
        one, two = self.rng.sample(list(self.stage.cards), 2)
        asked = self._asked("transfer", card=one, to=two)
        self.ask(asked, "/v1/transfer", {"card": one, "to_card": two, "amount_fen": asked.amount_fen})

    def give_back(self) -> None:
        if not self._tickets:
            return
        ticket = self.rng.choice(self._tickets[-8:])  # at times one that was given back before
        verb = self.rng.choice(("refund", "void"))
        asked = self._asked(verb, card=ticket.card, of=ticket.key)
        self.ask(asked, f"/v1/{verb}", {"client_key": ticket.key, "reason": "soak"})


class Office(Client):
    """The life of cards of its own: issued, used, frozen, lost, replaced, corrected by two people."""

    def step(self) -> None:
        made = self.done("issueCards", "/v1/cards", {"programme": "mall-vip"}, "manager")
        card = made["card"]
        self.done("activate", f"/v1/cards/{card}/activate", {})
        self.done("setPin", f"/v1/cards/{card}/set-pin", {"pin": "260815"})
        paid = self.done("own topup", "/v1/topup", {"card": card, "paid_fen": 10_000})
        self.done("reverse", "/v1/reverse", {"ticket_id": paid["ticket_id"], "reason": "soak"}, "admin")
        self.done("freeze", f"/v1/cards/{card}/freeze", {"reason": "soak"}, "admin")
        self.done("unfreeze", f"/v1/cards/{card}/unfreeze", {"reason": "soak"}, "admin")
        wanted = self.done("adjust", "/v1/adjust", {"card": card, "purse": "principal", "amount": 100, "reason": "soak"}, "manager")
        self.done("approve", f"/v1/approvals/{wanted['approval_id']}/approve", {}, "admin")
        self.done("lost", f"/v1/cards/{card}/lost", {})
        self.done("reissue", f"/v1/cards/{card}/reissue", {"reason": "soak"}, "admin")


class Tapper(Client):
    """Loads a chip from its card and pays with it, torn out at times; what is left in flight is asked of the chip (M6)."""

    def __init__(self, stage: Stage, name: str, chip: Card, card: str) -> None:
        super().__init__(stage, name)
        self.chip, self.card = chip, card
        self.chip_fen = 0  # what it said in the end

    def step(self) -> None:
        self._tap(*self.rng.choice((("load", 300), ("pay", 100), ("unload", 100), ("recover", 0))))

    def finish(self) -> None:
        """Until a session ends that was not torn: it has proved whatever was open."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self._tap("recover", 0)) is None or found["outcome"] == "torn":
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for the chip of card {self.card} to be recovered: {found}"
        while (found := self._tap("show", 0)) is None or found["outcome"] != "done":
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for the chip of card {self.card} to be shown: {found}"
        self.chip_fen = found["chip_fen"]

    def _tap(self, purpose: str, fen: int) -> dict[str, Any] | None:
        """A whole session with one process; None when it was refused, or died with its process."""
        at = self.rng.choice(self.stage.services)
        self.chip.reset()
        status, answer = self.send("POST", "/v1/card-sessions", {"purpose": purpose, "amount_fen": fen}, self.key(), at=at)
        while status == 200 and answer["result"] is None:
            answers = [self.chip.transmit(bytes.fromhex(command)).hex() for command in answer["commands"]]
            if self.rng.random() < 0.1:
                answers[-1] = ""  # done, and taken away before it could say so
            step = {"step": answer["step"], "answers": answers}
            status, answer = self.send("POST", f"/v1/card-sessions/{answer['session']}/step", step, at=at)
        return answer["result"] if status == 200 else None

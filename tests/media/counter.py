"""A counter for tests: a shop with its desk, card sessions with the simulator's keys, and hands that hold a simulated card to a reader."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from typing import Any

from cardapi.app import Shop
from cardapi.custody import Pin
from cardapi.desk import is_settlement
from cardapi.keys.known import demo_keys
from cardapi.media.asked import Asked, Caller, Record, Result
from cardapi.media.profiles import desfire_medium, purse_medium
from cardapi.media.sessions import CardSessions, Step
from cardapi.media.tap import Room
from cardapi.store.port import Store
from cardcore.card.purse import Application
from cardcore.clearing.body import unpack_case
from cardcore.settlement import Account, Settlement
from firmware_sim import build, pboc
from firmware_sim.card import Card
from firmware_sim.desfire import ready
from firmware_sim.nvm import Memory, PowerCut
from firmware_sim.pboc import PurseCard
from firmware_sim.pboc.layout import Purse
from firmware_sim.pboc.personal import personalise
from tests.desk.till import Till

PIN = Pin.parse("123456")
Send = Callable[[bytes], bytes]


class Counter:
    """Everything a tap needs, and where the money is. `elsewhere` is another station at the same service."""

    def __init__(self, till: Till, seed: int = 1) -> None:
        self.till = till
        self.rng = random.Random(seed)
        self.numbers = itertools.count(1)
        self.keys = [[1, 0, 0]]
        self.now: int | None = None  # epoch seconds; None is the clock
        self.restart()

    @property
    def store(self) -> Store:
        """To read from, beside the desk."""
        return self.till.shop.desk.look(lambda store: store)

    def restart(self, shop: Shop | None = None) -> None:
        """The service is killed and started: sessions are gone, the journal is not. `shop`: another process' view of it."""
        shop = shop or self.till.shop
        clock = lambda: time.time_ns() // 1_000 if self.now is None else self.now * 1_000_000  # noqa: E731
        self.room = Room(shop.desk, shop.registry, demo_keys(), clock, self.rng.randbytes, ready.SYSTEM)
        self.sessions = CardSessions(self.room, idle_s=3_600)  # a machine that stands still for a minute ends no session here

    # ------------------------------------------------------------ cards
    def purse(self, money_fen: int = 100_00, *, profile: str = "pboc2-3des", which: int = 2, serial: int = 1, programme: str = "plain",
              pin: str = "") -> PurseCard:  # fmt: skip
        """A purse card with an empty purse and a registered medium, on an account with money."""
        memory = Memory()
        identity = pboc.Identity(serial=serial.to_bytes(10))
        personalise(memory, identity, profile=pboc.PROFILES[profile])
        card = PurseCard(memory, pboc.PROFILES[profile], self.rng.randbytes)
        application = Application(identity.issuer, 2, 1, identity.serial, identity.valid_from, identity.valid_to)
        self.register(purse_medium(application), profile, money_fen, which, programme, pin)
        return card

    def desfire(self, money_fen: int = 100_00, *, ev2: bool = True, uid: bytes = build.TEST_UID) -> Card:
        """A DESFire card, likewise."""
        card = build.desfire_purse_card(uid=uid, ev2=ev2, entropy=self.rng.randbytes)
        self.register(desfire_medium(uid), "desfire-ev2" if ev2 else "desfire-ev1", money_fen, 0)
        return card

    def register(self, medium: str, profile: str, money_fen: int, which: int, programme: str = "plain", pin: str = "") -> None:
        self.number = self.till.card(money_fen, programme, pin)
        self.medium = medium
        payload = {"medium": medium, "profile": profile, "keys": self.keys, "purse": which}
        self.till.done("register_medium", card=self.number, payload=payload)

    # ------------------------------------------------------------ taps
    def asked(self, purpose: str, amount_fen: int = 0, **more: Any) -> Asked:
        if "records" in more:
            more["records"] = tuple(Record(number=number, data=data.hex()) for number, data in more["records"])
        return Asked(purpose=purpose, amount_fen=amount_fen, pin=more.pop("pin", PIN), **more)  # type: ignore[arg-type]

    def caller(self, key: str = "", station: str = "t1") -> Caller:
        return Caller(client=f"terminal:{station}", client_key=key or f"tap-{next(self.numbers)}", unit="issuer", terminal=station)

    def open(self, asked: Asked, caller: Caller) -> Step:
        return self.sessions.open(caller, asked, self.meaning(asked))

    def meaning(self, asked: Asked) -> bytes:
        return self.till.shop.desk.fingerprint([asked.purpose, asked.amount_fen, asked.tender, asked.batch])

    def tap(self, card: Card, purpose: str, amount_fen: int = 0, *, key: str = "", station: str = "t1", send: Send | None = None,
            **more: Any) -> Result:  # fmt: skip
        """Hold a card to the reader: the whole session, until its result. A card that is torn out ends it by an empty answer."""
        card.reset()
        return self.carry(send or card.transmit, self.asked(purpose, amount_fen, **more), self.caller(key, station))

    def carry(self, send: Send, asked: Asked, caller: Caller) -> Result:
        """Carry commands and answers between a session and a card."""
        step = self.open(asked, caller)
        while step.result is None:
            answers = []
            for command in step.commands:
                try:
                    answers.append(send(bytes.fromhex(command)).hex())
                except PowerCut:
                    answers.append("")
            step = self.sessions.step(caller.client, step.session, step.step, tuple(answers))
        return step.result

    # ------------------------------------------------------------ where the money is
    def account(self, number: str = "") -> Account:
        """The account as the store holds it, read past the desk."""
        return Account.unpack(self.store.read([number or self.number])[number or self.number].account.state)

    def chip(self, card: Card) -> int:
        """What is in the chip's memory, read past its commands."""
        card.reset()
        if isinstance(card, PurseCard):
            return sum(Purse.read(card.store, which).balance for which in (1, 2))
        from firmware_sim.desfire.layout import File, Value

        found = File.find(card.store, ready.AID, ready.VALUE_FILE)
        assert found is not None
        return Value.read(card.store, found).value

    def claims_of_sales(self, number: str = "") -> int:
        """Fen that this card paid, as the journal has them."""
        account = self.store.read([number or self.number])[number or self.number].account
        entries = self.store.statement(account.account_id, None, 1_000)
        settled = [Settlement.unpack(entry.body) for entry in entries if is_settlement(entry)]
        return sum(posting.amount for one in settled for posting in one.postings() if posting.target == "sales")

    def cases(self) -> list[tuple[str, str, str]]:
        """Reason, state and medium of every case."""
        rows = self.store.find_records("case", "state", "", "~", limit=100)
        return [(case.reason, case.state, case.facts["medium"]) for case in (unpack_case(row.body) for row in rows)]

    def places(self, number: str = "") -> dict[str, int]:
        """Fen of one account by place, as the journal has them."""
        account = self.account(number)
        flights = {flight.kind: flight.amount_fen for flight in account.flights()}
        lots = sum(lot.amount for lot in account.lots())
        return {"account": lots, "on_card": account.on_card_fen, "in_flight": flights.get("load", 0), "open": sum(flights.values())}

    def money(self) -> tuple[int, int, int]:
        """Account, chip as the journal has it, in flight to the chip."""
        places = self.places()
        return places["account"], places["on_card"], places["in_flight"]

"""Every dialogue with a card that lies, for the fuzzers: a simulated card whose answers are bent on the way by a plan of octets.

A plan bends one answer after the other, and starts again at its end, so that a card can also be persistently wrong. What may come of it
is a result or a declared error, after a bounded number of commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cardcore.card import (
    CardError,
    apdu,
    desfire,
    desfire_issue,
    desfire_log,
    desfire_value,
    psam,
    purse,
    purse_debit,
    purse_issue,
    purse_load,
    purse_proof,
)
from cardcore.card.desfire import Mode
from cardcore.card.purse import EP, Make
from cardcore.crypto import InvalidMac, pboc, tmac
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.desfire import ready
from tests.card import test_desfire
from tests.card.issuer import NEW, Issuer, layout
from tests.card.station import AT, PIN, TERMINAL, Station

COMMANDS_MAX = 64 * 301
"""Frames of a DESFire answer, each with as many follow-ups as `apdu` allows: more than that is a dialogue without end."""
STATUS = bytes.fromhex("9000 9100 91AE 91AF 910C 91BE 6100 6110 6C04 61FF 6C00 6CFF 6A82 6A83 6985 6982 63C0 63C2 9302 9406 6988 FFFF 0000")


class Endless(AssertionError):
    """A dialogue asked on and on."""


@dataclass
class Liar:
    """A card whose answers are bent once it is armed."""

    card: Card
    plan: bytes = b""
    asked: int = 0
    _moves: Iterator[tuple[int, int]] | None = None
    _before: bytes = b"\x90\x00"

    def power_on(self) -> bytes:
        return self.card.power_on()

    def power_off(self) -> None:
        self.card.power_off()

    def arm(self, plan: bytes) -> None:
        """From now on answers are bent."""
        self.plan, self.asked = plan, 0
        self._moves = self._turns()

    def _turns(self) -> Iterator[tuple[int, int]]:
        pairs = list(zip(self.plan[::2], self.plan[1::2], strict=False)) or [(0, 0)]
        while True:
            yield from pairs

    def transmit(self, command: bytes) -> bytes:
        """The card's answer, or what the plan makes of it."""
        answer = self.card.transmit(command)
        if self._moves is None:
            return answer
        self.asked += 1
        if self.asked > COMMANDS_MAX:
            raise Endless(f"{self.asked} commands")
        bent = self._bent(answer, *next(self._moves))
        self._before = answer
        return bent

    def _bent(self, answer: bytes, how: int, much: int) -> bytes:
        """One answer, bent. `how` is chosen so that most octets leave it as it is."""
        at = much % max(len(answer), 1)
        status = STATUS[much % (len(STATUS) // 2) * 2 :][:2]
        bends: dict[int, Callable[[], bytes]] = {
            1: lambda: answer[:at],
            2: lambda: answer[:-2] + status,
            3: lambda: status,
            4: lambda: answer[:at] + bytes([answer[at] ^ (much | 1)]) + answer[at + 1 :] if answer else b"\x00",
            5: lambda: bytes(much) + answer[-2:],
            6: lambda: b"\xff" * much + answer[-2:],
            7: lambda: answer[:-2] + bytes(much % 40) + answer[-2:],
            8: lambda: self._before,
            9: lambda: answer[-2:],
            10: lambda: bytes([much]) * (much % 5),
            11: lambda: answer[:-2][::-1] + answer[-2:],
            12: lambda: answer[:at] + answer[-2:],
        }
        return bends.get(how % 24, lambda: answer)()


@dataclass(frozen=True)
class Scenario:
    """`prepare` gives the liar, and a function that runs the dialogue under test and returns its result."""

    name: str
    prepare: Callable[[], tuple[Liar, Callable[[], Any]]]

    def play(self, plan: bytes) -> str:
        """The kind of outcome: the name of the result's or error's type. Whatever else is raised is a bug."""
        liar, run = self.prepare()
        liar.arm(plan)
        try:
            return type(run()).__name__
        except (CardError, InvalidMac) as error:
            return type(error).__name__


MAKES = {"pboc2-3des": Make(), "transit-sm4": Make(profile=pboc.TRANSIT_SM4)}


def _purse(profile: str, dialogue: Callable[[Make, purse.Application, Station], Any]) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    """A card of 100.00 with a purchase in its log, its application open and its PIN verified."""

    def prepare() -> tuple[Liar, Callable[[], Any]]:
        make = MAKES[profile]
        liar = Liar(build.purse_card(profile=profile, balance=10000, entropy=bytes))
        liar.power_on()
        station = Station(make, liar)  # type: ignore[arg-type]
        application = station.run(purse.open_application(make))
        station.run(purse_debit.debit(make, application, pboc.PURCHASE_EP, 100, TERMINAL, AT))
        station.run(purse.verify_pin(PIN))
        return liar, lambda: station.run(dialogue(make, application, station))

    return prepare


def _sam(dialogue: Callable[[], Any]) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    def prepare() -> tuple[Liar, Callable[[], Any]]:
        liar = Liar(build.purchase_sam(entropy=bytes))
        liar.power_on()
        issuer = Issuer(liar, Make())  # type: ignore[arg-type]
        return liar, lambda: issuer.run(dialogue())

    return prepare


def _issue(profile: str) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    def prepare() -> tuple[Liar, Callable[[], Any]]:
        liar = Liar(build.blank_purse_card(profile=profile, entropy=bytes))
        liar.power_on()
        issuer = Issuer(liar, MAKES[profile])  # type: ignore[arg-type]
        new = purse_issue.NewPurse(NEW, b"LI LEI", dict.fromkeys(purse_issue.KEYS, 1))
        return liar, lambda: issuer.run(purse_issue.personalise(MAKES[profile], new))

    return prepare


def _issued(dialogue: Callable[[Make], Any]) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    def prepare() -> tuple[Liar, Callable[[], Any]]:
        liar = Liar(build.purse_card(entropy=bytes))
        liar.power_on()
        issuer = Issuer(liar, Make())  # type: ignore[arg-type]
        issuer.application = issuer.run(purse.open_application(Make()))
        return liar, lambda: issuer.run(dialogue(Make()))

    return prepare


def _issue_desfire(*, ev2: bool) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    def prepare() -> tuple[Liar, Callable[[], Any]]:
        liar = Liar(build.desfire_card(ev2=ev2, entropy=bytes))
        liar.power_on()
        issuer = Issuer(liar, uid=build.TEST_UID)  # type: ignore[arg-type]
        return liar, lambda: issuer.run(desfire_issue.personalise(layout(ev2=ev2), b"6200000000000013"))

    return prepare


def _secure(*, ev2: bool) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    def prepare() -> tuple[Liar, Callable[[], Any]]:
        liar = Liar(build.desfire_card(ev2=ev2, entropy=bytes))
        liar.power_on()
        issuer = Issuer(liar, uid=build.TEST_UID, master="card")  # type: ignore[arg-type]
        return liar, lambda: issuer.run(desfire_issue.secure_card(1, ev2=ev2))

    return prepare


PLACE = test_desfire.PLACE


def _desfire(key: int, dialogue: Callable[[desfire.Channel], Any], *, ev2: bool) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    """A card of 50.00 in a session with one of its keys."""

    def prepare() -> tuple[Liar, Callable[[], Any]]:
        liar = Liar(build.desfire_purse_card(balance=5000, ev2=ev2, entropy=bytes))
        till = test_desfire.Till(liar)
        channel = till.open(key, ev2=ev2)
        return liar, lambda: till.run(dialogue(channel))

    return prepare


def _opening(*, ev2: bool) -> Callable[[], tuple[Liar, Callable[[], Any]]]:
    def prepare() -> tuple[Liar, Callable[[], Any]]:
        liar = Liar(build.desfire_purse_card(balance=5000, ev2=ev2, entropy=bytes))
        till = test_desfire.Till(liar)
        return liar, lambda: till.open(2, ev2=ev2)

    return prepare


def _logged(channel: desfire.Channel) -> Any:
    return desfire_log.move_logged(channel, build.TEST_UID, PLACE, ready.LOG_FILE, tmac.DEBIT, 100, bytes(16))


VALUE_INTENT = desfire_value.ValueIntent(build.TEST_UID, tmac.DEBIT, 100, 5100, 0)
LOGGED_INTENT = desfire_log.LoggedIntent(build.TEST_UID, tmac.DEBIT, 100, 5100, bytes(16))
SEAL = purse_debit.SealPurchase(NEW, pboc.PURCHASE_EP, 100, AT, 1, bytes(4), 1, 0)
RECORD = purse_debit.CachedRecord(1, b"\x01" + bytes(31))


def _all() -> Iterator[Scenario]:
    for profile in MAKES:
        purses: dict[str, Callable[[Make, purse.Application, Station], Any]] = {
            "open": lambda make, application, station: purse.open_application(make),
            "balance": lambda make, application, station: purse.balance(EP),
            "log": lambda make, application, station: purse.read_log(),
            "pin": lambda make, application, station: purse.verify_pin(PIN),
            "change pin": lambda make, application, station: purse.change_pin(PIN, b"\x11\x22"),
            "purchase": lambda make, application, station: purse_debit.debit(make, application, pboc.PURCHASE_EP, 100, TERMINAL, AT),
            "compound": lambda make, application, station: purse_debit.debit(
                make, application, pboc.COMPOUND_PURCHASE, 100, TERMINAL, AT, records=[RECORD]
            ),
            "load": lambda make, application, station: purse_load.load(application, 100, TERMINAL, AT),
            "unload": lambda make, application, station: purse_load.unload(application, 0, TERMINAL, AT),
            "recover purchase": lambda make, application, station: purse_proof.recover(make, application, station.intents[-1]),
        }
        for name, dialogue in purses.items():
            yield Scenario(f"{profile} {name}", _purse(profile, dialogue))
        yield Scenario(f"{profile} personalise", _issue(profile))
    yield Scenario("psam seal", _sam(lambda: psam.seal(Make(), SEAL)))
    yield Scenario("psam check", _sam(lambda: psam.check(purse_debit.CheckPurchase(bytes(4)))))
    issues: dict[str, Callable[[Make], Any]] = {
        "reload pin": lambda make: purse_issue.reload_pin(PIN),
        "unblock pin": lambda make: purse_issue.unblock_pin(make, PIN),
        "block": lambda make: purse_issue.block_application(make),
    }
    for name, issue in issues.items():
        yield Scenario(f"issuer {name}", _issued(issue))
    for ev2 in (False, True):
        kind = "ev2" if ev2 else "ev1"
        yield Scenario(f"{kind} open", _opening(ev2=ev2))
        yield Scenario(f"{kind} personalise", _issue_desfire(ev2=ev2))
        yield Scenario(f"{kind} value", _desfire(3, lambda channel: desfire.get_value(channel, 1, Mode.FULL), ev2=ev2))
        yield Scenario(f"{kind} pay with log", _desfire(2, _logged, ev2=ev2))
        recover = lambda channel: desfire_log.recover_logged(channel, build.TEST_UID, PLACE, ready.LOG_FILE, LOGGED_INTENT)  # noqa: E731
        yield Scenario(f"{kind} recover with log", _desfire(3, recover, ev2=ev2))
    yield Scenario("ev2 pay", _desfire(2, lambda c: desfire_value.move(c, build.TEST_UID, PLACE, tmac.DEBIT, 100, counter=0), ev2=True))
    paying = lambda c: desfire_value.move(c, build.TEST_UID, PLACE, tmac.DEBIT, 100, counter=0, reader=bytes(16))  # noqa: E731
    yield Scenario("ev2 pay with reader id", _desfire(2, paying, ev2=True))
    yield Scenario("ev2 another key", _desfire(3, lambda c: desfire.authenticate_ev2_non_first(c, 2), ev2=True))
    yield Scenario("ev1 secure", _secure(ev2=False))
    yield Scenario("ev2 secure", _secure(ev2=True))
    yield Scenario("ev2 last", _desfire(3, lambda c: desfire_value.read_last(c, PLACE), ev2=True))
    yield Scenario("ev2 recover", _desfire(3, lambda c: desfire_value.recover(c, build.TEST_UID, PLACE, VALUE_INTENT), ev2=True))


SCENARIOS = {scenario.name: scenario for scenario in _all()}


def decode(data: bytes) -> None:
    """The readers of single answers and commands, on any octets: a value or InvalidApdu, and what was read is written the same."""
    for kind in (apdu.Answer, apdu.Command):
        try:
            read = kind.decode(data)
        except CardError:
            continue
        assert kind.decode(read.encode()) == read

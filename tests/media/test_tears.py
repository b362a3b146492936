"""Goal: wherever a card is torn out, and whatever happens next, no fen is lost and none is made (M5, M6, control T).

Method: purchase, compound purchase, load from account and from cash, unload, DESFire credit and debit (EV2 and EV1), each cut before every
command, at every octet of card memory that a command writes and after every octet of its answer; then {the same card back, back a day
later at another station, another card, never} x {the station alive, the station and the service killed}. The chip's memory is read past
its commands, so where the money is does not depend on what we believe. Each cut must have fired.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from cardapi.ids import card_number
from cardapi.media.asked import Result
from cardapi.media.profiles import desfire_medium, purse_medium
from cardapi.store.media import Shown, pack_shown
from cardapi.store.port import Entry
from cardcore.card.purse import Application
from cardcore.settlement import Arrive, Load, Settlement, TopUp
from firmware_sim import build, pboc
from firmware_sim.card import Card
from firmware_sim.nvm import Memory, PowerCut
from firmware_sim.pboc import PurseCard
from firmware_sim.pboc.layout import Purse
from firmware_sim.pboc.personal import personalise
from tests.desk.till import Till
from tests.media.counter import Counter
from tests.shops import PARTITIONS
from tests.support import LONG, sized

CHIP, ACCOUNT, AMOUNT = 50_00, 80_00, 12_50
ONLINE, OFFLINE = 3, 4
RECORD = (2, b"\x02" + bytes(range(31)))
SERIALS = itertools.count(1)

# purpose, make of chip, what else is asked for
FLOWS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "purchase": ("pay", "pboc2-3des", {"pin": None}),
    "compound": ("pay", "transit-sm4", {"pin": None, "records": [RECORD]}),
    "load": ("load", "pboc2-3des", {}),
    "cash": ("load", "fm1208", {"tender": "cash"}),
    "unload": ("unload", "fm1208", {}),
    "debit": ("pay", "desfire-ev2", {}),
    "credit": ("load", "desfire-ev2", {}),
    "debit-ev1": ("pay", "desfire-ev1", {}),
    "credit-ev1": ("load", "desfire-ev1", {}),
}
COMBINATIONS = tuple(itertools.product(("back", "later", "other", "never"), ("alive", "killed")))
OCTETS = sized(10, 40)  # octets of each kind that are cut, of the money command and of all others; in the long run every one it writes
WAYS = sized(1, 2)  # ways in which each cut is followed up, taking turns


class Cut(NamedTuple):
    """`place` of the nth command (from 0): before it ("command"), at a memory octet, after answer octets."""

    nth: int
    place: str
    octet: int


class Hands:
    """Hold a card to a reader and pull it at one cut."""

    def __init__(self, card: Card, cut: Cut | None = None) -> None:
        self.card, self.cut, self.fired = card, cut, False
        self.sent: list[tuple[int, int]] = []  # memory octets written and answer octets, of each command

    def __call__(self, command: bytes) -> bytes:
        here = self.cut is not None and len(self.sent) == self.cut.nth
        before = self.card.power.memory_bytes
        try:
            if here:
                self._arm()
            answer = self.card.transmit(command)
        except PowerCut:
            self.fired = here
            self.card.power_off()
            raise
        self.sent.append((self.card.power.memory_bytes - before, len(answer)))
        return answer

    def _arm(self) -> None:
        assert self.cut is not None
        if self.cut.place == "command":
            raise PowerCut
        arm = self.card.power.cut_at_memory_byte if self.cut.place == "memory" else self.card.power.cut_at_answer_byte
        arm(self.cut.octet)


class Scene(Counter):
    """A counter where each cut gets a fresh card with money on chip and account, journaled in one commit."""

    def __init__(self, till: Till) -> None:
        super().__init__(till)
        self.starts: dict[str, int] = {}  # card -> position of its last entry before the tap

    def fresh(self, profile: str) -> Card:
        n = next(SERIALS)
        card = self._chip(profile, n)
        number, terminal = card_number("8801", 1_000_000 + n), "terminal:t1"
        given = {"medium": self.medium, "profile": profile, "keys": [[1, 0, 0]], "purse": 2 * isinstance(card, PurseCard)}
        purse = isinstance(card, PurseCard)
        before = pack_shown(Shown(self.medium, ONLINE if purse else -1, OFFLINE if purse else -1, 0))
        after = pack_shown(Shown(self.medium, ONLINE if purse else -1, OFFLINE if purse else -1, CHIP))
        ask = self.till.request
        requests = [
            ask("issue", card=number, payload={"programme": "plain"}), ask("activate", card=number),
            ask("topup", card=number, command=TopUp(ACCOUNT + CHIP)), ask("register_medium", card=number, payload=given),
            ask("load", key=f"first-{n}", card=number, command=Load(CHIP, memo=before)),
            ask("arrive", ref_key=(terminal, f"first-{n}"), command=Arrive(memo=after)),
        ]  # fmt: skip
        for done in self.till.shop.desk.call_many(requests):
            assert isinstance(done, Entry)
            assert done.outcome == "applied", done.code
            self.starts[number] = done.position
        self.number = number
        return card

    def _chip(self, profile: str, n: int) -> Card:
        if profile.startswith("desfire"):
            uid = (0x04 << 48 | n).to_bytes(7)
            self.medium = desfire_medium(uid)
            return build.desfire_purse_card(uid=uid, ev2=profile == "desfire-ev2", balance=CHIP, entropy=self.rng.randbytes)
        memory, identity = Memory(), pboc.Identity(serial=n.to_bytes(10))
        made = pboc.PROFILES[profile]
        personalise(memory, identity, profile=made, electronic_purse=Purse(CHIP, ONLINE, OFFLINE))
        self.medium = purse_medium(Application(identity.issuer, 2, 1, identity.serial, identity.valid_from, identity.valid_to))
        return PurseCard(memory, made, self.rng.randbytes)

    def claims(self, number: str) -> tuple[int, int]:
        """Sold by this card since it was made, and cash put in less handed back."""
        account = self.till.shop.store.read([number])[number].account
        sold = cash = 0
        for entry in self.till.shop.store.statement(account.account_id, None, 20):
            if entry.position > self.starts[number] and entry.outcome == "applied" and entry.body:
                for posting in Settlement.unpack(entry.body).postings():
                    sold += posting.amount * (posting.target == "sales")
                    cash += posting.amount * ((posting.source == "outside") - (posting.target == "outside"))
        return sold, cash

    def constant(self, card: Card, number: str) -> None:
        """Every fen is in exactly one place, and the chip itself agrees."""
        places, (sold, cash) = self.places(number), self.claims(number)
        assert places["account"] + places["on_card"] + places["in_flight"] + sold == ACCOUNT + CHIP + cash
        chip = self.chip(card)
        moved = chip - places["on_card"]
        if not places["open"]:
            assert moved == 0, "nothing is open, so chip and journal agree"
        else:
            assert places["open"] == AMOUNT
            assert moved in (0, AMOUNT if places["in_flight"] else -AMOUNT), "open, and done or not done"
        waiting = places["in_flight"] - moved if places["in_flight"] else -moved
        assert places["account"] + chip + waiting + sold == ACCOUNT + CHIP + cash, "account, chip, in flight and claims"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    till = Till(tmp_path_factory.mktemp("tears") / "shop")
    yield Scene(till)
    till.shop.close()


def cuts(scene: Scene, flow: str) -> list[Cut]:
    """Every cut of a flow, as a rehearsal counts them; a sample of the octets."""
    purpose, profile, more = FLOWS[flow]
    card = scene.fresh(profile)
    hands = Hands(card)
    assert scene.tap(card, purpose, AMOUNT, send=hands, **more).outcome == "done"
    scene.constant(card, scene.number)
    found = [Cut(index, "command", 0) for index in range(len(hands.sent))]
    memory = [Cut(i, "memory", n) for i, (written, _) in enumerate(hands.sent) for n in range(written)]
    answers = [Cut(i, "answer", n) for i, (_, length) in enumerate(hands.sent) for n in range(length)]
    # The money command is the last that writes; octets of all others are there too, thinner.
    last = max(cut.nth for cut in memory)
    for places in (memory, answers):
        money = [cut for cut in places if cut.nth == last]
        others = [cut for cut in places if cut.nth != last]
        for chosen in (money, others):
            stride = 1 if LONG and chosen is money else max(1, len(chosen) // OCTETS)
            found += chosen[::stride] + chosen[-1:]
    return list(dict.fromkeys(found))


def torn_tap(scene: Scene, card: Card, cut: Cut, flow: str, key: str, terminal: str) -> Result | None:
    """The tap that is cut. A station that lives reports it; one that is killed does not, nor does the service live on."""
    purpose, _, more = FLOWS[flow]
    hands = Hands(card, cut)
    if terminal == "alive":
        result = scene.tap(card, purpose, AMOUNT, key=key, send=hands, **more)
        assert hands.fired, "the cut reached its window"
        return result
    card.reset()
    asked, caller = scene.asked(purpose, AMOUNT, **more), scene.caller(key)
    step = scene.open(asked, caller)
    try:
        while step.result is None:
            step = scene.sessions.step(caller.client, step.session, step.step, (hands(bytes.fromhex(step.commands[0])).hex(),))
    except PowerCut:
        pass
    assert hands.fired, "the cut reached its window"
    scene.restart()
    return None


def follow(scene: Scene, card: Card, number: str, result: Result | None, then: str, key: str, flow: str) -> None:
    """What comes after, and what must hold then."""
    is_open = bool(scene.places(number)["open"])
    if result is not None:
        assert result.outcome == ("in_flight" if is_open else "torn")
    if then == "later":
        scene.now = scene.room.clock() // 1_000_000 + 86_400
    if then in ("back", "later"):
        chip = scene.chip(card)
        before = scene.places(number)
        told = scene.tap(card, "recover" if then == "back" else "show", station="t1" if then == "back" else "t2")
        scene.now = None
        assert told.outcome == ("settled" if is_open else "done")
        if is_open:
            assert told.happened == (chip != before["on_card"])
            assert told.refund_fen == (AMOUNT if told.refund_tender else 0)
        assert scene.places(number)["open"] == 0
    elif then == "other":
        other = scene.fresh("pboc2-3des")
        assert scene.tap(other, "load", AMOUNT).outcome == "done"
        scene.constant(other, scene.number)
    assert bool(scene.places(number)["open"]) == (is_open and then in ("other", "never"))
    account = scene.till.shop.store.read([number])[number].account
    for flight in scene.account(number).flights():
        listed = [row.account_id for row in scene.till.shop.store.in_flight(flight.position - 1, PARTITIONS)]
        assert account.account_id in listed, "it is listed: each partition has one entry of a position"
    if then in ("back", "later") and is_open:
        # The station that lost the answer asks again under the same key: the same effect, and no second one (O5).
        purpose, _, more = FLOWS[flow]
        asked_again = scene.open(scene.asked(purpose, AMOUNT, **more), scene.caller(key))
        assert asked_again.result is not None
        assert asked_again.result.happened == told.happened


@pytest.mark.parametrize("flow", FLOWS)
def test_no_fen_is_lost_wherever_a_card_is_torn_out(scene: Scene, flow: str) -> None:
    _, profile, _ = FLOWS[flow]
    count, ends = 0, set()
    turn = itertools.cycle(COMBINATIONS)
    for place in cuts(scene, flow):
        for then, terminal in itertools.islice(turn, WAYS):
            card = scene.fresh(profile)
            number, key = scene.number, f"torn-{flow}-{next(SERIALS)}"
            result = torn_tap(scene, card, place, flow, key, terminal)
            scene.constant(card, number)
            follow(scene, card, number, result, then, key, flow)
            scene.constant(card, number)
            ends.add((bool(scene.places(number)["open"]), scene.chip(card) != CHIP))
            count += 1
    assert count >= sized(34, 223), "300 cuts in CI, 2,000 in the long run"
    assert ends == {(False, False), (False, True), (True, False), (True, True)}, "done and undone, settled and still open"
    scene.till.sound()


@pytest.mark.parametrize("flow", ["purchase", "load", "unload", "credit", "debit-ev1"])
@pytest.mark.parametrize("done", [True, False])
def test_torn_again_while_it_is_being_settled(scene: Scene, flow: str, done: bool) -> None:
    """The tap that settles is cut before every command and after every answer, one after the other on one card: the end comes once."""
    purpose, profile, more = FLOWS[flow]
    card = scene.fresh(profile)
    number = scene.number
    rehearsal = Hands(scene.fresh(profile))
    assert scene.tap(rehearsal.card, purpose, AMOUNT, send=rehearsal, **more).outcome == "done"
    last = max(nth for nth, (written, _) in enumerate(rehearsal.sent) if written)
    scene.number = number
    torn = Hands(card, Cut(last, "answer", 0) if done else Cut(last, "command", 0))
    assert scene.tap(card, purpose, AMOUNT, send=torn, **more).outcome == "in_flight"
    for nth in range(100):
        for place in ("command", "answer"):
            hands = Hands(card, Cut(nth, place, 0))
            told = scene.tap(card, "recover", send=hands, station=f"t{1 + nth % 2}")
            scene.constant(card, number)
            if told.outcome != "in_flight" or not hands.fired:
                break
            scene.restart()
        if not hands.fired:
            break
    assert nth >= 3
    assert (told.outcome, told.happened) == ("settled", done)
    assert scene.places(number)["open"] == 0
    assert scene.chip(card) == CHIP + done * (AMOUNT if purpose == "load" else -AMOUNT)

"""One tap from its first command to its last: who is it, is anything open, may it, do it, prove it. A generator that yields commands.

Money (control T): the intent entry is durable before the command that changes the card leaves; it is ended only by proof, here or at
the next tap. Everything written under the caller's name has a key made from the caller's (O5); the end of an item has one key for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cardapi.desk import Desk, Problem, Request, is_settlement, unpack_facts
from cardapi.ids import ACCOUNT_BITS, ticket_id
from cardapi.keys.port import KeyStore
from cardapi.media.asked import Asked, Caller, Result
from cardapi.media.intents import Intent, before, from_facts, to_facts
from cardapi.media.issue import Places, personalise
from cardapi.people.registry import Registry
from cardapi.store.media import Shown, key_allowed, pack_shown, unpack_shown
from cardapi.store.port import CardRow, Entry, MediumRow
from cardcore.card import Answer, CardRefused, Command, tries_left
from cardcore.card.dialogue import Dialogue, Intend, ToCard, ToSam
from cardcore.card.purse_proof import Outcome
from cardcore.clearing.body import Case
from cardcore.crypto import InvalidMac, Key
from cardcore.errors import CardcoreError, Declined
from cardcore.settlement import Arrive, Load, Pay, Return, Settlement, Unload
from cardcore.settlement.lifecycle import admit

Script: TypeAlias = Generator[Command, Answer, Any]
USABLE = {"show": ("active", "retired", "blocked"), "load": ("active",), "pay": ("active",), "unload": ("active", "retired")}


class TapRefused(CardcoreError):
    """The session ends here and nothing (more) was changed. `code` is per instance."""

    def __init__(self, code: str, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or code.replace("_", " "), **facts)
        self.code = code


@dataclass(frozen=True)
class Room:
    """What every session works with. clock: microseconds since 1970. random: octets from a good source."""

    desk: Desk
    registry: Registry
    keys: KeyStore
    clock: Callable[[], int]
    random: Callable[[int], bytes]
    system: bytes  # the system identifier of AN10922 diversification
    places: Places = field(default_factory=Places)


class Item:
    """What is open on a medium: its entry, and the intent in it."""

    def __init__(self, entry: Entry) -> None:
        shown = unpack_shown(Settlement.unpack(entry.body).memo)
        assert shown is not None, "an intent names its medium"
        self.entry = entry
        self.medium = shown.medium
        self.intent: Intent = from_facts(shown.facts["dialogue"])
        self.key_version: int = shown.facts.get("key_version", 0)
        self.asked: bytes = shown.facts.get("asked", b"")

    @property
    def amount_fen(self) -> int:
        """What it is about."""
        return Settlement.unpack(self.entry.body).net_fen


class Tap:
    """One session. `run` is its generator; what is open when it is closed in between stays in flight."""

    def __init__(self, room: Room, caller: Caller, asked: Asked, meaning: bytes) -> None:
        """meaning: 16 octets over what was asked, to tell a repeated key from a reused one (O2)."""
        self.room = room
        self.caller = caller
        self.asked = asked
        self.meaning = meaning
        self.row: MediumRow | None = None
        self.card: CardRow | None = None
        self.key_version = 0
        self.opened: Item | None = None  # written by this session and not ended yet
        self.facts: dict[str, Any] = {}  # of the result, as they become known

    # ------------------------------------------------------------ the course of a session
    def run(self) -> Generator[Command, Answer, Result]:
        """The whole session; never raises a CardcoreError."""
        try:
            result: Result = yield from self._run()
        except Settled as settled:
            return settled.result
        except CardcoreError as error:
            code = error.declined_code if isinstance(error, Declined) else error.code
            status = error.facts.get("status", "") if isinstance(error, CardRefused) else ""
            left = tries_left(int(status, 16)) if status else None
            return self.result(
                "in_flight" if self.opened else "refused", code=code, detail=error.detail, status=status,
                tries_left=-1 if left is None else left, **self._open_facts(),
            )  # fmt: skip
        return result

    def torn(self) -> Result:
        """The card left."""
        return self.result("in_flight" if self.opened else "torn", code="card_gone", **self._open_facts())

    def _run(self) -> Script:
        from cardapi.media.chips import identify

        earlier = self._earlier()
        if isinstance(earlier, Result):
            return earlier
        chip = yield from identify(self)
        if self.asked.purpose == "personalise":
            return (yield from personalise(self, chip))
        self.facts["medium"] = chip.medium
        row = self.look(lambda store: store.read_media([chip.medium])).get(chip.medium)
        if row is None:
            raise TapRefused("unknown_medium", "this card is not registered here")
        if earlier is not None and earlier.medium != row.medium:
            raise TapRefused("other_card", "this key was used for another card, which is still open")
        self.row = row
        self.card = self.look(lambda store: store.read_accounts([row.account_id]))[row.account_id].card
        self.facts["card"] = self.card.number
        chip.meet(row)
        if row.in_flight:
            return (yield from self._settle(chip, row.in_flight))
        if self.asked.purpose == "recover":
            return self.result("done")
        self._admit(row, self.card)
        return (yield from getattr(chip, self.asked.purpose)())

    def _admit(self, row: MediumRow, card: CardRow) -> None:
        """Card and medium may be used for this now (K5, K7). The desk judges again where it posts."""
        verb = "load" if self.asked.purpose == "show" else self.asked.purpose
        admit(verb, card.state, card.state_from, card.valid_until, card.flags, self.now)
        if row.state not in USABLE[self.asked.purpose]:
            raise Declined("medium_not_active", state=row.state)

    def _settle(self, chip: Any, position: int) -> Script:
        """End what is open on this card by its proof; then the session is over, whatever it was opened for."""
        assert self.row is not None, "the medium is known by now"
        partition = self.row.account_id >> ACCOUNT_BITS
        entry = self.look(lambda store: store.entry(partition, position))
        assert entry is not None, "what is in flight has its entry"
        item = Item(entry)
        self.key_version = item.key_version
        self.opened = item
        outcome, shown, proof = yield from chip.recover(item)
        return self.end(item, outcome, shown, proof, "settled")

    # ------------------------------------------------------------ keys of the caller
    @property
    def intent_key(self) -> str:
        """The client key of the session's intent."""
        return f"card:{hashlib.blake2b(self.caller.client_key.encode(), digest_size=16).hexdigest()}"

    def _earlier(self) -> Item | Result | None:
        """What this key has done before: nothing, an item that is still open, or the result of one that ended."""
        name = (self.caller.client, self.intent_key)
        entry = self.look(lambda store: store.find_keys([name])).get(name)
        if entry is None:
            return None
        if entry.outcome == "refused":
            return self.result("refused", code=entry.code, card=entry.card)
        item = Item(entry)
        if item.asked != self.meaning:
            raise TapRefused("key_reused", "this client key was used for another session")
        for follower in self.look(lambda store: store.followers(entry.partition, entry.position)):
            if follower.outcome == "applied":
                return self._ended(item, follower, "done" if follower.verb == "arrive" else "refused")
        return item

    # ------------------------------------------------------------ what a chip asks of its session
    def look(self, question: Callable[[Any], Any]) -> Any:
        """Read the store."""
        return self.room.desk.look(question)

    @property
    def now(self) -> int:
        """Epoch seconds."""
        return self.room.clock() // 1_000_000

    def key(self, purpose: str, version: int, algorithm: str, factors: list[bytes]) -> Key:
        """The card's own key of a purpose and version. Raises TapRefused key_version_not_allowed, and the key store's errors."""
        # An open item is judged by the keys that were allowed when it was written (K6).
        at = self.opened.entry.at_us // 1_000_000 if self.opened else self.now
        if self.row is not None and not key_allowed(self.row, version, at):
            raise TapRefused("key_version_not_allowed", f"this card may not use version {version} of its keys now", version=version)
        info = self.room.keys.version(purpose, version, at, algorithm)
        return self.room.keys.card_key(info.id, factors)

    def serve(self, dialogue: Dialogue[Any], answers: Callable[[Any], Any]) -> Script:
        """Drive a dialogue: commands go out, questions about keys are answered here, intents are written before they are."""
        answer: Any = None
        failure: Exception | None = None
        while True:
            try:
                question = dialogue.throw(failure) if failure else dialogue.send(answer)
            except StopIteration as done:
                return done.value
            answer, failure = None, None
            try:
                match question:
                    case ToCard(command):
                        answer = yield command
                    case ToSam(request):
                        answer = answers(request)
                    case Intend(intent):
                        self._intend(intent)
            except Exception as error:  # thrown back in at the yield, as a driver does
                failure = error

    def stepped_back(self, seen: int, known: int) -> TapRefused:
        """The card proved a counter lower than one it proved before: freeze it (K1)."""
        assert self.card is not None, "the card is known by now"
        request = self._system("freeze", f"k1:{self.intent_key}", card=self.card.number, reason=f"K1: counter {seen} after {known}")
        self.room.desk.call(request)
        self.open_case("counter_stepped_back", 0, seen=seen, known=known)
        return TapRefused("counter_stepped_back", f"the card shows counter {seen}, it was at {known}", seen=seen, known=known)

    def open_case(self, reason: str, amount_fen: int, **facts: Any) -> None:
        """Have a person look at what this card showed. The same finding again is one case."""
        assert self.row is not None, "the medium is known by now"
        told = {"medium": self.row.medium, **facts}
        mark = hashlib.blake2b(repr([reason, sorted(told.items())]).encode(), digest_size=12).hexdigest()
        caller = self.caller
        case = Case(f"tap-{mark}", reason, "open", self.row.account_id, caller.terminal, caller.unit, amount_fen, 0, 0, "", told)
        try:
            self.room.desk.call(self._system("open_case", f"case:{mark}:{self.room.random(8).hex()}", payload={"case": case}))
        except Problem as problem:
            if problem.code != "case_open":
                raise

    def step(self, script: Dialogue[Any], chip: Any) -> Script:
        """Run a dialogue that changes the card. Where it fails after its intent, the card, still here, is asked what happened."""
        try:
            return (yield from self.serve(script, chip.answers))
        except CardcoreError as error:
            if self.opened is None:
                raise
            outcome, shown, proof = yield from chip.recover(self.opened)
            if outcome is Outcome.OPEN:
                if isinstance(error, InvalidMac):
                    entry = self.opened.entry
                    ticket = ticket_id(entry.partition, entry.position)
                    self.open_case("proof_refused", self.opened.amount_fen, verb=entry.verb, ticket=ticket)
                raise
            raise Settled(self.end(self.opened, outcome, shown, proof, "done" if outcome is Outcome.DONE else "refused", error)) from error

    # ------------------------------------------------------------ writing
    def _intend(self, intent: Intent) -> None:
        """Commit the intent: from here on the item is in flight until it is proved (control T)."""
        assert self.row is not None, "the medium is known by now"
        assert self.card is not None, "the card is known by now"
        online, offline, balance = before(intent)
        facts = {"dialogue": to_facts(intent), "asked": self.meaning, "key_version": self.key_version}
        memo = pack_shown(Shown(self.row.medium, online, offline, balance, facts))
        verb, amount = self.asked.purpose, self.asked.amount_fen
        command: Load | Unload | Pay
        if verb == "load":
            command = Load(amount, tender=self.asked.tender, memo=memo)
        else:
            command = (Unload if verb == "unload" else Pay)(amount, memo=memo)
        # The nonce keeps this session apart from another under the same key: that one must not take this entry for its own.
        fingerprint = self.room.desk.fingerprint([self.meaning.hex(), self.room.random(16).hex()])
        caller = self.caller
        entry = self.room.desk.call(Request(
            verb, caller.client, self.intent_key, fingerprint, card=self.card.number, command=command, unit=caller.unit,
            terminal=caller.terminal, operator=caller.operator, pin=self._account_pin(),
        ))  # fmt: skip
        if entry.outcome != "applied":
            declined = unpack_facts(entry.body) if entry.body else {}
            raise TapRefused(entry.code, "", **{name: value for name, value in declined.items() if name not in ("code", "detail")})
        self.opened = Item(entry)

    def _account_pin(self) -> Any:
        """The PIN of the account, where the programme asks for it to spend; the chip has checked its own."""
        assert self.card is not None, "the card is known by now"
        version = self.room.registry.version(self.card.programme, self.now)
        spends = self.asked.purpose == "load" and not self.asked.tender
        # An account without a PIN has none to check: what was given is the chip's own.
        wanted = spends and self.card.pin_value and version is not None and version.policy.pin != "never"
        return self.asked.pin if wanted else None

    def _system(self, verb: str, key: str, **facts: Any) -> Request:
        caller = self.caller
        fingerprint = self.room.desk.fingerprint([verb, key])
        where = {"unit": caller.unit, "terminal": caller.terminal, "operator": caller.operator, **facts}
        return Request(verb, "system", key, fingerprint, **where)

    def end(
        self, item: Item, outcome: Outcome, shown: Shown, proof: dict[str, Any], told: Any = "done", error: CardcoreError | None = None
    ) -> Result:
        """Post the end of an item by its proof. `shown`: the chip's counters and balance now; nothing is posted while it is open."""
        entry = item.entry
        if outcome is Outcome.OPEN:
            return self.result("in_flight", code="in_flight_open", **self._open_facts())
        shown.facts = proof
        verb, kind = ("arrive", Arrive) if outcome is Outcome.DONE else ("return", Return)
        # A sale belongs to the till that made it, wherever it is proved; money handed back leaves the drawer here.
        where = {"unit": entry.unit, "terminal": entry.terminal, "operator": entry.operator} if entry.verb == "pay" else {}
        ended = self.room.desk.call(self._system(
            verb, f"flight:{entry.partition}:{entry.position}:{verb}", command=kind(memo=pack_shown(shown)), ref=entry.position,
            partition=entry.partition, **where,
        ))  # fmt: skip
        if ended.outcome != "applied":
            return self.result("in_flight", code=ended.code, **self._open_facts())
        self.opened = None
        self.facts["chip_fen"] = shown.balance_fen
        self.facts["proof"] = next((value.hex() for value in proof.values() if isinstance(value, bytes)), "")
        return self._ended(item, ended, told, error)

    # ------------------------------------------------------------ results
    def _open_facts(self) -> dict[str, Any]:
        if self.opened is None:
            return {}
        entry = self.opened.entry
        return {"verb": entry.verb, "amount_fen": self.opened.amount_fen, "ticket_id": ticket_id(entry.partition, entry.position)}

    def _ended(self, item: Item, end: Entry, told: Any, error: CardcoreError | None = None) -> Result:
        assert is_settlement(end), "an item ends by a settlement"
        done = Settlement.unpack(end.body)
        back = done.outside_fen if end.verb == "return" else 0
        status = error.facts.get("status", "") if isinstance(error, CardRefused) else ""
        return self.result(
            told, medium=item.medium, card=end.card, verb=item.entry.verb, amount_fen=item.amount_fen, happened=end.verb == "arrive",
            code=error.code if error and end.verb == "return" else "", status=status, refund_fen=back,
            refund_tender=done.outside_tender if back else "", ticket_id=ticket_id(item.entry.partition, item.entry.position),
            end_ticket_id=ticket_id(end.partition, end.position),
        )  # fmt: skip

    def result(self, outcome: Any, **facts: Any) -> Result:
        """A result with what is known by now."""
        return Result(**{"outcome": outcome, "purpose": self.asked.purpose, **self.facts, **facts})


class Settled(Exception):
    """A step failed after its intent and was settled at once."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result

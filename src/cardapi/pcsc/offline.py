"""Paying off line: a purse, or a DESFire card, in one reader, the till's purchase module in another, records in a clearing batch file.

A purchase is begun on disk before the card is asked to pay and stands in the batch once the card has proven it. One that was torn is
asked for its proof when the card is back, in this process or a later one; until then nothing else is taken from that card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from cardapi.clearing import BatchWriter
from cardapi.pcsc.blocked import BlockedCards
from cardapi.pcsc.context import Context
from cardapi.pcsc.drive import Line, drive
from cardapi.pcsc.errors import OutcomeUnknown, PcscError, WrongCard
from cardapi.pcsc.identify import Found, identify
from cardapi.pcsc.intents import DONE, UNDONE, Begun, Intents, ValueBegun
from cardapi.pcsc.link import Link
from cardapi.pcsc.offline_value import ValueLine, record_of
from cardcore.card import CardRefused, psam, purse, purse_debit
from cardcore.card.desfire import Committed
from cardcore.card.desfire_value import ValueIntent
from cardcore.card.dialogue import Dialogue
from cardcore.card.purse_debit import CheckPurchase, DebitIntent, Seal, SealPurchase
from cardcore.card.purse_proof import JudgeProof, Outcome, recover
from cardcore.clearing import BLOCK, Header, PurseRecord, Record
from cardcore.clearing.layout import decode_record
from cardcore.crypto import pboc

Result = TypeVar("Result")
MAC_WRONG = "9302"
FORGOTTEN = frozenset({"6985", "6901"})
"""The module has no purchase to check any more: it lost its power meanwhile. Clearing will judge the TAC."""
KEY_INDEX = 1
LIST_RENEWED_S = 43_200
"""By how much the list of blocked cards in use may be newer than the one that the batch names, before a new batch is begun. Half of the day
after which clearing calls a list stale."""


class SamUnavailable(PcscError):
    """The purchase module does not answer."""

    code = "sam_unavailable"
    advice = "put the till's module into its reader and name that with --sam"


class NotGenuine(PcscError):
    """The card does not know its purchase key."""

    code = "card_not_genuine"
    advice = "give nothing out: what it claims to have paid is kept for a person to look at"


class StillOpen(PcscError):
    """A purchase of this card was torn and the card cannot tell any more what became of it."""

    code = "card_transaction_open"
    advice = "it stays in flight until the card can prove it; nothing more is taken from this card here"


class WrongModule(PcscError):
    """The batch belongs to another till."""

    code = "wrong_module"
    advice = "use that till's module, or another batch file"


class Module:
    """The purchase SAM in its reader, connected from the first question on."""

    def __init__(self, reader: str, make: purse.Make | None = None) -> None:
        self.reader, self.make = reader, make or purse.Make()
        self._context: Context | None = None
        self._link: Link | None = None
        found = self.ask(lambda: identify(self.make))
        if found.kind != "psam":
            self.close()
            raise SamUnavailable(f"no purchase module lies in the reader {reader}")
        self.terminal = bytes.fromhex(found.number)

    def ask(self, dialogue: Callable[[], Dialogue[Result]]) -> Result:
        """One dialogue with the module; begun anew when the line to it was lost meanwhile. Raises SamUnavailable, CardRefused."""
        if self._link is not None:
            try:
                return drive(dialogue(), self._link)
            except PcscError:
                self.close()
        try:
            self._context = Context()
            self._link = self._context.connect(self.reader)
            return drive(dialogue(), self._link)
        except PcscError as error:
            self.close()
            raise SamUnavailable(f"the purchase module in the reader {self.reader} does not answer") from error

    def close(self) -> None:
        """Let it go."""
        if self._link is not None:
            self._link.close()
        if self._context is not None:
            self._context.close()
        self._link = self._context = None


@dataclass(frozen=True, slots=True)
class Paid:
    """A purchase that stands in the batch. Amounts in fen. proof: TAC of a purse, transaction MAC of a value file.

    recovered: it was completed by the card's proof. earlier: another run began it.
    """

    begun: Begun | ValueBegun
    proof: bytes
    recovered: bool = False
    earlier: bool = False

    @property
    def intent(self) -> DebitIntent | ValueIntent:
        """What was written before the card was asked."""
        return self.begun.intent

    @property
    def balance_after(self) -> int:
        """What the card held after it."""
        intent = self.intent
        return (intent.value if isinstance(intent, ValueIntent) else intent.balance) - intent.amount


class Till:
    """One till off line: its module, its batch and what it has begun. A with block ends it."""

    def __init__(self, module: Module, path: Path, at: datetime, blocked: BlockedCards | None = None) -> None:
        """Opens or makes the batch and takes up what an earlier process left begun. blocked: the list of cards that it takes nothing from.

        Raises TillBusy, DamagedIntents, InvalidBatch.
        """
        self.module = module
        self.blocked = blocked
        self.intents = Intents(path.with_name(path.name + ".begun"))
        try:
            fresh = not path.exists() or path.stat().st_size < BLOCK
            # A station counts its batches by the second that it opened them.
            header = Header(module.terminal, int(at.timestamp()), self._list, stamp(at)) if fresh else None
            self.batch = BatchWriter(path, header)
            if self.batch.header.terminal != module.terminal:
                self.batch.close()
                raise WrongModule(f"{path} belongs to terminal {self.batch.header.terminal.hex()}, the module is {module.terminal.hex()}")
            self._take_up()
            if self._list - self.batch.header.blacklist > LIST_RENEWED_S:
                self._begin_anew(path, at)
        except BaseException:
            self.intents.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.batch.close()
        self.intents.close()
        self.module.close()

    @property
    def _list(self) -> int:
        """The version of the list of blocked cards, 0 without one."""
        return self.blocked.version if self.blocked is not None else 0

    def _begin_anew(self, path: Path, at: datetime) -> None:
        """A batch names one list. With a newer one its purchases go on in a new batch; the old one is put aside, closed.

        Renamed before it is sealed: a process killed in between leaves an open batch, which is cleared as well.
        """
        old = self.batch.header
        self.batch.close()
        if self.batch.count:
            aside = path.with_name(f"{path.stem}-{old.batch}{path.suffix}")
            path.rename(aside)
            with BatchWriter(aside) as closing:
                closing.seal()
        else:
            path.unlink()
        self.batch = BatchWriter(path, Header(self.module.terminal, max(int(at.timestamp()), old.batch + 1), self._list, stamp(at)))

    def _take_up(self) -> None:
        """A process killed between the record and its end leaves a purchase that is open here and stands in the batch."""
        written = {record.number for record in stored(self.batch.path, self.batch.count)}
        for number in [number for number in self.intents.open if number in written]:
            self.intents.end(number, DONE)

    # ------------------------------------------------------------ settling
    def settle(self, line: Line, found: Found, *, mine: int = 0) -> list[Paid]:
        """Ask the card what became of its open purchases; those that are done stand in the batch afterwards.

        mine: number of the purchase whose seal the module still holds, so that it can check the proof. Raises StillOpen, NotGenuine.
        """
        done = []
        for begun in self.intents.of(found.medium):
            if isinstance(begun, ValueBegun):
                done += self._settle_value(line, begun, mine)
                continue
            if begun.suspect:
                raise NotGenuine("the card did not prove itself in an earlier purchase")
            assert found.application is not None, "a personalised purse"
            told = drive(recover(self.module.make, found.application, begun.intent), line, module=_nobody_judges)
            if told.outcome is Outcome.OPEN:
                raise StillOpen(f"the card cannot tell what became of purchase {begun.number}", number=begun.number)
            if told.outcome is Outcome.UNDONE:
                self.intents.end(begun.number, UNDONE)
                continue
            if begun.number == mine and told.mac:
                try:
                    self._check(told.mac)
                except NotGenuine:
                    self.intents.suspect(begun.number)
                    raise
                except CardRefused as refused:
                    if refused.facts.get("status") not in FORGOTTEN:
                        raise
                except SamUnavailable as error:
                    raise OutcomeUnknown("the purchase module is away, and has to check the card's proof", number=mine) from error
            if not told.tac:
                # The log says so, but without a TAC there is nothing to claim it with.
                raise StillOpen(f"purchase {begun.number} was made, but the card has lost its proof", number=begun.number)
            done.append(self._record(begun, told.tac, recovered=True, earlier=begun.number != mine))
        return done

    def _settle_value(self, line: Line, begun: ValueBegun, mine: int) -> list[Paid]:
        """The same of a value file: its counter and value tell, and the transaction MAC that it still has is the claim."""
        told = ValueLine(self.module, line, begun.intent.uid).find_out(begun)
        if told.outcome is Outcome.OPEN:
            raise StillOpen(f"the card cannot tell what became of purchase {begun.number}", number=begun.number)
        if told.outcome is Outcome.UNDONE:
            self.intents.end(begun.number, UNDONE)
            return []
        assert told.committed is not None, "what is done has its transaction MAC"
        return [self._record_value(begun, told.committed, recovered=True, earlier=begun.number != mine)]

    def _check(self, mac2: bytes) -> None:
        """The module checks MAC2 of the purchase that it sealed last. Raises NotGenuine, and CardRefused when it has forgotten it."""
        try:
            self.module.ask(lambda: psam.check(CheckPurchase(mac2)))
        except CardRefused as refused:
            if refused.facts.get("status") == MAC_WRONG:
                raise NotGenuine("the module refuses what the card presents") from refused
            raise

    def _record(self, begun: Begun, tac: bytes, *, recovered: bool = False, earlier: bool = False, overdraw: int = 0) -> Paid:
        intent = begun.intent
        record = PurseRecord(
            intent.amount, intent.kind, intent.terminal, intent.number, intent.at, tac, intent.application.issuer,
            intent.application.serial, intent.counter, intent.balance, overdraw, KEY_INDEX, begun.key_version, begun.algorithm,
        )  # fmt: skip
        self.batch.append(record)
        self.intents.end(intent.number, DONE)
        return Paid(begun, tac, recovered, earlier)

    def _record_value(self, begun: ValueBegun, committed: Committed, *, recovered: bool = False, earlier: bool = False) -> Paid:
        self.batch.append(record_of(self.module.terminal, begun, committed.counter, committed.value))
        self.intents.end(begun.number, DONE)
        return Paid(begun, committed.value, recovered, earlier)

    # ------------------------------------------------------------ paying
    def purchase(self, amount: int, now: Callable[[], datetime]) -> Purchase:
        """A purchase of `amount` fen, to be offered to cards until one has paid it."""
        return Purchase(self, amount, now)

    def debit(self, line: Line, application: purse.Application, amount: int, at: bytes, begun: Callable[[Begun], None]) -> Paid:
        """One purchase from the EP purse. Raises CardRefused and others when nothing was taken, OutcomeUnknown, NotGenuine."""
        sealed: list[SealPurchase] = []

        def answer(request: Any) -> Any:
            if isinstance(request, SealPurchase):
                sealed.append(request)
                seal: Seal = self.module.ask(lambda: psam.seal(self.module.make, request))
                return seal
            return self._check(request.mac2)

        def intend(intent: DebitIntent) -> None:
            what = Begun(intent, sealed[0].key_version, sealed[0].algorithm)
            self.intents.begin(what)
            begun(what)

        dialogue = purse_debit.debit(self.module.make, application, pboc.PURCHASE_EP, amount, self.module.terminal, at)
        try:
            debited = drive(dialogue, line, module=answer, intend=intend)
        except OutcomeUnknown as error:
            if isinstance(error.__cause__, NotGenuine):
                self.intents.suspect(max(self.intents.open))
                raise error.__cause__ from None
            raise
        paid = self.intents.open[debited.intent.number]
        assert isinstance(paid, Begun), "a purse was debited"
        return self._record(paid, debited.tac, overdraw=debited.overdraw)

    def debit_value(self, line: Line, uid: bytes, amount: int, at: bytes, begun: Callable[[ValueBegun], None]) -> Paid:
        """One purchase from a DESFire value file. Raises as `debit`, and WrongCard."""

        def intend(what: ValueBegun) -> None:
            self.intents.begin(what)
            begun(what)

        what, moved = ValueLine(self.module, line, uid).pay(amount, at, intend)
        return self._record_value(what, moved.committed)


class Purchase:
    """One purchase at the till: `offer` it the cards that come. It is paid once, by one card, however often that is taken away."""

    def __init__(self, till: Till, amount: int, now: Callable[[], datetime]) -> None:
        self.till, self.amount, self._now = till, amount, now
        self._begun: Begun | ValueBegun | None = None

    def offer(self, line: Line, found: Found) -> Paid:
        """Pay with this card, or find out that it has paid. Raises OutcomeUnknown as long as that is not known."""
        mine = self._begun
        if mine is not None and mine.card != found.medium:
            raise OutcomeUnknown("this is another card than the one that was taken away", number=mine.number)
        if not found.medium:
            raise WrongCard("only a personalised PBOC purse or DESFire card can pay off line")
        settled = self.till.settle(line, found, mine=mine.number if mine is not None else 0)
        self._begun = None
        if settled:
            # What an earlier run began may be this very sale: it is not taken twice, whoever wants another one asks again.
            return settled[-1]
        if self.till.blocked is not None:
            self.till.blocked.need_free(found.medium, int(self._now().timestamp()))
        try:
            at = stamp(self._now())
            if found.application is None:
                return self.till.debit_value(line, bytes.fromhex(found.number), self.amount, at, self._keep)
            return self.till.debit(line, found.application, self.amount, at, self._keep)
        except OutcomeUnknown as error:
            refused = error.__cause__
            if not isinstance(refused, CardRefused):
                raise
            # The card is there and has said no. It is asked all the same, and once is enough.
            settled = self.till.settle(line, found)
            if settled:
                return settled[-1]
            raise refused from None

    def _keep(self, begun: Begun | ValueBegun) -> None:
        self._begun = begun


def _nobody_judges(request: Any) -> None:
    """A till has no TAC key: only the log can confirm a proof here, and clearing verifies it."""
    assert isinstance(request, JudgeProof), "recovery asks for nothing else"


def stamp(at: datetime) -> bytes:
    """Local date and time as cards take it: 7 octets BCD."""
    return bytes.fromhex(at.strftime("%Y%m%d%H%M%S"))


def stored(path: Path, count: int) -> list[Record]:
    """The records of a batch."""
    blocks = path.read_bytes()[BLOCK : BLOCK * (1 + count)]
    return [decode_record(blocks[at : at + BLOCK]) for at in range(0, len(blocks), BLOCK)]

"""Clearing at the desk: which of an upload's proven records are posted, in one entry for the whole upload (K2, K5, C1, control D).

What the records say of themselves was judged before (`cardapi.clearing.prepare`). Here is what depends on what was cleared before
and on what the cards hold. Nothing of it depends on the order in which uploads come: a record is known by its key, one that is held or
not covered yet is judged again at the next upload, and a replay makes one case whichever of its forms came first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.ids import ACCOUNT_BITS
from cardapi.store.fold import unpack_step
from cardapi.store.port import Entry
from cardcore.clearing import body as form
from cardcore.clearing import reasons
from cardcore.clearing.body import BatchCount, Case, Cleared, Row, Seen
from cardcore.clearing.layout import DESFIRE, DESFIRE_BLOCK
from cardcore.clearing.reasons import ACCEPTED
from cardcore.clearing.sequences import finding_id
from cardcore.clearing.upload import Upload

DAY_S = 86_400
HISTORY = 500  # entries of an account that are read at a time in search of a loss
_NEVER = 1 << 62
_json = msgspec.json.Encoder(order="sorted").encode


class Fork(NamedTuple):
    """A chip that proved two purchases at one counter: a copy of it is about, or its memory was put back (K1)."""

    medium: str
    card: str
    counter: int


def clear(work: Work, request: Request) -> tuple[Entry, list[Fork]]:
    """Post what an upload proves, open cases for the rest; the chips that showed a fork in it. Raises Problem for a request without one."""
    upload: Any = request.command
    if not isinstance(upload, Upload):
        raise Problem("invalid_payload", "clear_batch needs an upload")
    posting = _Posting(work, request, upload)
    body = posting.body()
    return work.add(request, account_id=0, card="", body=body.pack(), settlement=body), posting.forks


def open_case(work: Work, request: Request) -> Entry:
    """Open a case about what a card showed on-line; the same finding again is the case that is there. Raises Problem case_open."""
    case = request.payload.get("case")
    if not isinstance(case, Case):
        raise Problem("invalid_payload", "open_case needs a case", name="case")
    before = work.case(case.id)
    if before is not None and before.state == "open":
        raise Problem("case_open", "there is such a case already", case=case.id)
    body = form.empty([msgspec.structs.replace(case, state="open", opened_at=work.position + 1)])
    return work.add(request, account_id=0, card="", body=body.pack(), settlement=body)


def close_case(work: Work, request: Request) -> Entry:
    """Close a case without moving money; a sequence that was never a stored case is kept as one from here on."""
    name = request.payload.get("case")
    case = work.case(name) if isinstance(name, str) else None
    if case is None:
        case = _sequence_case(request)
    if case is None:
        raise Problem("unknown_case", "there is no such case")
    if case.state != "open":
        raise Problem("case_closed", "the case is closed already", case=case.id)
    closed = msgspec.structs.replace(
        case, state="closed", closed_at=work.position + 1, opened_at=case.opened_at or work.position + 1, note=request.reason
    )
    body = form.empty([closed])
    return work.add(request, account_id=0, card="", body=body.pack(), settlement=body)


def _sequence_case(request: Request) -> Case | None:
    found = request.payload.get("sequence")
    return found if isinstance(found, Case) else None


class _Posting:
    """One upload being decided."""

    def __init__(self, work: Work, request: Request, upload: Upload) -> None:
        self.work = work
        self.request = request
        self.upload = upload
        self.amounts: list[int] = upload.blocks["signed"]["amount"].tolist()
        self.unproven = [form.unproven_key(digest) for digest in upload.digests]
        self.known = work.read_cleared([
            *self.unproven, *(key for key, outcome in zip(upload.keys, upload.outcomes, strict=True) if outcome == ACCEPTED)
        ])  # fmt: skip
        numbers = {card for card in upload.cards if card}
        work.admit_cards(numbers)
        self.cards = {number: row for number in numbers if (row := work.card(number)) is not None}
        self.earliest = work.at_s - upload.rules.late_days * DAY_S
        self.latest = work.at_s + upload.rules.ahead_s
        self.left: dict[int, int] = {}  # account -> fen still on its card
        self.losses: dict[str, tuple[int, int]] = {}
        self.kept: list[tuple[int, bytes, int]] = []  # place in the upload, key column, outcome
        self.fresh: dict[bytes, bytes] = {}  # keys of this upload's own records -> digest
        self.dropped: list[bytes] = []
        self.cases: dict[str, Case] = {}
        self.forks: list[Fork] = []
        self.strays = _Strays(work, request.terminal or request.operator, upload.rules.strays)
        self.first_seen = self.accepted = self.accepted_fen = self.resolved = 0

    def body(self) -> Cleared:
        """Decide every record, and write down what is new."""
        upload = self.upload
        wrong = [place for place, outcome in enumerate(upload.outcomes) if outcome == reasons.BAD_MAC]
        suspensions, suspended = self._suspensions([place for place in wrong if self.unproven[place] not in self.known])
        for place, outcome in enumerate(upload.outcomes):
            if outcome != ACCEPTED or not self._plain(place, suspended):
                self._one(place, outcome, suspended)
        self._find_forks()
        kept = [place for place, _, _ in self.kept]
        payees = [upload.payees[place] for place in kept]
        return Cleared(
            header=upload.header.encode(),
            seal=upload.seal.encode() if upload.seal else b"",
            received=upload.received,
            repeated=upload.received - len(kept),
            blocks=upload.blocks[kept].tobytes(),
            keys=b"".join(key for _, key, _ in self.kept),
            digests=b"".join(upload.digests[place] for place in kept),
            outcomes=bytes(outcome for _, _, outcome in self.kept),
            accounts=np.array([upload.accounts[place] for place in kept], ">i8").tobytes(),
            times=np.array([upload.times[place] for place in kept], ">i8").tobytes(),
            payees=np.array(payees, ">u2").tobytes(),
            tills=upload.tills,
            dropped=self.dropped,
            cases=list(self.cases.values()),
            seen=self._seen(),
            changes=[*suspensions, *self.strays.changes()],
            batch=self._batch(),
        )

    # ------------------------------------------------------------ one record
    def _plain(self, place: int, suspended: frozenset[str]) -> bool:
        """The common case in one step: new, in time, on an active card that holds as much. False where anything is to be looked at."""
        upload, key, at = self.upload, self.upload.keys[place], self.upload.times[place]
        if key in self.known or self.unproven[place] in self.known or key in self.fresh or suspended:
            return False
        if not self.earliest <= at <= self.latest or self.cards[upload.cards[place]].state != "active":
            return False
        account_id, amount = upload.accounts[place], self.amounts[place]
        left = self.left.get(account_id)
        if left is None:
            left = self.work.account(account_id).on_card_fen
        if amount > left:
            return False
        self.left[account_id] = left - amount
        self.fresh[key] = upload.digests[place]
        self.kept.append((place, key, ACCEPTED))
        self.first_seen += 1
        self.accepted += 1
        self.accepted_fen += amount
        return True

    def _one(self, place: int, outcome: int, suspended: frozenset[str]) -> None:
        """Give one record its outcome, unless it has it already."""
        upload = self.upload
        digest, key, unproven = upload.digests[place], upload.keys[place], self.unproven[place]
        before = self.known.get(unproven)
        if outcome == ACCEPTED:
            same = self.known.get(key)
            first = same.digest if same is not None else self.fresh.get(key)
            if first is not None and first != digest:
                self._replay(place, key, first)
                return
            if same is not None:
                before = same
                if same.outcome == ACCEPTED:
                    return
            if upload.payees[place] != form.NOBODY and upload.tills[upload.payees[place]][1] in suspended:
                outcome, key = reasons.TERMINAL_SUSPENDED, unproven
                if same is not None:
                    return  # it was judged before; being held now takes nothing back
            else:
                outcome = self._judge(place)
                self.fresh[key] = digest
        else:
            key = unproven
        if before is not None and before.outcome == outcome:
            return
        if before is None and outcome in reasons.UNPROVEN and not self.strays.take():
            return
        if before is not None and before.key != key:
            self.dropped.append(before.key)
        self._keep(place, key, outcome, before)

    def _judge(self, place: int) -> int:
        """A proven record that was not cleared yet: dates, the card's life, and what is on it."""
        upload, work, rules = self.upload, self.work, self.upload.rules
        at = upload.times[place]
        if at > self.latest:
            return reasons.FUTURE_DATED
        if at < self.earliest:
            return reasons.LATE_UPLOAD
        number = upload.cards[place]
        card = self.cards[number]
        if card.state != "active":
            if card.state in ("destroyed", "stock"):
                return reasons.CARD_DEAD
            lost_from, listed_from = self._loss(number, upload.accounts[place])
            if lost_from <= at:
                blacklist = upload.header.blacklist
                if blacklist >= listed_from:
                    return reasons.CARD_BLOCKED
                if not blacklist or at - blacklist > rules.list_age_s:
                    return reasons.STALE_BLACKLIST
        account_id, amount = upload.accounts[place], self.amounts[place]
        left = self.left.get(account_id)
        if left is None:
            left = work.account(account_id).on_card_fen
        if amount > left:
            return reasons.CARD_OVERDRAWN
        self.left[account_id] = left - amount
        return ACCEPTED

    def _loss(self, number: str, account_id: int) -> tuple[int, int]:
        """From when the card counts as lost, and from when a list of blocked cards can have it (K5); never, if it is not lost."""
        found = self.losses.get(number)
        if found is None:
            found = self.losses[number] = self._search_loss(number, account_id)
        return found

    def _search_loss(self, number: str, account_id: int) -> tuple[int, int]:
        for entry in self._backwards(account_id):
            if entry.card != number or entry.outcome != "applied":
                continue
            if entry.verb == "unfreeze":  # withdraws the report
                return _NEVER, _NEVER
            if entry.verb == "lost":
                row = next(row for row in unpack_step(entry.body).after if row.number == number)
                return row.state_from, max(row.state_from, entry.at_us // 1_000_000)
        return _NEVER, _NEVER

    def _backwards(self, account_id: int) -> Iterator[Entry]:
        """Every entry of an account, newest first: an account that went on with another number may have thousands since a loss."""
        here = self.work.at(account_id >> ACCOUNT_BITS)
        yield from reversed([entry for entry in here.entries if entry.account_id == account_id])
        before: int | None = None
        while page := self.work.store.statement(account_id, before, HISTORY):
            yield from page
            before = page[-1].position

    def _replay(self, place: int, key: bytes, first: bytes) -> None:
        """The same purchase in another form. One case tells of all its forms, in no order."""
        digest = self.upload.digests[place]
        variant = form.variant_key(key)
        row_key = variant + digest
        if row_key in self.work.read_cleared([row_key]) or not self.strays.take():
            return
        name = "k-" + hashlib.blake2b(key, digest_size=12).hexdigest()
        case = self.cases.get(name) or self.work.case(name) or self._case(place, name, reasons.REPLAYED, {"forms": []})
        forms = sorted({*case.facts["forms"], first.hex(), digest.hex()})
        self.cases[name] = msgspec.structs.replace(case, state="open", closed_at=0, note="", facts={"forms": forms})
        self.kept.append((place, variant, reasons.REPLAYED))
        before = self.known.get(self.unproven[place])
        self.first_seen += before is None
        if before is not None:  # it came once before it could be proven
            self.dropped.append(before.key)
            self._close(place, reasons.NAMES[reasons.REPLAYED])

    # ------------------------------------------------------------ what is written
    def _keep(self, place: int, key: bytes, outcome: int, before: Row | None) -> None:
        self.kept.append((place, key, outcome))
        self.first_seen += before is None
        name = "r-" + self.upload.digests[place].hex()
        if outcome == ACCEPTED:
            self.accepted += 1
            self.accepted_fen += self.amounts[place]
            if before is not None:
                self.resolved += 1
                self._close(place, reasons.NAMES[ACCEPTED])
            return
        opened = self.work.case(name) if before is not None else None
        case = self._case(place, name, outcome, {"record": self.upload.blocks[place].tobytes().hex()})
        self.cases[name] = case if opened is None else msgspec.structs.replace(case, opened_at=opened.opened_at)

    def _close(self, place: int, note: str) -> None:
        """The record came to something else than its case is about."""
        name = "r-" + self.upload.digests[place].hex()
        case = self.work.case(name)
        if case is not None and case.state == "open":
            self.cases[name] = msgspec.structs.replace(case, state="closed", closed_at=self.work.position + 1, note=note)

    def _case(self, place: int, name: str, outcome: int, facts: dict[str, Any]) -> Case:
        upload = self.upload
        payee = upload.payees[place]
        unit, terminal = upload.tills[payee] if payee != form.NOBODY else ("", "")
        opened_at = self.work.position + 1
        return Case(
            name, reasons.NAMES[outcome], "open", upload.accounts[place], terminal, unit, self.amounts[place], opened_at, 0, "", facts
        )

    def _find_forks(self) -> None:
        """Open a case for each counter of a chip at which it proved two purchases. What a purse says of its counter proves nothing (K3)."""
        upload = self.upload
        if not (upload.blocks["kind"] == DESFIRE).any():
            return
        chips = upload.blocks.view(DESFIRE_BLOCK)
        own: dict[tuple[bytes, int], set[bytes]] = {}
        shown: dict[tuple[bytes, int], int] = {}
        for place, key, _ in self.kept:
            if key[0] == form.PROVEN and upload.blocks["kind"][place] == DESFIRE:
                at = form.sequence_of(key), int(chips["counter"][place])
                own.setdefault(at, set()).add(key)
                shown[at] = place
        for row in (*self.work.store.cleared_at(list(own)), *(self.work.cleared[key] for key in self.work.cleared_touched)):
            if (row.card, row.counter) in own:
                own[row.card, row.counter].add(row.key)
        for (card, counter), keys in own.items():
            if len(keys) > 1:
                place = shown[card, counter]
                name = finding_id("counter_fork", card, counter, counter)
                facts = {"subject": card.hex(), "first": counter, "last": counter, "medium": upload.media[place]}
                opened = self.work.position + 1
                self.cases[name] = Case(name, "counter_fork", "open", upload.accounts[place], "", "", 0, opened, 0, "", facts)
                self.forks.append(Fork(upload.media[place], upload.cards[place], counter))

    def _seen(self) -> list[Seen]:
        """What DESFire cards proved of themselves; a purse's MAC covers neither its counter nor its balance."""
        upload = self.upload
        chips = upload.blocks.view(DESFIRE_BLOCK)
        newest: dict[str, Seen] = {}
        if not (upload.blocks["kind"] == DESFIRE).any():
            return []
        for place, _, outcome in self.kept:
            if outcome == ACCEPTED and upload.media[place].startswith("desfire:"):
                chip = chips[place]
                counter, balance = int(chip["counter"]), int(chip["value"]) - int(chip["signed"]["amount"])
                known = newest.get(upload.media[place])
                if known is None or counter > known.counter:
                    newest[upload.media[place]] = Seen(upload.media[place], counter, max(0, balance))
        accounts = {upload.media[place]: upload.accounts[place] for place, _, _ in self.kept if upload.media[place] in newest}
        for name in newest:
            self.work.at(accounts[name] >> ACCOUNT_BITS).admit_media({name})
        return [newest[name] for name in sorted(newest)]

    def _batch(self) -> BatchCount:
        upload = self.upload
        before = self.work.batch_count(upload.batch) or BatchCount(upload.batch, 0, 0, 0, 0, 0, -1, -1)
        cases = max(0, before.cases + self.first_seen - (self.accepted - self.resolved) - self.resolved)
        sealed = (upload.seal.count, upload.seal.total_fen) if upload.seal else (before.sealed, before.sealed_fen)
        return BatchCount(
            upload.batch,
            max(before.blacklist, upload.header.blacklist),
            before.received + self.first_seen,
            before.accepted + self.accepted,
            before.accepted_fen + self.accepted_fen,
            cases,
            *sealed,
        )

    # ------------------------------------------------------------ terminals that send wrong MACs
    def _suspensions(self, wrong: list[int]) -> tuple[list[tuple[str, str, bytes, bytes]], frozenset[str]]:
        """Count new wrong MACs by terminal and day; the documents that change, and the terminals suspended from here on (control D).

        Whoever sends is to blame, when a terminal signed the upload; else the terminal that the records name. The count is taken
        before any record of the upload is posted, so their order in it does not matter.
        """
        upload, work = self.upload, self.work
        blamed: dict[str, int] = {}
        for place in wrong:
            terminal = self.request.terminal or upload.tills[upload.payees[place]][1]
            blamed[terminal] = blamed.get(terminal, 0) + 1
        suspended = {terminal for _, terminal in upload.tills if work.registry.suspended(terminal)}
        changes = []
        day = work.at_s // DAY_S
        for terminal, count in sorted(blamed.items()):
            document = work.registry.document("suspension", terminal)
            counted = count + (document["bad"] if document and document["day"] == day else 0)
            state = "suspended" if counted >= upload.rules.bad_macs or work.registry.suspended(terminal) else "counting"
            before = _json(document) if document else b""
            if before:
                work.documents["suspension", terminal] = before
            changes.append(("suspension", terminal, before, _json({"id": terminal, "day": day, "bad": counted, "state": state})))
            if state == "suspended":
                suspended.add(terminal)
        return changes, frozenset(suspended)


class _Strays:
    """How many records without proof, and replays, are kept of one uploader in a day (UTC). They cost nothing to make, so that a hostile
    upload could fill the tables and a person's list with them (F4); beyond the bound they are counted, and kept on another day."""

    def __init__(self, work: Work, uploader: str, most: int) -> None:
        self._work, self._uploader, self._most = work, uploader or "nobody", most
        self._before = work.registry.document("strays", self._uploader)
        day = work.at_s // DAY_S
        fresh: dict[str, Any] = {"id": self._uploader, "day": day, "kept": 0, "counted": 0}
        self._now = {**self._before} if self._before is not None and self._before["day"] == day else fresh
        self._changed = False

    def take(self) -> bool:
        """Whether one more is kept."""
        self._changed = True
        kept: bool = self._now["kept"] < self._most
        self._now["kept" if kept else "counted"] += 1
        return kept

    def changes(self) -> list[tuple[str, str, bytes, bytes]]:
        """The document as it was and is, if it is another one now."""
        if not self._changed:
            return []
        before = _json(self._before) if self._before else b""
        if before:
            self._work.documents["strays", self._uploader] = before
        return [("strays", self._uploader, before, _json(self._now))]


def counted(body: Cleared) -> int:
    """How many records of an upload were counted and not kept."""
    for kind, _, before, after in body.changes:
        if kind == "strays":
            old, new = msgspec.json.decode(before) if before else None, msgspec.json.decode(after)
            return int(new["counted"] - (old["counted"] if old and old["day"] == new["day"] else 0))
    return 0

"""The loop of a batch of plain settles, and the one place where an entry is chained; see the stubs."""

cimport cython
from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Account, Settlement
from cardcore.settlement.sale cimport Sale

from time import monotonic

from msgspec.structs import astuple

from cardapi.desk.request import Request
from cardapi.store.chain import pack_further, seal
from cardapi.store.port import AccountRow, Head, KeyTaken
from cardcore.clearing.body import Cleared
from cardcore.settlement import Snapshot
from cardcore.settlement import decide

cdef enum:
    KEY_MAX = 255  # characters of a client key
    FINGERPRINT_BYTES = 16
    ACCOUNT_BITS = 40


cdef object sealed(
    key, end, at_us, str verb, str code, account_id, str card, tuple name, bytes fingerprint, tuple told, ref, prior, bytes further,
    bytes body, delta
):
    """The next entry after the end of a partition, a `Work` or a `Head`, of which nothing is changed yet.

    `key`: of its chain; `told`: what the request says of where and who.
    """
    return seal(
        key,
        end.mac,
        (
            end.partition, end.position + 1, at_us, verb, "refused" if code else "applied", code, account_id, card, name[0], name[1],
            fingerprint, told[0], told[1], told[2], told[3], told[4], ref, prior, further, end.liability_fen + delta, body,
        ),
    )


cdef int folded(work, entry) except -1:
    """The entry is part of the working set: the next one comes after it."""
    work.position = entry.position
    work.mac = entry.mac
    work.liability_fen = entry.liability_fen
    (<list> work.entries).append(entry)
    work.recording = False
    return 0


def chain(
    work, str verb, str code, account_id, str card, tuple key, bytes fingerprint, request, ref, further, bytes body, settlement, delta
):
    cdef dict touched = work._touched
    cdef dict changed = work.changed
    priors = pack_further([(other, changed[other]) for other in further]) if further else b""
    entry = sealed(
        work._chain_key, work, work.at_us, verb, code, account_id, card, key, fingerprint,
        (request.unit, request.terminal, request.operator, request.approver, request.reason), ref, changed.get(account_id, 0), priors, body,
        delta,
    )
    work.recording = True
    work.apply(entry, settlement)
    if account_id:
        touched[account_id] = work.account_row(account_id)  # now, while it is at hand; a later entry does it again
    for other in further:
        touched[other] = work.account_row(other)
    if isinstance(settlement, Cleared):
        work.touch_cleared(settlement)
    folded(work, entry)
    return entry


# Where the fields of a request stand in it: one tuple of all is quicker than an attribute at a time.
cdef enum:
    VERB, CLIENT, CLIENT_KEY, FINGERPRINT, CARD, COMMAND, FURTHER, REF, REF_KEY, PARTITION, UNIT, TERMINAL, OPERATOR, APPROVER, REASON, PIN

assert Request.__struct_fields__[: PIN + 1] == (
    "verb", "client", "client_key", "fingerprint", "card", "command", "further", "ref", "ref_key", "partition", "unit", "terminal",
    "operator", "approver", "reason", "pin",
), "a request has other fields"


cdef bint plain(tuple request) except -1:
    """Whether a request is a settle that names one card, under a client key that may be, and nothing else."""
    if request[VERB] != "settle" or type(request[COMMAND]) is not Sale or (<Sale> request[COMMAND]).coupons:
        return False
    if request[FURTHER] or request[REF] or request[REF_KEY] is not None or request[PIN] is not None or request[REASON]:
        return False
    cdef str key = request[CLIENT_KEY]
    cdef bytes fingerprint = request[FINGERPRINT]
    return 0 < len(key) <= KEY_MAX and key.isprintable() and len(fingerprint) == FINGERPRINT_BYTES


cdef object programme_of(registry, str name, at_s):
    """A programme whose settles ask nothing but the card's account; None where the desk has to look closer."""
    version = registry.version(name, at_s)
    if version is None or version.asks or version.policy.pin != "never" or version.programme.awards:
        return None
    return version.programme


cdef Settlement decided(card, Account account, programme, command, int64_t partition, at_us, int64_t at_s):
    """What a plain settle comes to, None where more than that card's account has to be looked at. Raises what `decide` raises."""
    cdef Settlement settlement
    if account.v.account_id >> ACCOUNT_BITS != partition or (account.n_holds and account.lapsed_hold(at_s)):
        return None
    if card.state != "active" or card.flags or 0 < <int64_t> card.valid_until <= at_s:
        return None
    settlement = decide(Snapshot(programme, account), command, at_us)
    if settlement.further_accounts or settlement.t.liability_delta_fen > 0:
        return None
    return settlement


def settles(list works, list requests, Py_ssize_t first, Py_ssize_t end, list answers):
    work = works[first]
    cdef dict keys = work.keys
    cdef dict cards = work.cards
    cdef dict accounts = work.accounts
    cdef int64_t at_s = work.at_s
    cdef int64_t partition = work.partition
    cdef dict changed = work.changed
    cdef dict touched = work._touched
    cdef Py_ssize_t place
    cdef Account account
    cdef Settlement settlement
    cdef str programme_name = None
    cdef object programme = None
    at_us = work.at_us
    if work.registry.law() is not None:
        return 0
    for place in range(first, end):
        try:  # all that changes nothing: whatever is wrong with it is met again where it has its answer
            request = astuple(requests[place])
            if works[place] is not work:
                work = works[place]
                cards, accounts, partition = work.cards, work.accounts, work.partition
                changed, touched = work.changed, work._touched
            if not plain(request):
                break
            name = (request[CLIENT], request[CLIENT_KEY])
            card = cards.get(request[CARD])
            if card is None or name in keys:
                break
            account_id = card.account_id
            account = accounts[account_id]
            if card.programme != programme_name:  # equal names of two rows are seldom one object
                programme = programme_of(work.registry, card.programme, at_s)
                programme_name = card.programme
            if programme is None:
                break
            settlement = decided(card, account, programme, request[COMMAND], partition, at_us, at_s)
            if settlement is None:
                break
            entry = sealed(
                work._chain_key, work, at_us, "settle", "", account_id, request[CARD], name, request[FINGERPRINT], request[UNIT:PIN], 0,
                changed.get(account_id, 0), b"", settlement.pack(), settlement.t.liability_delta_fen,
            )
        except Exception:
            break
        work.recording = True
        account.apply(settlement, entry.position)
        changed[account_id] = entry.position
        touched[account_id] = AccountRow(account_id, account.pack(), entry.position)
        keys[name] = entry
        folded(work, entry)
        answers.append(entry)
    else:
        return end - first
    return place - first


@cython.final
cdef class Lone:
    cdef object store
    cdef object registry
    cdef object side
    cdef object commits
    cdef object checkpoints
    cdef dict programmes  # by name, None where the desk has to look closer; as the registry says in this second
    cdef int64_t at_s
    cdef int64_t revision
    cdef readonly double since

    def __init__(self, store not None, registry not None, side not None, commits not None, checkpoints):
        self.store = store
        self.registry = registry
        self.side = side
        self.commits = commits
        self.checkpoints = checkpoints
        self.programmes = {}
        self.at_s = self.revision = -1

    cdef object programme(self, str name, int64_t at_s):
        """`programme_of`, and None under a law."""
        cdef int64_t revision = self.registry.revision
        if revision != self.revision or at_s != self.at_s:
            self.programmes = {}
            self.revision, self.at_s = revision, at_s
        if name not in self.programmes:
            self.programmes[name] = programme_of(self.registry, name, at_s) if self.registry.law() is None else None
        return self.programmes[name]

    def call(self, desk, request):
        if not desk._writing.acquire(False):
            return None
        try:
            if desk._taking or desk._items or desk.failed is not None or not desk._running:
                return None
            self.since = monotonic()
            return self.settle(request, desk._clock())
        except Exception as error:
            raise desk._unknown(error, 1)[0] from error
        except BaseException:
            desk._interrupted()
            raise
        finally:
            self.since = 0.0
            desk._writing.release()

    def settle(self, request, at_us):
        cdef Account account
        cdef Settlement settlement = None
        cdef int64_t at_s = at_us // 1_000_000
        cdef str number
        cdef bint begun = False
        cdef tuple asked = astuple(request)
        side, store = self.side, self.store
        head, rows = side.head, side.rows
        cdef dict accounts = rows.accounts
        cdef dict changed = rows.changed
        try:
            if not plain(asked):
                return None
            number = asked[CARD]
            card = (<dict> rows.cards).get(number)
        except Exception:
            return None
        if card is None:
            found = store.read(number)
            begun = True
            if found is not None:
                card = rows.admit(found)
        try:
            if card is not None:
                account_id = card.account_id
                account = accounts[account_id]
                programme = self.programme(card.programme, at_s)
                if programme is not None:
                    settlement = decided(card, account, programme, asked[COMMAND], head.partition, at_us, at_s)
            if settlement is not None:
                entry = sealed(
                    side.chain_key, head, at_us, "settle", "", account_id, number, asked[CLIENT:FINGERPRINT], asked[FINGERPRINT],
                    asked[UNIT:PIN], 0, changed.get(account_id, 0), b"", settlement.pack(), settlement.t.liability_delta_fen,
                )
        except Exception:
            settlement = None
        if settlement is None:
            if begun:
                store.abandon()
            return None
        position = entry.position
        try:
            account.apply(settlement, position)
            store.commit(entry, account_id, account.pack())
        except KeyTaken:
            del accounts[account_id]  # what was folded into it is not written
            rows.admit(store.read(number))
            store.abandon()
            return None
        except BaseException:
            store.abandon()
            raise
        changed[account_id] = position
        head = Head(head.partition, position, entry.mac, entry.liability_fen, at_us)
        side.head = side.committed = head
        if begun and len(accounts) > <int64_t> rows.accounts_max:
            rows.trim(position)
        self.registry.position = position
        self.commits.record(1, store.write_ns, store.sync_ns)
        if self.checkpoints is not None:
            self.checkpoints.committed((head,), 1)
        return entry

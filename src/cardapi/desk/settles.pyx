"""The loop of a batch of plain settles, and the one place where an entry is chained; see the stubs."""

from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Account, Settlement
from cardcore.settlement.sale cimport Sale

from cardapi.store.chain import pack_further, seal
from cardapi.store.port import AccountRow
from cardcore.clearing.body import Cleared
from cardcore.settlement import Snapshot
from cardcore.settlement import decide

cdef enum:
    KEY_MAX = 255  # characters of a client key
    FINGERPRINT = 16  # bytes
    ACCOUNT_BITS = 40


cdef object sealed(
    work, str verb, str code, account_id, str card, tuple key, bytes fingerprint, request, ref, bytes further, bytes body, delta
):
    """The next entry of a partition, of which nothing is changed yet."""
    return seal(
        work._chain_key,
        work.mac,
        (
            work.partition, work.position + 1, work.at_us, verb, "refused" if code else "applied", code, account_id, card, key[0], key[1],
            fingerprint, request.unit, request.terminal, request.operator, request.approver, request.reason, ref,
            (<dict> work.changed).get(account_id, 0), further, work.liability_fen + delta, body,
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
    priors = pack_further([(other, work.changed[other]) for other in further]) if further else b""
    entry = sealed(work, verb, code, account_id, card, key, fingerprint, request, ref, priors, body, delta)
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


cdef bint plain(request) except -1:
    """Whether a request is a settle that names one card, under a client key that may be, and nothing else."""
    if request.verb != "settle" or type(request.command) is not Sale or (<Sale> request.command).coupons:
        return False
    if request.further or request.ref or request.ref_key is not None or request.pin is not None or request.reason:
        return False
    cdef str key = request.client_key
    cdef bytes fingerprint = request.fingerprint
    return 0 < len(key) <= KEY_MAX and key.isprintable() and len(fingerprint) == FINGERPRINT


cdef object programme_of(work, card):
    """The programme of a card whose settles ask nothing but its account; None where the desk has to look closer."""
    version = work.registry.version(card.programme, work.at_s)
    if version is None or version.asks or version.policy.pin != "never" or version.programme.awards:
        return None
    return version.programme


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
            request = requests[place]
            if works[place] is not work:
                work = works[place]
                cards, accounts, partition = work.cards, work.accounts, work.partition
                changed, touched = work.changed, work._touched
            if not plain(request):
                break
            name = (request.client, request.client_key)
            card = cards.get(request.card)
            if card is None or name in keys:
                break
            account_id = card.account_id
            account = accounts[account_id]
            if card.programme != programme_name:  # equal names of two rows are seldom one object
                programme = programme_of(work, card)
                programme_name = card.programme
            if programme is None or account.v.account_id >> ACCOUNT_BITS != partition:
                break
            if account.n_holds and account.lapsed_hold(at_s):
                break
            if card.state != "active" or card.flags or 0 < <int64_t> card.valid_until <= at_s:
                break
            settlement = decide(Snapshot(programme, account), request.command, at_us)
            if settlement.further_accounts or settlement.t.liability_delta_fen > 0:
                break
            entry = sealed(
                work, "settle", "", account_id, request.card, name, request.fingerprint, request, 0, b"", settlement.pack(),
                settlement.t.liability_delta_fen,
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

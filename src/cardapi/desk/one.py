"""One request of a batch: the entry of its client key, a new one, or why there is none."""

from __future__ import annotations

import logging

from cardapi.desk.cards import card_verb
from cardapi.desk.money import money
from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Elsewhere, Spoilt, Work
from cardapi.store.fold import MONEY_VERBS
from cardapi.store.port import Entry
from cardcore.errors import CardcoreError

_log = logging.getLogger("cardcore.desk")


def one(work: Work, request: Request, spoilt: dict[int, CardcoreError]) -> Entry | CardcoreError:
    """The answer of one request: the entry of its key if there is one, else a new one, else a problem. Raises Elsewhere, Spoilt."""
    name = (request.client, request.client_key)
    seen = work.keys.get(name)
    if seen is not None:
        return _seen(seen, request)
    answer: Entry | CardcoreError = spoilt[id(request)] if spoilt and id(request) in spoilt else _decided(work, request)
    if not work.asked and not isinstance(answer, Entry) and answer.code != "key_required":
        # Nothing of it meets the key's index at the commit, so the key is looked for now: it may have its effect already (O2).
        for seen in work.store.find_keys([name]).values():
            return _seen(seen, request)
    return answer


def _seen(seen: Entry, request: Request) -> Entry | CardcoreError:
    """What a client key answers that has its effect already (O2)."""
    if seen.fingerprint == request.fingerprint or seen.verb == "tombstone":
        return seen
    return Problem("key_reused", "this client key was used for another request")


def _decided(work: Work, request: Request) -> Entry | CardcoreError:
    """A new entry, or why there is none."""
    key = request.client_key
    if not key or len(key) > 255 or not key.isprintable() or len(request.fingerprint) != 16:
        return Problem("key_required", "a client key has 1 to 255 printable characters")
    if request.reason and ("\0" in request.reason or not _writable(request.reason)):
        return Problem("invalid_payload", "the reason holds a character that no database keeps", name="reason")
    try:
        if request.verb in MONEY_VERBS:
            return money(work, request)
        return card_verb(work, request)
    except Elsewhere:
        raise
    except Exception as error:
        if any(each.recording for each in work.works.values()):  # half way through the fold: the working set is no longer to be trusted
            raise
        answer = error if isinstance(error, CardcoreError) else Problem("unexpected", "the request could not be decided")
        if answer is not error:
            # A decision is pure and changed nothing, so one poisonous request does not take the shop down.
            _log.exception("verb %s failed", request.verb)
        if work.half_made or (request.client, request.client_key) in work.keys:
            raise Spoilt(request, answer) from error
        return answer


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True

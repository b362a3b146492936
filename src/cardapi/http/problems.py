"""Problems (RFC 9457): the one table from stable code to HTTP status, and the one way to write the answer.

The core and the desk know codes; only this file knows status numbers. A code never changes its meaning.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from cardcore import strictjson
from cardcore.errors import DECLINE_CODES, CardcoreError, Declined

MEDIA_TYPE = b"application/problem+json"
TYPE_PREFIX = "urn:cardcore:problem:"

Headers = tuple[tuple[bytes, bytes], ...]
Answer = tuple[int, Headers, bytes]


class Kind(NamedTuple):
    """What a code means to HTTP."""

    status: int
    title: str


class HttpProblem(CardcoreError):
    """A refusal that the edge itself decides; `code` is a key of PROBLEMS."""

    def __init__(self, code: str, detail: str = "", headers: Headers = (), **facts: Any) -> None:
        assert code in PROBLEMS, f"unregistered problem {code}"
        super().__init__(detail or PROBLEMS[code].title, **facts)
        self.code = code
        self.headers = headers


_EDGE = {
    # who is calling
    "unauthenticated": Kind(401, "This call needs a terminal's signature or an operator's session"),
    "signature_malformed": Kind(401, "The Authorization header is not a well-formed Cardcore-HMAC signature"),
    "signature_invalid": Kind(401, "The signature does not verify"),
    "signature_time": Kind(401, "The signed time is outside the accepted window"),
    "nonce_reused": Kind(401, "This nonce was used before"),
    "session_invalid": Kind(401, "The session is unknown, ended or expired"),
    "login_failed": Kind(401, "The operator or the password is wrong"),
    "reserved_event": Kind(422, "Only the system says that this happened"),
    "not_allowed": Kind(403, "The caller's role does not allow this call"),
    "grant_exceeds_own": Kind(403, "A grant cannot exceed what the grantor holds"),
    "maker_is_checker": Kind(403, "The same person cannot ask and approve"),
    # the request as such
    "not_found": Kind(404, "There is no such thing, or not for this caller"),
    "method_not_allowed": Kind(405, "This path does not know that method"),
    "body_too_large": Kind(413, "The body is larger than this call takes"),
    "media_type": Kind(415, "The body must be application/json"),
    "key_required": Kind(400, "This call needs an Idempotency-Key header"),
    "key_malformed": Kind(400, "An Idempotency-Key is 1 to 255 printable ASCII characters"),
    "length_mismatch": Kind(400, "The body is not as long as announced"),
    "body_timeout": Kind(408, "The body did not arrive in time"),
    "body_not_expected": Kind(400, "This call takes no body"),
    "query_malformed": Kind(400, "A query parameter is unknown, missing or malformed"),
    "cursor_malformed": Kind(400, "The cursor is not one this list gave"),
    "unknown_field": Kind(422, "The body has a field this call does not know"),
    "missing_field": Kind(422, "The body lacks a field"),
    "wrong_type": Kind(422, "A field has another type"),
    "bad_value": Kind(422, "A field has a value outside its bounds"),
    "too_many_requests": Kind(429, "Too many requests or tries; wait and try again"),
    "busy": Kind(503, "The queue is full; wait and try again"),
    "not_ready": Kind(503, "The service is not ready"),
    "unexpected": Kind(500, "Something broke that should not; the effect of the call is unknown, ask by its client key"),
}

_INNER = {
    "amount_not_integer": Kind(422, "An amount is not an integer"),
    "amount_out_of_range": Kind(422, "An amount is out of range"),
    "invalid_command": Kind(422, "The command means nothing"),
    "invalid_pack": Kind(422, "The programme pack cannot be compiled"),
    "invalid_document": Kind(422, "The change does not fit the registry"),
    "invalid_payload": Kind(422, "The facts of the request do not fit its verb"),
    "pin_malformed": Kind(422, "A PIN is 4 to 12 digits"),
    "invalid_batch": Kind(422, "These octets are no clearing batch"),
    "terminal_suspended": Kind(403, "The terminal sent too many wrong MACs; a person must release it"),
    "unknown_case": Kind(404, "There is no such case, or not for this caller"),
    "case_closed": Kind(409, "The case is closed already"),
    "weak_password": Kind(422, "The password is too short or too long"),
    "number_taken": Kind(409, "The card number is taken"),
    "exists": Kind(409, "The id is taken"),
    "approval_closed": Kind(409, "The approval has been decided already"),
    "approval_expired": Kind(409, "The approval has waited too long"),
    "close_refused": Kind(409, "The day cannot be closed"),
    "close_differs": Kind(500, "A close folds to other figures than when it was made"),
    "key_reused": Kind(422, "This Idempotency-Key was used for another request"),
    "unknown_card": Kind(404, "There is no such card, or not for this caller"),
    "unknown_medium": Kind(404, "There is no such medium, or not for this caller"),
    "keys_unavailable": Kind(503, "The card keys cannot be opened"),
    "unknown_key": Kind(404, "There is no such card key"),
    "key_state": Kind(409, "The key's state does not allow this"),
    "unknown_session": Kind(404, "There is no such card session; what it intended is settled at the card's next tap"),
    "step_out_of_order": Kind(409, "The card session is at another step"),
    "answer_malformed": Kind(422, "A card's answer is at most 258 octets in hex"),
    "too_many_sessions": Kind(429, "Too many card sessions are open; end one or wait"),
    "unknown_profile": Kind(422, "There is no such make of chip"),
    "medium_taken": Kind(409, "The medium is registered already"),
    "unknown_ticket": Kind(404, "There is no such ticket, or not for this caller"),
    "unknown_programme": Kind(422, "There is no such programme"),
    "invalid_law": Kind(422, "The law pack cannot be read"),
    "no_law": Kind(409, "The shop has chosen no law pack"),
    "no_refund": Kind(409, "The law gives no such refund, or the card's history cannot tell"),
    "bad_quarter": Kind(422, "Not a quarter that has ended, such as 2026Q3"),
    "import_not_approved": Kind(409, "The import waits for a second person"),
    "import_state": Kind(409, "The import is not in a state that allows this"),
    "totals_differ": Kind(409, "The journal does not come to the approved totals"),
    "unknown_message": Kind(404, "There is no dead message of that id"),
    "unknown_job": Kind(404, "There is no such job"),
    "job_running": Kind(409, "Jobs are running now; look again in a moment"),
    "unknown_member": Kind(404, "There is no such member, or not for this caller"),
    "member_exists": Kind(409, "One account per person: another member has this document or phone number"),
    "member_state": Kind(409, "The member's state does not allow this"),
    "card_has_member": Kind(409, "The card belongs to a member already"),
    "card_without_member": Kind(409, "The card does not belong to this member"),
    "member_not_allowed": Kind(409, "Cards of this programme carry no member data"),
    "too_young": Kind(409, "The person is younger than the programme admits"),
    "age_unknown": Kind(409, "The programme has a least age, and the birthday is not known"),
    "route_closed": Kind(409, "The programme does not enrol this way"),
    "spend_too_small": Kind(409, "Less was spent than this way of enrolment asks for"),
    "fee_differs": Kind(409, "The fee is another"),
    "fee_needs_card": Kind(422, "A fee is taken with the card that the member gets: name it"),
    "referral_too_deep": Kind(409, "The referrer was referred: a second level is not lawful"),
    "referral_closed": Kind(409, "The programme has no referrals"),
    "not_merged": Kind(409, "The member was not merged"),
    "same_member": Kind(409, "The two are one, or one referred the other"),
    "invalid_profile": Kind(422, "A field of the profile cannot be kept"),
    "unknown_verb": Kind(422, "There is no such verb"),
    "outcome_unknown": Kind(500, "Whether it happened is not known; ask by its client key"),
    "internal_error": Kind(500, "Something broke that should not; ask by the client key what happened"),
    "invalid_record": Kind(500, "Stored bytes are damaged; run verify"),
}

PROBLEMS: dict[str, Kind] = {
    **_EDGE,
    **_INNER,
    **{code: Kind(400, "The body is not strict JSON") for code in strictjson.CODES if code},
    **{code: Kind(409, text[0].upper() + text[1:]) for code, text in DECLINE_CODES.items()},
}
"""Every code that can appear in an answer."""

_RETRY_SECOND: Headers = ((b"retry-after", b"1"),)
_CHALLENGE: Headers = ((b"www-authenticate", b'Cardcore-HMAC, Bearer realm="cardcore"'),)
_encode = msgspec.json.Encoder().encode


class _Coded(msgspec.Struct):
    code: str


_decode = msgspec.json.Decoder(_Coded).decode


def problem_code(document: bytes) -> str:
    """The code of a problem as it was written."""
    return _decode(document).code



def body(code: str, detail: str = "", facts: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """The members of one problem document; facts become extension members and never shadow the standard ones."""
    kind = PROBLEMS.get(code) or PROBLEMS["unexpected"]
    standard = {"type": TYPE_PREFIX + code, "title": kind.title, "status": kind.status, "detail": detail or kind.title, "code": code}
    return {**(facts or {}), **extra, **standard}


def answer(code: str, detail: str = "", facts: dict[str, Any] | None = None, headers: Headers = (), **extra: Any) -> Answer:
    """The whole HTTP answer for a problem."""
    document = body(code, detail, facts, **extra)
    status = document["status"]
    if status == 401:
        headers = (*headers, *_CHALLENGE)
    elif status == 503 and not headers:
        headers = _RETRY_SECOND
    return status, ((b"content-type", MEDIA_TYPE), *headers), _encode(document)


def from_error(error: CardcoreError) -> Answer:
    """The answer for anything raised on purpose. A code nobody registered is our mistake, and says so as `unexpected`."""
    code = error.declined_code if isinstance(error, Declined) else error.code
    if code not in PROBLEMS:
        return answer("unexpected", error.detail)
    return answer(code, error.detail, error.facts, getattr(error, "headers", ()))

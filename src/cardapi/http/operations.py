"""The one table of operations: id, method, path, schemas, who may, how far it reaches, and the handler.

Routes, the hot path, the OpenAPI document and the access tests all read this table; what is not in it does not exist (R1).
`roles` empty means public. `scope` says what is compared with the caller's reach (R2):
    public   nothing
    caller   the unit the caller acts at: its terminal's, or its session's
    reached  a unit, ticket or card that the request names; the handler compares, and refused looks like absent (R4)
    issuer   the whole organisation: a role at the topmost unit
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from cardapi.http import (
    approve,
    batches,
    books,
    cards,
    clearing,
    corrections,
    coupons,
    events,
    imports,
    jobs,
    keys,
    laws,
    login,
    lookups,
    media,
    members,
    messages,
    sale_body,
    sales,
    staff,
    status,
    taps,
)  # fmt: skip
from cardapi.http import card_schemas as card
from cardapi.http import clearing_schemas as clear
from cardapi.http import coupon_schemas as coupon
from cardapi.http import import_schemas as moving
from cardapi.http import job_schemas as job
from cardapi.http import key_schemas as key
from cardapi.http import law_schemas as law
from cardapi.http import member_schemas as member
from cardapi.http import message_schemas as message
from cardapi.http import money_schemas as money
from cardapi.http import staff_schemas as people
from cardapi.http import tap_schemas as tap
from cardapi.http.call import Handler
from cardapi.media.sessions import Step
from cardapi.people import roles

MIB = 1 << 20

_TILL = frozenset({roles.TERMINAL, roles.CASHIER, roles.MANAGER, roles.HQ, roles.ADMIN})
_TERMINAL = frozenset({roles.TERMINAL})
_CASHIER = frozenset({roles.CASHIER, roles.MANAGER, roles.HQ, roles.ADMIN})
_MANAGER = frozenset({roles.MANAGER, roles.HQ, roles.ADMIN})
_HQ = frozenset({roles.HQ, roles.ADMIN})
_ADMIN = frozenset({roles.ADMIN})
_AUDIT = frozenset({roles.AUDITOR, roles.HQ, roles.ADMIN})
_READ = frozenset({roles.AUDITOR, roles.MANAGER, roles.HQ, roles.ADMIN})
_LOOK = _TILL | {roles.AUDITOR}
_PUBLIC: frozenset[str] = frozenset()

PAGED = ("cursor", "limit")


class Operation(msgspec.Struct, frozen=True):
    """One row."""

    id: str
    method: str
    path: str
    handler: Handler
    roles: frozenset[str]
    scope: str
    summary: str
    tag: str
    asked: type | None = None  # request body
    told: Any = None  # answer body; None for none
    status: int = 200
    keyed: bool = False  # needs an Idempotency-Key
    query: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # codes beyond those every such call can answer
    hot: bool = False  # served by the thin path in front of FastAPI
    body_max: int = MIB
    media: str = "application/json"
    or_told: tuple[type, ...] = ()  # other bodies it may answer with
    read: type | None = None  # what of the body is decoded at once, where the handler decodes the rest
    plain: Callable[[bytes], Any] | None = None  # reads the bodies that nearly every call has; None for any other, which is read in full


_SALE_PROBLEMS = (
    "unknown_card", "card_not_active", "card_lost", "card_expired", "holder_excluded", "insufficient_funds", "insufficient_points",
    "not_covered", "points_not_allowed", "pin_required", "pin_wrong", "pin_locked", "pin_not_set", "limit_exceeded", "too_soon",
    "used_up_today", "law_licence", "key_voided", "unknown_coupon", "no_coupon", "coupon_expired", "coupon_not_applicable",
    "coupon_not_stackable", "invalid_command", "amount_out_of_range",
)  # fmt: skip
_NAMED_PROBLEMS = ("unknown_ticket", "not_same_card", "card_not_active", "invalid_command")
_STEP_PROBLEMS = ("unknown_card", "state_not_allowed")


def _money(
    name: str, path: str, handler: Handler, asked: type, allowed: frozenset[str], summary: str, *more: str, **facts: Any
) -> Operation:
    facts.setdefault("scope", "caller")
    facts.setdefault("told", money.Ticket)
    facts.setdefault("keyed", True)
    return Operation(
        name, "POST", f"/v1/{path}", handler, allowed, summary=summary, tag="money", asked=asked, hot=True, problems=more, **facts
    )


def _step(
    name: str, verb: str, asked: type, allowed: frozenset[str], summary: str, *more: str, handler: Handler | None = None
) -> Operation:
    """A life cycle step of one card: issuer-wide for tills, within reach for back-office roles."""
    own = roles.TERMINAL not in allowed and roles.CASHIER not in allowed
    return Operation(
        name, "POST", f"/v1/cards/{{card}}/{verb.replace('_', '-')}", handler or cards.life(verb, own_cards_only=own), allowed,
        "reached" if own else "caller", summary, "cards", asked, card.CardStep, keyed=True, problems=(*_STEP_PROBLEMS, *more),
    )  # fmt: skip


_MONEY = (
    _money("quote", "quote", sales.quote, money.Quote, _TILL, "Price a sale without writing anything", *_SALE_PROBLEMS, keyed=False),
    _money("settle", "settle", sales.settle, money.Settle, _TILL, "Pay a ticket at once", *_SALE_PROBLEMS,
           plain=sale_body.read),
    _money("hold", "hold", sales.hold, money.Hold, _TILL, "Reserve the amount of a ticket", *_SALE_PROBLEMS),
    _money("capture", "capture", corrections.capture, money.Capture, _TILL, "Turn a hold into a sale, in full or in part",
           "hold_not_open", "over_hold", *_NAMED_PROBLEMS, scope="reached"),
    _money("void", "void", corrections.void, money.Void, _TILL, "Undo a whole sale, release a hold, or forbid a key not yet seen",
           "already_reversed", "not_refundable", *_NAMED_PROBLEMS, scope="reached", or_told=(card.CardStep,)),
    _money("refund", "refund", corrections.refund, money.Refund, _TILL, "Give back a sale in full, in part or by line",
           "over_refund", "not_refundable", "already_reversed", "coupon_whole_only", *_NAMED_PROBLEMS, scope="reached"),
    _money("reverse", "reverse", corrections.reverse, money.Reverse, _MANAGER, "Undo a top-up, transfer, adjustment or event",
           "value_spent", "already_reversed", "not_refundable", *_NAMED_PROBLEMS, scope="reached"),
    _money("topUp", "topup", sales.topup, money.TopUp, _TILL, "Sell value: money with its bonus, or a product",
           "unknown_card", "card_not_active", "topup_not_allowed", "unknown_product", "limit_exceeded", "key_voided", "invalid_command",
           "law_card_cap", "law_validity", "law_real_name", "law_cash"),
    _money("transfer", "transfer", corrections.transfer, money.Transfer, _TILL, "Move money or points from one card to another",
           "unknown_card", "card_not_active", "insufficient_funds", "insufficient_points", "transfer_not_allowed", "same_card",
           "currency_mismatch", "limit_exceeded", "pin_required", "pin_wrong", "pin_locked"),
    _money("adjust", "adjust", corrections.adjust, money.Adjust, _MANAGER, "Ask for a correction of a purse; a second person approves",
           "unknown_card", scope="reached", told=people.PendingApproval, status=202),
    _money("expire", "expire", corrections.expire, money.Expire, _MANAGER, "Write off what has lapsed on a card", "unknown_card",
           "nothing_to_do", scope="reached"),
    _money("recordEvent", "events", events.record_event, money.RecordEvent, _TILL, "Something that happened to a card without a sale",
           "unknown_card", "card_not_active", "card_lost", "card_expired", "holder_excluded", "reserved_event", "insufficient_points",
           "limit_exceeded", "nothing_to_do", "law_card_cap", "key_voided", "invalid_command"),
    _money("settleBatch", "settle-batch", sales.settle_batch, money.SettleBatch, _TERMINAL, "Pay many tickets, each under its own key",
           told=money.BatchAnswer, keyed=False, body_max=8 * MIB, read=money.RawBatch),
    Operation("getTicket", "GET", "/v1/tickets/{ticket}", lookups.get_ticket, _LOOK, "reached", "What a ticket did", "money",
              told=money.Ticket, or_told=(card.CardStep, money.RefusedTicket), problems=("unknown_ticket",)),
    Operation("getByClientKey", "GET", "/v1/tickets", lookups.get_by_client_key, _LOOK, "reached",
              "What a client key did: for a till that lost the answer", "money",
              told=money.Ticket, or_told=(card.CardStep, money.RefusedTicket), query=("client_key", "client"),
              problems=("unknown_ticket",)),
)  # fmt: skip

_CARDS = (
    Operation("issueCards", "POST", "/v1/cards", cards.issue, _MANAGER, "caller", "Make cards of a programme", "cards", card.IssueCards,
              card.IssuedCards, 201, keyed=True, problems=("unknown_programme", "number_taken", "invalid_payload", "state_not_allowed")),
    Operation("getCard", "GET", "/v1/cards/{card}", cards.get_card, _LOOK, "caller", "A card and what is on it", "cards",
              told=card.CardView,
              problems=("unknown_card",)),
    Operation("cardStatement", "GET", "/v1/cards/{card}/statement", cards.statement, _LOOK, "reached", "Newest entries of a card", "cards",
              told=card.Statement, query=PAGED, problems=("unknown_card",)),
    Operation("tierHistory", "GET", "/v1/cards/{card}/tiers", events.tier_history, _LOOK, "reached", "How a card came to its tier", "cards",
              told=card.TierHistory, query=PAGED, problems=("unknown_card",)),
    _step("activateCard", "activate", card.Plain, _TILL, "Put an issued card into use"),
    _step("setPin", "set_pin", card.SetPin, _TILL, "Set or change the PIN", "pin_required", "pin_wrong", "pin_locked",
    handler=cards.set_pin),
    _step("verifyPin", "verify_pin", card.VerifyPin, _TILL, "Try a PIN", "pin_wrong", "pin_locked", "pin_not_set",
    handler=cards.verify_pin),
    _step("unlockPin", "unlock_pin", card.Because, _MANAGER, "Let a locked PIN be tried again"),
    _step("reportLost", "lost", card.Lost, _TILL, "Report a loss"),
    _step("freeze", "freeze", card.Because, _MANAGER, "Freeze a card"),
    _step("unfreeze", "unfreeze", card.Because, _MANAGER, "Unfreeze a card"),
    _step("swapCard", "swap", card.Replace, _MANAGER, "Exchange a card for a new one", "number_taken"),
    _step("reissueCard", "reissue", card.Reissue, _MANAGER, "Replace a lost or expired card", "number_taken", "fee_differs"),
    _step("cancelCard", "cancel", card.Because, _MANAGER, "Cancel a card"),
    _step("takeBackCard", "take_back", card.Plain, _CASHIER, "Take back a spent gift card"),
    _step("destroyCard", "destroy", card.Because, _HQ, "Destroy a card that was taken back", "maker_is_checker"),
)  # fmt: skip

_TAP_PROBLEMS = ("unknown_session", "too_many_sessions", "keys_unavailable")
_MEDIA = (
    Operation("openCardSession", "POST", "/v1/card-sessions", taps.open_session, _TILL, "caller",
              "Begin a session with the card on a reader: show, load, unload, pay, recover, personalise", "media",
              tap.OpenCardSession, Step, keyed=True, problems=_TAP_PROBLEMS, body_max=16_384),
    Operation("stepCardSession", "POST", "/v1/card-sessions/{session}/step", taps.step_session, _TILL, "caller",
              "Bring the card's answers; the next commands, or the result", "media",
              tap.StepCardSession, Step, problems=(*_TAP_PROBLEMS, "step_out_of_order", "answer_malformed"), body_max=16_384),
    Operation("closeCardSession", "POST", "/v1/card-sessions/{session}/close", taps.close_session, _TILL, "caller",
              "Give a session up; what it intended stays in flight", "media", told=Step, problems=("unknown_session",)),
    Operation("listInFlight", "GET", "/v1/in-flight", taps.list_in_flight, _LOOK, "reached",
              "Loads, unloads and payments that wait for their card", "media", told=tap.InFlightList, query=PAGED),
    Operation("cardMedia", "GET", "/v1/cards/{card}/media", media.list_media, _LOOK, "reached", "Chips and other carriers of a card",
              "media", told=tap.Media, problems=("unknown_card",)),
    Operation("registerMedium", "POST", "/v1/cards/{card}/media", media.register, _MANAGER, "reached", "Add a carrier to a card", "media",
              tap.RegisterMedium, card.CardStep, keyed=True,
              problems=(*_STEP_PROBLEMS, "medium_taken", "too_many_media", "unknown_profile", "invalid_payload")),
    *(
        Operation(f"{verb}Medium", "POST", f"/v1/media/{verb}", media.step(f"{verb}_medium"), _MANAGER, "reached", summary, "media",
                  tap.MediumStep, card.CardStep, keyed=True, problems=("unknown_medium", "state_not_allowed", "too_many_media"))
        for verb, summary in (("retire", "Take a carrier out of use"), ("block", "Block a carrier"), ("unblock", "Unblock a carrier"))
    ),
    Operation("openBatch", "POST", "/v1/batches", batches.open_batch, _MANAGER, "reached",
              "Ask for a batch of cards to personalise; a second person approves", "media", tap.OpenBatch, people.PendingApproval, 202,
              keyed=True, problems=("not_found", "exists", "unknown_programme", "invalid_document")),
    Operation("batchStatus", "GET", "/v1/batches/{batch}", batches.batch_status, _READ | _CASHIER, "reached",
              "Serials of a batch: issued, begun, spoiled, left", "media", told=tap.BatchStatus, problems=("not_found",)),
    Operation("closeBatch", "POST", "/v1/batches/{batch}/close", batches.close_batch, _MANAGER, "reached", "Make no more cards of a batch",
              "media", card.Because, tap.BatchStatus, keyed=True, problems=("not_found",)),
    Operation("spoilCard", "POST", "/v1/batches/{batch}/spoil", batches.spoil, _MANAGER, "reached",
              "Write off a card of a batch that was begun and will not be finished", "media", tap.MediumStep, card.CardStep, keyed=True,
              problems=("not_found", "unknown_medium", "state_not_allowed", "maker_is_checker")),
)  # fmt: skip

_CLEARING = (
    Operation("uploadClearing", "POST", "/v1/clearing", clearing.upload, _TERMINAL | _MANAGER, "caller",
              "Upload off-line purchases; may be repeated, in any order", "clearing", clear.UploadClearing, clear.Cleared, keyed=True,
              problems=("invalid_batch", "terminal_suspended", "not_found", "keys_unavailable"), body_max=2 * MIB),
    Operation("clearingStatus", "GET", "/v1/clearing/{clearing}", clearing.status, _TERMINAL | _READ, "reached", "What has come of a batch",
              "clearing", told=clear.BatchView, problems=("not_found",)),
    Operation("blockedCards", "GET", "/v1/blocked-cards", clearing.blocked, _TERMINAL, "caller",
              "The cards that no till may take, for stations off line: all, or what changed since a list", "clearing",
              told=clear.BlockedCards, query=(*PAGED, "since"), problems=("cursor_malformed",)),
    Operation("listCases", "GET", "/v1/cases", clearing.list_cases, _READ, "reached", "What a person must look at", "clearing",
              told=clear.Cases, query=(*PAGED, "show", "reason", "about")),
    Operation("closeCase", "POST", "/v1/cases/{case}/close", clearing.close_case, _MANAGER, "reached", "Close a case; no money moves",
              "clearing", clear.CloseCase, clear.CaseView, keyed=True, problems=("unknown_case", "case_closed")),
    Operation("assignSam", "POST", "/v1/sams", clearing.assign_sam, _MANAGER, "reached", "Say whose a purchase SAM is from a time on",
              "clearing", clear.AssignSam, clear.SamView, 201, keyed=True, problems=("not_found", "invalid_document")),
    Operation("listSams", "GET", "/v1/sams", clearing.list_sams, _READ, "reached", "Purchase SAMs and whose they are", "clearing",
              told=clear.Sams, query=PAGED),
    Operation("releaseTerminal", "POST", "/v1/terminals/{terminal}/release", clearing.release, _HQ, "reached",
              "Let a suspended terminal clear again", "clearing", clear.ReleaseTerminal, clear.Suspension, keyed=True,
              problems=("not_found",)),
)  # fmt: skip

_STAFF_PROBLEMS = ("not_found", "exists", "invalid_document")
_PEOPLE = (
    Operation("login", "POST", "/v1/login", login.login, _PUBLIC, "public", "Open an operator's session", "people", people.Login,
              people.Session, problems=("login_failed", "too_many_requests"), body_max=16_384),
    Operation("logout", "POST", "/v1/logout", login.logout, _CASHIER | _AUDIT, "caller", "End this session", "people", status=204),
    Operation("createUnit", "POST", "/v1/units", staff.create_unit, _HQ, "reached", "Add a unit to the organisation", "people",
              people.CreateUnit, people.UnitView, 201, keyed=True, problems=_STAFF_PROBLEMS),
    Operation("listUnits", "GET", "/v1/units", staff.list_units, _READ, "reached", "Units within reach", "people", told=people.Units,
              query=PAGED),
    Operation("createTerminal", "POST", "/v1/terminals", staff.create_terminal, _MANAGER, "reached", "Add a terminal; answers with its key",
              "people", people.CreateTerminal, people.TerminalKey, 201, keyed=True, problems=_STAFF_PROBLEMS),
    Operation("listTerminals", "GET", "/v1/terminals", staff.list_terminals, _READ, "reached", "Terminals within reach", "people",
              told=people.Terminals, query=PAGED),
    Operation("revokeTerminal", "POST", "/v1/terminals/{terminal}/revoke", staff.revoke_terminal, _MANAGER, "reached",
              "Stop a terminal at once", "people", people.Revoke, people.TerminalView, keyed=True, problems=("not_found",)),
    Operation("rotateTerminalKey", "POST", "/v1/terminals/{terminal}/rotate-key", staff.rotate_terminal_key, _MANAGER, "reached",
              "Give a terminal a new key", "people", people.Revoke, people.TerminalKey, keyed=True, problems=("not_found",)),
    Operation("createOperator", "POST", "/v1/operators", staff.create_operator, _MANAGER, "reached", "Add an operator with a first role",
              "people", people.CreateOperator, people.OperatorView, 201, keyed=True,
              problems=(*_STAFF_PROBLEMS, "grant_exceeds_own", "weak_password"), body_max=16_384),
    Operation("listOperators", "GET", "/v1/operators", staff.list_operators, _READ, "reached", "Operators within reach", "people",
              told=people.Operators, query=PAGED),
    Operation("grantRole", "POST", "/v1/operators/{operator}/grants", staff.grant_role, _MANAGER, "reached",
              "Give an operator one more role",
              "people", people.GrantRole, people.OperatorView, 201, keyed=True, problems=("not_found", "grant_exceeds_own",
              "maker_is_checker")),
    Operation("revokeOperator", "POST", "/v1/operators/{operator}/revoke", staff.revoke_operator, _MANAGER, "reached",
              "Stop an operator at once", "people", people.Revoke, people.OperatorView, keyed=True, problems=("not_found",
              "grant_exceeds_own")),
    Operation("listApprovals", "GET", "/v1/approvals", approve.list_approvals, _READ, "reached", "Requests that wait for a second person",
              "people", told=people.Approvals, query=PAGED),
    Operation("approve", "POST", "/v1/approvals/{approval}/approve", approve.approve, _MANAGER, "reached",
              "Approve and execute somebody else's request", "people", people.Approve, money.Ticket, keyed=True,
              or_told=(law.LawView, moving.ImportView, member.MemberStep, tap.BatchStatus, coupon.CouponAllowance),
              problems=("not_found", "maker_is_checker", "approval_closed", "approval_expired", "insufficient_funds", "limit_exceeded",
                        "coupon_limit")),
)  # fmt: skip

_WHO = ("unknown_member", "member_state")


def _member(
    name: str, step: str, handler: Handler, asked: type, allowed: frozenset[str], summary: str, *more: str, told: Any = member.MemberStep,
    scope: str = "caller", status: int = 200,
) -> Operation:  # fmt: skip
    return Operation(
        name, "POST", f"/v1/members/{{member}}/{step}", handler, allowed, scope, summary, "members", asked, told, status, keyed=True,
        problems=(*_WHO, *more),
    )  # fmt: skip


_MEMBERS = (
    Operation("createMember", "POST", "/v1/members", members.create, _TILL, "caller", "Enrol a person, perhaps with a card", "members",
              member.CreateMember, member.MemberView, 201, keyed=True, problems=(
                  "member_exists", "unknown_card", "unknown_programme", "unknown_member", "member_state", "card_has_member",
                  "member_not_allowed", "too_young", "age_unknown", "route_closed", "spend_too_small", "fee_differs", "fee_needs_card",
                  "referral_too_deep", "referral_closed", "invalid_profile")),
    Operation("getMember", "GET", "/v1/members/{member}", members.get, _LOOK, "caller", "A member, masked for those without its reach",
              "members", told=member.MemberView, problems=("unknown_member",)),
    Operation("searchMembers", "POST", "/v1/members/search", members.search, _LOOK, "caller", "Members by phone, name, tag, card ...",
              "members", member.SearchMembers, member.Members, problems=("unknown_card", "cursor_malformed")),
    _member("updateMember", "profile", members.update, member.UpdateMember, _CASHIER, "Change what is known of a member",
            "member_exists", "invalid_profile", told=member.MemberView),
    _member("setConsent", "consent", members.set_consent, member.SetConsent, _TILL, "Keep which messages a member agreed to"),
    _member("linkCard", "cards", members.link_card, member.LinkCard, _TILL, "Say that a member holds a card",
            "unknown_card", "card_has_member", "member_not_allowed"),
    _member("unlinkCard", "cards/unlink", members.unlink_card, member.LinkCard, _CASHIER, "Say that a member holds a card no more",
            "unknown_card", "card_without_member"),
    _member("setMemberState", "state", members.set_state, member.SetMemberState, _MANAGER, "Suspend, resume or end a membership",
            scope="reached"),
    _member("mergeMember", "merge", members.two_person(("into",)), member.MergeMember, _MANAGER,
            "Ask to merge a member into another; a second person approves", told=people.PendingApproval, scope="reached", status=202),
    _member("splitMember", "split", members.two_person(), member.BecauseMember, _MANAGER,
            "Ask to undo a merge; a second person approves", told=people.PendingApproval, scope="reached", status=202),
    _member("disqualifyMember", "disqualify", members.two_person(), member.BecauseMember, _MANAGER,
            "Ask to end a membership for cheating, points taken; a second person approves", told=people.PendingApproval, scope="reached",
            status=202),
    _member("exportMember", "export", members.export, member.BecauseMember, _MANAGER, "Show all that is kept of a member; journaled",
            told=member.MemberView, scope="reached"),
    _member("eraseMember", "erase", members.erase, member.BecauseMember, _MANAGER, "Erase a member's personal data", scope="reached"),
)  # fmt: skip

_BOOKS = (
    Operation("publishScheme", "POST", "/v1/schemes", books.publish_scheme, _HQ, "issuer", "Publish a programme version", "books",
              people.PublishScheme, people.SchemeView, 201, keyed=True, problems=("invalid_pack", "exists", "invalid_document")),
    Operation("listSchemes", "GET", "/v1/schemes", books.list_schemes, _READ | _CASHIER, "caller", "Published programme versions", "books",
              told=people.Schemes, query=PAGED),
    Operation("closeDay", "POST", "/v1/closes", books.close_day, _MANAGER, "issuer",
              "Close a day: the Z report per store and terminal", "books",
              people.CloseDay, people.Report, problems=("close_refused", "close_differs")),
    Operation("trialBalance", "GET", "/v1/trial-balance", books.trial_balance, _AUDIT, "issuer", "Every ledger account's total", "books",
              told=people.Report),
    Operation("exportJournal", "GET", "/v1/journal", books.export_journal, _AUDIT, "issuer", "The journal as lines of postings", "books",
              told=people.JournalPage, query=PAGED),
    Operation("verifyLedger", "POST", "/v1/verify", books.verify_ledger, _AUDIT, "issuer",
              "Replay the journal and name the first bad place",
              "books", told=people.Verdict),
)  # fmt: skip

_JOBS = (
    Operation("listKeys", "GET", "/v1/keys", keys.list_keys, _AUDIT, "issuer", "Card keys: state, dates and check values", "keys",
              told=key.Keys, problems=("keys_unavailable",)),
    Operation("retireKey", "POST", "/v1/keys/{key}/retire", keys.retire_key, _ADMIN, "issuer",
              "Give a card key to no further card, or end it", "keys", key.RetireKey, key.KeyView,
              problems=("unknown_key", "key_state", "keys_unavailable")),
    Operation("listJobs", "GET", "/v1/jobs", jobs.list_jobs, _READ, "issuer", "Time-driven work and its last runs", "jobs",
              told=job.Jobs),
    Operation("runJob", "POST", "/v1/jobs/{job}/run", jobs.run_job, _HQ, "issuer", "Run a job now; done twice it changes nothing", "jobs",
              told=job.JobView, problems=("unknown_job", "job_running")),
)  # fmt: skip

_MESSAGES = (
    Operation("listMessages", "GET", "/v1/messages", messages.list_messages, _READ, "issuer", "Messages to members: due, sent or dead",
              "messages", told=message.Messages, query=("state", *PAGED)),
    Operation("sendMessages", "POST", "/v1/messages/send", messages.send, _HQ, "issuer", "Make and send what is due now", "messages",
              told=message.Sent),
    Operation("retryMessage", "POST", "/v1/messages/{message}/retry", messages.retry, _HQ, "issuer", "Send a dead message after all",
              "messages", told=message.Retried, problems=("unknown_message",)),
)  # fmt: skip

_LAWS = (
    Operation("getLaw", "GET", "/v1/law", laws.get_law, _READ | _CASHIER, "caller", "The law pack the shop chose, and what it asks today",
              "laws", told=law.LawView),
    Operation("setLaw", "POST", "/v1/law", laws.set_law, _ADMIN, "issuer", "Ask to choose, change or leave a law pack; a second approves",
              "laws", law.SetLaw, people.PendingApproval, 202, keyed=True, problems=("invalid_law",)),
    Operation("escrowFigures", "GET", "/v1/escrow", laws.escrow, _AUDIT, "issuer", "Escrow and the return of a quarter", "laws",
              told=law.EscrowView, query=("quarter",), problems=("no_law", "bad_quarter")),
    Operation("quoteCardRefund", "POST", "/v1/cards/{card}/refund-quote", laws.quote_refund, _MANAGER, "reached",
              "The statutory refund of a card, line by line", "laws", law.QuoteRefund, law.RefundView,
              problems=("unknown_card", "no_law", "no_refund")),
)  # fmt: skip

_COUPONS = (
    _money("redeem", "redeem", coupons.redeem, coupon.Redeem, _TILL, "Points for a gift or a coupon", "unknown_card", "card_not_active",
           "card_lost", "card_expired", "holder_excluded", "unknown_gift", "gift_not_available", "insufficient_points", "out_of_stock",
           "limit_exceeded", "coupon_expired", "pin_required", "pin_wrong", "pin_locked", "pin_not_set", told=coupon.Redeemed),
    _money("giveCoupons", "coupons/give", coupons.give, coupon.GiveCoupons, _MANAGER, "Put coupons on a card", "unknown_card",
           "card_not_active", "card_lost", "card_expired", "holder_excluded", "unknown_coupon", "coupon_expired", "out_of_stock",
           "limit_exceeded", "coupon_limit", scope="reached", told=coupon.CouponsGiven),
    Operation("giveCouponBatch", "POST", "/v1/coupon-batches", coupons.give_batch, _HQ, "issuer", "Put coupons on many cards, once for "
              "ever in a batch", "coupons", coupon.GiveBatch, coupon.BatchGiven),
    Operation("cardCoupons", "GET", "/v1/cards/{card}/coupons", coupons.card_coupons, _LOOK, "caller", "The coupons a card can use",
              "coupons", told=coupon.CardCoupons, problems=("unknown_card",)),
    Operation("traceCoupon", "POST", "/v1/coupons/trace", coupons.trace, _READ, "reached", "What became of one coupon", "coupons",
              coupon.TraceCoupon, coupon.CouponTrace, problems=("not_found", "unknown_coupon")),
    Operation("makeCouponCodes", "POST", "/v1/coupon-codes", coupons.make_codes, _HQ, "issuer", "Make codes of coupons for whoever shows "
              "them", "coupons", coupon.MakeCodes, coupon.Codes, 201, keyed=True,
              problems=("unknown_programme", "unknown_coupon", "coupon_expired", "out_of_stock", "coupon_limit")),
    Operation("allowCoupons", "POST", "/v1/coupon-allowances", coupons.allow, _MANAGER, "caller", "Ask to make more coupons today than one "
              "person may; a second one approves", "coupons", coupon.AllowCoupons, people.PendingApproval, 202, keyed=True),
    Operation("listGifts", "GET", "/v1/schemes/{programme}/gifts", coupons.list_gifts, _LOOK, "caller", "What points buy, and what is left",
              "coupons", told=coupon.Gifts, problems=("unknown_programme",)),
)  # fmt: skip

_IMPORTS = (
    Operation("createImport", "POST", "/v1/imports", imports.create, _HQ, "issuer", "Ask to move in with these control totals; a second "
              "person approves", "imports", moving.CreateImport, people.PendingApproval, 202, keyed=True,
              problems=("exists", "unknown_programme")),
    Operation("getImport", "GET", "/v1/imports/{import}", imports.get, _AUDIT, "issuer", "What an import must come to, and came to",
              "imports", told=moving.ImportView, problems=("not_found", "import_not_approved")),
    Operation("importRows", "POST", "/v1/imports/{import}/rows", imports.import_rows, _HQ, "issuer",
              "Import rows; sending them again changes nothing", "imports", moving.ImportRows, moving.RowResults,
              problems=("not_found", "import_not_approved", "import_state")),
    Operation("closeImport", "POST", "/v1/imports/{import}/close", imports.close, _HQ, "issuer", "End an import whose totals come out",
              "imports", told=moving.ImportView, keyed=True, problems=("not_found", "import_not_approved", "totals_differ")),
    Operation("undoImport", "POST", "/v1/imports/{import}/undo", imports.undo, _HQ, "issuer", "Ask to take an import back; a second "
              "person approves", "imports", moving.UndoImport, people.PendingApproval, 202, keyed=True,
              problems=("not_found", "import_not_approved", "import_state")),
    Operation("undoImportRows", "POST", "/v1/imports/{import}/undo-rows", imports.undo_rows, _HQ, "issuer",
              "Take back rows; sending them again changes nothing", "imports", moving.UndoRows, moving.RowResults,
              problems=("not_found", "import_not_approved", "import_state")),
)  # fmt: skip

_SERVICE = (
    Operation("health", "GET", "/health", status.health, _PUBLIC, "public", "Alive and able to acknowledge", "service", told=people.Health,
              problems=("not_ready",)),
    Operation("ready", "GET", "/ready", status.ready, _PUBLIC, "public", "Ready for work", "service", told=people.Health,
              problems=("not_ready",)),
    Operation("metrics", "GET", "/metrics", status.metrics, _AUDIT, "issuer", "Counters and histograms for Prometheus", "service",
              told=str, media="text/plain"),
    Operation("openapi", "GET", "/openapi.json", status.openapi, _PUBLIC, "public", "This document", "service", told=dict[str, Any]),
    Operation("docs", "GET", "/docs", status.page, _PUBLIC, "public", "This document as a page", "service", told=str, media="text/html"),
    Operation("docsFile", "GET", "/docs/{file}", status.page_file, _PUBLIC, "public", "Script and style of the page", "service", told=str,
              media="text/plain", problems=("not_found",)),
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (
    *_MONEY, *_CARDS, *_MEDIA, *_CLEARING, *_MEMBERS, *_PEOPLE, *_BOOKS, *_JOBS, *_MESSAGES, *_LAWS, *_COUPONS, *_IMPORTS, *_SERVICE,
)  # fmt: skip
BY_ID = {operation.id: operation for operation in OPERATIONS}

TWO_PERSON = {
    "adjust": approve.TwoPerson(money.Adjust, BY_ID["adjust"].roles, corrections.adjust_request),
    "openBatch": approve.TwoPerson(tap.OpenBatch, BY_ID["openBatch"].roles, batches.batch_request, batches.batch_opened),
    "setLaw": approve.TwoPerson(law.SetLaw, BY_ID["setLaw"].roles, laws.set_law_request, laws.told),
    "allowCoupons": approve.TwoPerson(coupon.AllowCoupons, BY_ID["allowCoupons"].roles, coupons.allow_request, coupons.allowed),
    **imports.approvals(BY_ID["createImport"].roles),
    **members.approvals(BY_ID["mergeMember"].roles),
}


def check(operations: Iterable[Operation]) -> None:
    """What must hold of the table as such; called when it is built into an application."""
    seen: set[tuple[str, str]] = set()
    for operation in operations:
        assert (operation.method, operation.path) not in seen, f"{operation.id} repeats {operation.method} {operation.path}"
        seen.add((operation.method, operation.path))
        assert operation.scope in ("public", "caller", "reached", "issuer"), f"{operation.id} has no scope"
        assert bool(operation.roles) == (operation.scope != "public"), f"{operation.id} must name who may call it"
        assert not operation.hot or "{" not in operation.path, f"{operation.id} cannot be hot: its path has parameters"

"""Who may become a member (L04-L06, L09), judged from facts that the journal keeps."""

from __future__ import annotations

import datetime
from typing import Protocol

import msgspec

from cardapi.members.profile import Profile, age, known_birthday
from cardapi.people.policy import MembershipPolicy
from cardcore.errors import CardcoreError


class Refused(CardcoreError):
    """A member cannot be made or changed so; nothing was recorded. `code` is per instance.

    unknown_member member_exists member_state card_has_member card_without_member member_not_allowed too_young age_unknown
    route_closed spend_too_small fee_differs fee_needs_card referral_too_deep referral_closed not_merged same_member
    """

    def __init__(self, code: str, detail: str = "", **facts: object) -> None:
        super().__init__(detail or code.replace("_", " "), **facts)
        self.code = code


class Claim(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How somebody comes in. The journal keeps it with who stated it; amounts in fen."""

    route: str = "registration"
    single_fen: int = 0  # the largest single ticket
    cumulative_fen: int = 0  # all tickets together
    day_fen: int = 0  # the tickets of one day
    organisation: str = ""  # of a group enrolment
    fee_fen: int = 0  # paid for membership


class _Known(Protocol):
    @property
    def referrer(self) -> str: ...
    @property
    def state(self) -> str: ...


def fee_due(policy: MembershipPolicy, claim: Claim) -> int:
    """The fee in fen: none from a single purchase of `free_from_fen` on, a share for a group (L06). Rounds half up, 1 fen."""
    if claim.route not in ("fee", "group") or (policy.free_from_fen and claim.single_fen >= policy.free_from_fen):
        return 0
    if claim.route == "fee":
        return policy.fee_fen
    numerator, denominator = map(int, policy.group_rate.split("/"))
    return (2 * policy.fee_fen * numerator + denominator) // (2 * denominator)


def judge(policy: MembershipPolicy, claim: Claim, profile: Profile, today: datetime.date) -> None:
    """Raise Refused unless this person may be enrolled; what the fee is, is the desk's to decide (`desk.fees`)."""
    if policy.age_min:
        birthday = known_birthday(profile)
        if birthday is None:
            raise Refused("age_unknown", f"members are at least {policy.age_min}: the birthday is needed", age_min=policy.age_min)
        if age(birthday, today) < policy.age_min:
            raise Refused("too_young", f"members are at least {policy.age_min}", age_min=policy.age_min)
    if policy.routes and claim.route not in policy.routes:
        raise Refused("route_closed", f"this programme does not enrol by {claim.route}", routes=list(policy.routes))
    _spent(policy, claim)


def _spent(policy: MembershipPolicy, claim: Claim) -> None:
    if claim.route == "purchase":
        ways = [(policy.single_fen, claim.single_fen), (policy.cumulative_fen, claim.cumulative_fen)]
    elif claim.route == "day":
        ways = [(policy.day_fen, claim.day_fen)]
    else:
        return
    if not any(asked and spent >= asked for asked, spent in ways):
        raise Refused("spend_too_small", single_fen=policy.single_fen, cumulative_fen=policy.cumulative_fen, day_fen=policy.day_fen)


def judge_referrer(policy: MembershipPolicy, referrer: _Known | None) -> None:
    """Raise Refused unless this member may bring in another: an active one that was not referred itself (E10, depth 1)."""
    if referrer is None:
        raise Refused("unknown_member", "there is no such referrer")
    if not policy.referral:
        raise Refused("referral_closed", "this programme does not reward referrals")
    if referrer.state != "active":
        raise Refused("member_state", "the referrer is no active member", state=referrer.state)
    if referrer.referrer:
        raise Refused("referral_too_deep", "the referrer was referred: a second level is not lawful")

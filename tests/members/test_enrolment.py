"""Goal: the enrolment rules of L04-L06 and the least age, at the limit, one below and one above; written from the feature list.

Method: the pure judge over policies read from packs, and each refusal once through the served operation.
"""

from __future__ import annotations

import datetime

import pytest

from cardapi.members.enrol import Claim, Refused, fee_due, judge
from cardapi.members.profile import Profile, age, id_card_holds
from cardapi.people.policy import MembershipPolicy, read
from cardcore.settlement import pack
from tests.desk.till import PLAIN
from tests.http.conftest import Chain
from tests.members.conftest import ID_CARD, People
from tests.shops import length

TODAY = datetime.date(2026, 11, 22)
ADULT = Profile(birthday="1990-03-15")
L04 = MembershipPolicy(age_min=18, routes=("purchase", "group"), single_fen=100_00, cumulative_fen=300_00)
L06 = MembershipPolicy(fee_fen=5_00, group_rate="8/10", free_from_fen=288_00)


def verdict(policy: MembershipPolicy, claim: Claim, person: Profile = ADULT, today: datetime.date = TODAY) -> str:
    try:
        judge(policy, claim, person, today)
    except Refused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize(("single", "cumulative", "code"), [
    (99_99, 299_99, "spend_too_small"), (100_00, 0, ""), (100_01, 0, ""), (99_99, 300_00, ""), (0, 0, "spend_too_small"),
])  # fmt: skip
def test_by_purchase(single: int, cumulative: int, code: str) -> None:
    assert verdict(L04, Claim("purchase", single_fen=single, cumulative_fen=cumulative)) == code


@pytest.mark.parametrize(("spent", "code"), [(299_99, "spend_too_small"), (300_00, ""), (300_01, "")])
def test_by_day(spent: int, code: str) -> None:
    assert verdict(MembershipPolicy(day_fen=300_00), Claim("day", day_fen=spent)) == code


@pytest.mark.parametrize(("claim", "due"), [
    (Claim("fee"), 5_00), (Claim("group", organisation="school"), 4_00), (Claim("fee", single_fen=287_99), 5_00),
    (Claim("fee", single_fen=288_00), 0), (Claim("group", single_fen=288_01), 0), (Claim("registration"), 0),
])  # fmt: skip
def test_the_fee(claim: Claim, due: int) -> None:
    assert fee_due(L06, claim) == due
    assert verdict(L06, claim) == ""


@pytest.mark.parametrize(("born", "code"), [
    ("2008-11-22", ""), ("2008-11-23", "too_young"), ("2008-11-21", ""), ("", "age_unknown"),
])  # fmt: skip
def test_the_least_age(born: str, code: str) -> None:
    assert verdict(L04, Claim("purchase", single_fen=100_00), Profile(birthday=born)) == code


def test_a_leap_day_is_older_on_the_first_of_march() -> None:
    born = datetime.date(2008, 2, 29)
    assert [age(born, datetime.date(2026, *day)) for day in ((2, 28), (3, 1))] == [17, 18]
    assert age(born, datetime.date(2028, 2, 29)) == 20


def test_routes_that_are_closed() -> None:
    assert verdict(L04, Claim("registration")) == "route_closed"
    assert verdict(MembershipPolicy(), Claim("registration")) == ""


def test_the_check_digit_of_an_identity_card() -> None:
    assert id_card_holds(ID_CARD)
    assert sum(id_card_holds(ID_CARD[:17] + digit) for digit in "0123456789X") == 1
    assert not any(id_card_holds(text) for text in ("", ID_CARD[:17], ID_CARD + "1", "a" * 18))


def test_a_pack_says_the_rules() -> None:
    text = PLAIN + '[membership]\nage_min = 18\nroutes = ["fee", "group"]\nfee_fen = 500\ngroup_rate = "8/10"\nleave_months = 24\n'
    pack.load(text)
    assert read(text)[1] == MembershipPolicy(
        age_min=18, routes=("fee", "group"), fee_fen=5_00, group_rate="8/10", leave_months=24
    )
    assert read(PLAIN)[1] == MembershipPolicy()


@pytest.mark.parametrize(("line", "word"), [
    ('routes = ["walk"]', "no route `walk`"), ("age_min = -1", "age_min"), ('group_rate = "9/8"', "group_rate"), ("age = 1", "age"),
    ("leave_months = 3\nsuspend_months = 3", "leave_months"), ("fee_fen = 1.5", "fee_fen"),
])  # fmt: skip
def test_a_wrong_pack_names_line_and_reason(line: str, word: str) -> None:
    problems = pack.check(PLAIN + "[membership]\n" + line + "\n")
    assert len(problems) == 1
    assert word in problems[0].reason
    assert problems[0].line > PLAIN.count("\n")


def test_refusals_are_answers_and_change_nothing(chain: Chain, people: People) -> None:
    text = PLAIN.replace('"plain"', '"club"') + '[membership]\nage_min = 18\nroutes = ["purchase"]\nsingle_fen = 10000\nreferral = false\n'
    chain.admin.post("/v1/schemes", {"pack": text}, "club")
    referrer = people.enrol()["member"]
    head = length(chain.shop)
    for changes, code in (
        ({"birthday": "2015-01-01"}, "too_young"), ({"birthday": ""}, "age_unknown"), ({"route": "fee"}, "route_closed"),
        ({"single_fen": 9_999}, "spend_too_small"), ({"fee_fen": 1}, "fee_differs"), ({"referrer": referrer}, "referral_closed"),
        ({"programme": "nothing"}, "unknown_programme"),
    ):  # fmt: skip
        body = people.body(**{"programme": "club", "route": "purchase", "single_fen": 10_000, **changes})
        reply = people.manager.post("/v1/members", body)
        assert (reply.code, reply.status < 500) == (code, True)
    assert length(chain.shop) == head
    people.enrol(programme="club", route="purchase", single_fen=10_000)

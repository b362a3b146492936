"""Goal: coupons lapse by the job, after their last whole day, and once. Method: a clock that the test turns."""

from __future__ import annotations

from cardcore.settlement import Give
from tests.coupons.desk import coupons, publish, sale
from tests.jobs.conftest import Timed
from tests.members.till import enrol
from tests.shops import length


def test_a_coupon_lapses_after_its_last_day(till: Timed) -> None:
    publish(till)
    card = till.card(0, "coupon-shop")
    enrol(till, card=card)
    till.done("give", card=card, command=Give("off-20", 2))
    till.done("give", card=card, command=Give("voucher-5"))  # never ends
    till.clock.pass_days(10)
    for job in ("reminders", "inactivity", "periods", "rankings"):  # which look at accounts, too
        assert till.shop.background.jobs.run(job).state == "done"
    till.clock.pass_days(20)
    till.shop.background.jobs.run("expiry")
    assert till.shop.desk.call(sale(till, card, 100_00, "off-20")).outcome == "applied"
    assert coupons(till, card) == 2
    till.clock.pass_days(1)
    assert till.shop.desk.call(sale(till, card, 100_00, "off-20")).code == "no_coupon"
    till.shop.background.jobs.run("expiry")
    assert coupons(till, card) == 1
    position = length(till.shop)
    till.shop.background.jobs.run("expiry")
    assert length(till.shop) == position
    till.sound()

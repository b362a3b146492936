"""Packs of these tests: one with every kind of coupon and gift, and a way to publish it in a shop of the tests."""

from __future__ import annotations

SHOP = """
schema = 1
name = "coupon-shop"
version = 1
currency = "CNY"
utc_offset = "+08:00"
title = { zh = "优惠券店", en = "Coupon shop" }
about = { zh = "测试", en = "For tests" }
[[purse]]
name = "principal"
role = "principal"
unit = "fen"
[[purse]]
name = "points"
role = "points"
unit = "points"
[[benefit]]
name = "a point for each yuan"
then = { accrue = "points", amount = 1, per_fen = 1_00, base = ["principal", "outside"] }
[[coupon]]
name = "off-20"
title = { zh = "满100减20", en = "20 off 100" }
off_fen = 20_00
spend_min_fen = 100_00
expires_after = "P30D"
bearer = "hq"
[[coupon]]
name = "eighty"
title = { zh = "8折券", en = "20 % off" }
rate = "8/10"
max_fen = 30_00
stackable = true
[[coupon]]
name = "each-50"
title = { zh = "每满200减50", en = "50 off each 200" }
off_fen = 50_00
each_fen = 200_00
max_fen = 100_00
partial_refund = "refused"
[[coupon]]
name = "cup"
title = { zh = "免费咖啡一杯", en = "One coffee free" }
piece = true
uses = 3
stackable = true
per_ticket = 2
on_refund = "keep"
bearer = "brand"
when = { sku = ["latte", "mocha"] }
[[coupon]]
name = "voucher-5"
title = { zh = "5元券", en = "5 yuan" }
off_fen = 5_00
stackable = true
per_ticket = 16
[[coupon]]
name = "rare"
title = { zh = "限量券", en = "Rare" }
off_fen = 1_00
stock = 3
until = "2030-12-31"
[[gift]]
name = "voucher"
title = { zh = "1000分换5元券", en = "5 yuan for 1000" }
points = 1_000
coupon = "voucher-5"
[[gift]]
name = "towel"
title = { zh = "毛巾", en = "Towel" }
points = 80
items = ["white", "blue"]
cost_fen = 5_00
bearer = "hq"
stock = 2
when = { day = [1, 2, 3, 4] }
quota = [{ units = 3, per = "month" }]
"""

"""Goal: coupons and gifts from the command line: given, used, many cards at once, codes with pictures. Method: the real commands."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from cardapi.coupons import codes
from tests.cli.test_commands import cardcore, refused, told
from tests.coupons.packs import SHOP


def test_coupons_from_giving_to_tracing(data: Path, tmp_path: Path) -> None:
    pack = tmp_path / "shop.toml"
    pack.write_text(SHOP, encoding="utf-8")
    told("scheme", "publish", pack, "--data", data)
    made = told("card", "issue", "--programme", "coupon-shop", "--count", "3", "--activate", "--data", data)
    cards = [step["card"] for step in made]
    given = told("coupon", "give", cards[0], "off-20", "--data", data)
    sold = told("card", "pay", cards[0], "100", "--short", "cash", "--coupon", given[0]["coupon_id"], "--data", data)
    assert (sold["coupon_fen"], sold["net_fen"]) == (20_00, 80_00)
    assert told("coupon", "list", cards[0], "--data", data) == []
    assert [step["verb"] for step in told("coupon", "trace", given[0]["coupon_id"], "--data", data)["steps"]] == ["give", "settle"]

    names = tmp_path / "cards.txt"
    names.write_text("\n".join([*cards, "", cards[0]]), encoding="utf-8")
    bundle = ("coupon", "batch", "spring", names, "--coupon", "eighty", "--coupon", "voucher-5", "--data", data)
    assert told(*bundle, "--check")["missing"] == 6
    assert (told(*bundle)["given"], told(*bundle)["before"], told(*bundle, "--check")["missing"]) == (6, 6, 0)
    names.write_text("6200000000000000\n", encoding="utf-8")
    result = cardcore(*bundle, ok=False)
    assert "card 6200000000000000, eighty: unknown_card" in result.stderr
    assert "[cards_refused]" in result.stderr

    flyer = ("coupon", "codes", "flyer", "off-20", "--programme", "coupon-shop", "--count", "3", "--key", "k1", "--data", data)
    shown = told(*flyer, "--pictures", tmp_path / "pictures")["codes"]
    assert told(*flyer)["codes"] == shown
    assert all(codes.parse(code) for code in shown)
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 3
    for picture in pictures:
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
        assert picture.stat().st_mode & 0o077 == 0
    assert told("card", "pay", cards[1], "100", "--short", "cash", "--coupon", shown[0], "--data", data)["net_fen"] == 80_00
    assert "[no_coupon]" in refused("card", "pay", cards[2], "100", "--short", "cash", "--coupon", shown[0], "--data", data)

    wish = told("coupon", "allow", "50", "--reason", "a fair", "--as", "manager", "--data", data)
    assert wish["outcome"] == "pending"
    assert "[nothing_to_approve]" in refused("coupon", "approve", "admin", "--as", "manager", "--data", data)
    allowed = told("coupon", "approve", "manager", "--as", "admin", "--data", data)
    assert (allowed["operator"], allowed["limit"], allowed["made"]) == ("manager", 1_050, 0)

    told("card", "pay", cards[2], "1000", "--short", "cash", "--data", data)
    assert told("gift", "redeem", cards[2], "voucher", "--data", data)["points_used"] == 1_000
    assert [gift["gift"] for gift in told("gift", "list", "coupon-shop", "--data", data)] == ["voucher", "towel"]

"""Goal: a receipt says which document the law in force gives beside it (W8): a top-up's an untaxed invoice, spent value's none.

Method: the shipped pack at the second its first version begins, and a later version that says otherwise; receipts in both languages. The
entry keeps what held: a law that is changed or left afterwards changes no receipt (O2).
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from cardapi import shipped
from cardapi.store.port import Entry
from cardcore.settlement import Capture, Line, Refund, Reverse, Sale, Settlement, TopUp, receipt
from tests.jobs.conftest import SCHEMES
from tests.laws.conftest import China

CHINA = datetime.timezone(datetime.timedelta(hours=8))
BEGINS = int(datetime.datetime(2026, 2, 1, tzinfo=CHINA).timestamp())
CHANGES = int(datetime.datetime(2026, 3, 1, tzinfo=CHINA).timestamp())
WORDS = {
    "untaxed_invoice": ("可申请不征税发票", "untaxed, on request"), "none": ("不向持卡人开具", "none to the holder"),
    "receipt": ("以本收据为凭", "this receipt instead"), "invoice": ("可申请开具", "on request"),
}  # fmt: skip


def shown(china: China, entry: Entry) -> tuple[str, list[str]]:
    """The document of an entry, and the lines about it on the Chinese and the English receipt."""
    done = Settlement.unpack(entry.body)
    card = china.shop.store.reader().read([entry.card])[entry.card].card
    programme = china.shop.registry.programme(card.programme, china.clock.at_s)
    printed = [receipt.lines(done, programme, receipt.Heading(), language) for language in receipt.LANGUAGES]
    return done.document, [" ".join(line.split()) for lines in printed for line in lines if line.startswith(("发票", "Invoice"))]


def held(china: China, entry: Entry, document: str) -> None:
    words = WORDS.get(document)
    assert shown(china, entry) == (document, [f"发票 {words[0]}", f"Invoice {words[1]}"] if words else [])


def dated(china: China) -> None:
    """The shipped pack, its first version from 1 February 2026, its second from 1 March with other documents."""
    text = shipped.law_text("cn-prepaid").replace("2012-11-01", "2026-02-01").replace("2025-05-01", "2026-03-01")
    head, tail = text.rsplit("[version.documents]", 1)
    tail = tail.replace('"untaxed_invoice"', '"invoice"').replace('"none"', '"receipt"')
    china.law(pack=f"{head}[version.documents]{tail}")


def both(china: China, card: str) -> tuple[Entry, Entry]:
    topped = china.done("topup", card=card, command=TopUp(100_00, tender="bank"))
    return topped, china.done("settle", card=card, command=Sale("settle", [(10_00, 1)]))


def test_the_second_in_which_a_law_begins_and_in_which_it_changes(china: China) -> None:
    dated(china)
    card = china.named()
    for at_s, topup, spend in (
        (BEGINS - 1, "", ""), (BEGINS, "untaxed_invoice", "none"),
        (CHANGES - 1, "untaxed_invoice", "none"), (CHANGES, "invoice", "receipt"),
    ):  # fmt: skip
        china.clock.at_s = at_s
        topped, sold = both(china, card)
        held(china, topped, topup)
        held(china, sold, spend)
    china.sound()


def test_the_shipped_pack_says_what_the_feature_list_says(china: China) -> None:
    topped, sold = both(china, china.named())
    held(china, topped, "untaxed_invoice")
    held(china, sold, "none")


def test_an_entry_keeps_the_document_that_held(china: China) -> None:
    """A receipt asked for again is the same, whatever law was chosen since (O2)."""
    card = china.named()
    before = both(china, card)
    china.law(state="off")
    without = both(china, card)
    again = [china.shop.store.reader().entry(entry.partition, entry.position) for entry in (*before, *without)]
    assert again == [*before, *without]
    for entry, document in zip(again, ("untaxed_invoice", "none", "", ""), strict=True):
        assert entry is not None
        held(china, entry, document)
    china.sound()


def test_only_stored_value_that_becomes_a_sale_counts_as_spent(china: China) -> None:
    """A ticket paid in cash is the till's own business; a hold is no sale before it is captured; what is given back needs nothing new."""
    card = china.named()
    cash = china.done("settle", card=card, command=Sale("settle", [(10_00, 1)], shortfall_tender="cash", stored_max_fen=0))
    held(china, cash, "")
    both(china, card)
    hold = china.done("hold", card=card, command=Sale("hold", [(10_00, 1)], hold_seconds=600))
    held(china, hold, "")
    captured = china.done("capture", of=hold, command=Capture())
    held(china, captured, "none")
    held(china, china.done("refund", of=captured, command=Refund()), "")
    mixed = china.done("settle", card=card, command=Sale("settle", [(500_00, 1)], shortfall_tender="cash"))
    held(china, mixed, "none")
    topped = china.done("topup", card=card, command=TopUp(10_00, tender="bank"))
    held(china, china.done("reverse", of=topped, command=Reverse()), "")
    china.sound()


def test_a_visit_was_paid_for_before_it_is_used(china: China) -> None:
    """A count card is prepaid too: the invoice went with its sale (C05)."""
    text = (SCHEMES / "spa.toml").read_text(encoding="utf-8")
    china.done("change", payload={"kind": "programme", "id": "spa@1", "document": {"valid_from": 0, "pack": text}})
    card = china.empty("spa")
    product, (price, _) = next(iter(china.shop.registry.programme("spa", china.clock.at_s).products.items()))
    held(china, china.done("topup", card=card, command=TopUp(price, tender="bank", product=product)), "untaxed_invoice")
    line = Line(50_00, category="massage", flags=16)
    held(china, china.done("settle", card=card, command=Sale("settle", [line])), "none")
    china.sound()


@pytest.mark.parametrize("word", ["Invoice", "x"])
def test_no_other_word_is_taken(china: China, word: str) -> None:
    done: Any = Settlement.unpack(both(china, china.named())[0].body)
    with pytest.raises(ValueError, match="not in tuple"):
        done.document = word

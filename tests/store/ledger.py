"""A ledger of 300 entries with every kind of entry in it, made once and copied for each test that damages it."""

from __future__ import annotations

import random
from pathlib import Path

from cardapi.custody import Pin
from cardapi.store.media import Shown, pack_shown
from cardcore.settlement import Adjust, Arrive, Capture, Clear, Load, Pay, Refund, Return, Reverse, Sale, Transfer, Unload, Void
from tests.desk.till import Till

ENTRIES = 300
CHIP = "pboc:1000000010000000" + "00" * 9 + "01"


def build(directory: Path, entries: int = ENTRIES, seed: int = 7) -> None:
    """Fill a new data directory with exactly this many entries."""
    rng = random.Random(seed)
    till = Till(directory)
    cards = [till.card(rng.randint(1, 500_00)) for _ in range(5)] + [till.card(100_00, "guarded", "482913")]
    till.done("void", ref_key=("terminal:t1", "never sent"), command=Void())
    till.ask("verify_pin", card=cards[-1], pin=Pin.parse("000000"))
    till.sale(cards[-1], 1_00, pin=Pin.parse("482913"))
    till.done("expire_card", card=till.card())
    till.done("swap", card=till.card(3_00), payload={"prefix": "8802"})
    till.done("stock", payload={"programme": "plain", "prefix": "8803"})
    till.ask("change", payload={"kind": "unit", "id": "s1", "document": {"name": "一店", "kind": "store", "parent": "issuer"}})
    _chips(till, cards[0])
    while till.shop.desk.head.position < entries:
        _step(till, rng, cards)
    assert till.shop.desk.head.position == entries
    till.shop.close()


def _chips(till: Till, card: str) -> None:
    """Every kind of entry about a medium."""
    for number, name in ((card, CHIP), (till.card(), "desfire:04010203040506"), (till.card(), "uid:01")):
        till.done("register_medium", card=number, payload={"medium": name, "keys": [[1, 0, 0]], "purse": 2 * name.startswith("pboc")})
    till.done("block_medium", payload={"medium": "uid:01"})
    till.done("unblock_medium", payload={"medium": "uid:01"})
    till.done("retire_medium", payload={"medium": "uid:01"})
    till.done("swap", card=till.shop.store.read_media(["desfire:04010203040506"]).popitem()[1].card, payload={"prefix": "8804"})
    till.topup(card, 30_00)
    memo = [pack_shown(Shown(CHIP, n, 0, fen)) for n, fen in ((0, 0), (1, 20_00), (1, 15_00))]
    loaded = till.done("load", card=card, command=Load(20_00, memo=memo[0]))
    till.done("arrive", of=loaded, command=Arrive(memo=memo[1]))
    paid = till.done("pay", card=card, command=Pay(5_00, memo=memo[1]))
    till.done("return", of=paid, command=Return(memo=memo[1]))
    till.done("clear", card=card, command=Clear(5_00, memo=memo[2]))
    till.done("unload", card=card, command=Unload(1_00, memo=memo[2]))


def _step(till: Till, rng: random.Random, cards: list[str]) -> None:
    card, other = rng.sample(cards[:5], 2)
    match rng.randrange(9):
        case 0:
            entry = till.topup(card, rng.randint(1, 100_00))
            if rng.random() < 0.3 and till.shop.desk.head.position < ENTRIES:
                till.ask("reverse", of=entry, command=Reverse())
        case 1 | 2 | 3:
            till.sale(card, rng.randint(1, 200_00))
        case 4:
            till.ask("settle", card=card, further=(other,), command=Sale("settle", [(rng.randint(1, 300_00), 1), (5_00, 2)]))
        case 5:
            till.ask("transfer", card=card, further=(other,), command=Transfer(rng.randint(1, 50_00)))
        case 6:
            till.ask("adjust", card=card, command=Adjust("principal", rng.choice([-1, 1]) * rng.randint(1, 10_00)))
        case 7:
            hold = till.sale(card, rng.randint(1, 50_00), verb="hold")
            if hold.outcome == "applied" and rng.random() < 0.7 and till.shop.desk.head.position < ENTRIES:
                till.ask("capture", of=hold, command=Capture(rng.choice([-1, 1])))
        case _:
            sale = till.sale(card, rng.randint(1, 50_00))
            if till.shop.desk.head.position < ENTRIES:
                command = rng.choice([Refund(amount_fen=1), Refund(), Void()])
                till.ask("void" if isinstance(command, Void) else "refund", of=sale, command=command)

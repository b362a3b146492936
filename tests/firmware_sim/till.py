"""A till and an issuer's desk over the simulated SAMs: whole loads and purchases with a simulated card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from firmware_sim import build
from firmware_sim.pboc import PurseCard
from firmware_sim.sam import LoadSam, PurchaseSam
from tests.firmware_sim.support import h, ok

SELECT = h("00A4040009A0000000038698070100")
STAMP = h("20261122093000")
PIN = h("0020000003123456")


@dataclass
class Till:
    """One terminal with its SAM, and the issuer's load SAM."""

    profile: str = "pboc2-3des"
    terminal: bytes = build.TEST_TERMINAL
    sam: PurchaseSam = field(init=False)
    issuer: LoadSam = field(init=False)

    def __post_init__(self) -> None:
        self.sam = build.purchase_sam(profile=self.profile, terminal_id=self.terminal)
        self.issuer = build.load_sam(profile=self.profile)
        self.sam.power_on()
        self.issuer.power_on()

    @staticmethod
    def factors(card: PurseCard) -> bytes:
        """Diversification factors for the SAMs, innermost first, from EF 0015."""
        public = ok(card, "00B0950000")
        known = {"serial": public[12:20], "issuer": public[:8], "city": bytes(8)}
        return b"".join(known[level] for level in reversed(card.profile.diversify_by))

    @staticmethod
    def balance(card: PurseCard, which: int = 2) -> int:
        return int.from_bytes(ok(card, bytes((0x80, 0x5C, 0, which, 4))), "big")

    def open_purchase(self, card: PurseCard, amount: int, how: int = 1, which: int = 2, kind: int = 6) -> bytes:
        """Select, INITIALIZE and the SAM's part: the DEBIT command, not yet sent."""
        ok(card, SELECT)
        factors = self.factors(card)
        if which == 1:
            ok(card, PIN)
        value = amount.to_bytes(4, "big")
        opened = ok(card, bytes((0x80, 0x50, how, which, 0x0B, 1)) + value + self.terminal + b"\x0f")
        counter, version, random = opened[4:6], opened[9:11], opened[11:15]
        asked = random + counter + value + bytes((kind,)) + STAMP + version + factors
        given = ok(self.sam, bytes((0x80, 0x70, 0, 0, len(asked))) + asked + b"\x08")
        return h("805401000F") + given[:4] + STAMP + given[4:] + b"\x08"

    def purchase(self, card: PurseCard, amount: int, **how: int) -> bytes:
        """A whole purchase; TAC. The SAM checks MAC2."""
        answer = ok(card, self.open_purchase(card, amount, **how))
        ok(self.sam, h("8072000004") + answer[4:])
        return answer[:4]

    def open_load(self, card: PurseCard, amount: int, how: int = 0, which: int = 2, kind: int = 2) -> bytes:
        """Select, PIN, INITIALIZE FOR LOAD (how 0) or UNLOAD (how 5), and the load SAM's part: the second command, not yet sent."""
        ok(card, SELECT)
        factors = self.factors(card)
        ok(card, PIN)
        value = amount.to_bytes(4, "big")
        opened = ok(card, bytes((0x80, 0x50, how, which, 0x0B, 1)) + value + self.terminal + b"\x10")
        balance, counter, version, random, mac1 = opened[:4], opened[4:6], opened[6:7], opened[8:12], opened[12:]
        asked = balance + counter + random + value + bytes((kind,)) + self.terminal + version + mac1 + STAMP + factors
        mac2 = ok(self.issuer, bytes((0x80, 0x76, kind, 0, len(asked))) + asked + b"\x04")
        head = h("805200000B") if how == 0 else h("805403000B")
        return head + STAMP + mac2 + b"\x04"

    def load(self, card: PurseCard, amount: int, **how: int) -> bytes:
        """A whole load or unload; its TAC or MAC3, checked by the load SAM."""
        tac = ok(card, self.open_load(card, amount, **how))
        ok(self.issuer, h("8078000004") + tac)
        return tac

    @staticmethod
    def state(card: PurseCard) -> dict[str, Any]:
        """What a terminal can learn of the card: balances, counters as the next INITIALIZE shows them, log, public records."""
        ok(card, SELECT)
        ok(card, PIN)
        seen: dict[str, Any] = {}
        for which in (1, 2):
            seen[f"balance {which}"] = Till.balance(card, which)
            load = ok(card, bytes((0x80, 0x50, 0, which, 0x0B, 1)) + bytes(10) + b"\x10")
            buy = ok(card, bytes((0x80, 0x50, 1, which, 0x0B, 1)) + bytes(10) + b"\x0f")
            seen[f"counters {which}"] = load[4:6].hex(), buy[4:6].hex()
        records = []
        for number in range(1, 11):
            answer = card.transmit(bytes((0x00, 0xB2, number, 0xC4, 0x17)))
            if answer[-2:] == b"\x90\x00":
                records.append(answer[:-2].hex())
        seen["log"] = tuple(records)
        seen["capp"] = tuple(ok(card, bytes((0x00, 0xB2, number, 0xBC, 0x20))).hex() for number in range(1, 5))
        return seen

"""What public sources disagree on about the purse, one field each. The defaults are the reading with the most witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Profile:
    """Behaviour of one make of purse card."""

    name: str
    cipher: Literal["3des", "sm4"]
    algorithm: int
    """Algorithm identifier sent with the key version: opaque to the MACs (00 in the tutorials, 01 in FM1208 examples)."""
    key_version: int = 0x01
    diversify_by: tuple[str, ...] = ("serial",)
    """Levels from a master key to the card key, outermost first: "city", "issuer", "serial"."""
    tac_key: Literal["folded", "whole"] = "folded"
    """Halves of the TAC key XORed, or the key as it is. SM4 needs 16 bytes: its folded half is used twice."""
    proof_counter: Literal["next", "same"] = "next"
    """GET TRANSACTION PROOF names the counter after the transaction (two public terminals), or the transaction's own."""
    challenge_in_iv: Literal[4, 8] = 4
    """Secure messaging IV: a 4-byte challenge then zeros, or an 8-byte challenge whole."""
    pin_for_ed: bool = True
    pin_for_load: bool = True
    pin_once: bool = True
    """The PIN counts for one transaction (FMCOS); otherwise until reset or reselection."""
    unload_purses: tuple[int, ...] = (0x01,)
    update_p2: tuple[int, ...] = (0x00, 0x01)
    """P2 of INITIALIZE FOR UPDATE: 01 in two sources, 00 in another."""
    capp_by: Literal["id", "number"] = "id"
    """P1 of UPDATE CAPP DATA CACHE: identifier in the record's first byte (P2 = SFI << 3), or record number (P2 = SFI << 3 | 4)."""
    capp_mac: bool = False
    """UPDATE CAPP DATA CACHE needs secure messaging (CLA 84)."""
    log_counter: Literal["same", "next"] = "same"
    """Counter written to the log: the transaction's own, or the one after it."""
    funds_status: int = 0x9401
    blocked_status: int = 0x6A81
    """Purse commands while the application is blocked for a time; 9303 when for good."""
    t0: bool = False
    """Answer with 61xx and wait for GET RESPONSE, 6Cxx for a wrong Le, as a T=0 card does."""
    pin_tries: int = 3
    key_tries: int = 3
    log_records: int = 10


PROFILES = {
    "pboc2-3des": Profile("pboc2-3des", "3des", 0x00),
    "fm1208": Profile("fm1208", "3des", 0x01, unload_purses=(0x01, 0x02), diversify_by=("issuer", "serial")),
    "transit-sm4": Profile("transit-sm4", "sm4", 0x04, tac_key="whole", challenge_in_iv=8),
}

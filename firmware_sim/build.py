"""Ready-made cards and modules with test keys, and the opening of an image that was made before."""

from __future__ import annotations

import secrets

from firmware_sim import pboc
from firmware_sim.card import Card, Entropy
from firmware_sim.desfire import DesfireCard, ready
from firmware_sim.nvm import Memory, Store
from firmware_sim.pboc.layout import Purse
from firmware_sim.pboc.personal import KEYS
from firmware_sim.sam import LoadSam, PurchaseSam
from firmware_sim.testkeys import known_key

KINDS = ("pboc", "desfire", "psam", "isam")
MAKE = b"make"
TEST_UID = bytes.fromhex("04010203040506")
TEST_TERMINAL = bytes.fromhex("000000000001")


def _mark(memory: Memory, make: str) -> None:
    store = Store(memory)
    store.load()
    store.begin().create(MAKE, make.encode()).commit()


def purse_card(
    memory: Memory | None = None,
    *,
    profile: str = "pboc2-3des",
    identity: pboc.Identity | None = None,
    balance: int = 0,
    entropy: Entropy = secrets.token_bytes,
) -> pboc.PurseCard:
    """A personalised purse card with test keys and an EP balance in fen. Raises ValueError when the memory holds a card."""
    memory = memory or Memory()
    made = pboc.PROFILES[profile]
    pboc.personalise(memory, identity, profile=made, electronic_purse=Purse(balance))
    _mark(memory, f"pboc {profile}")
    return pboc.PurseCard(memory, made, entropy)


def blank_purse_card(
    memory: Memory | None = None, *, profile: str = "pboc2-3des", entropy: Entropy = secrets.token_bytes
) -> pboc.PurseCard:
    """A purse card as its maker delivers it: files empty, serial number zero, every key the transport key.

    The issuer authenticates with it (00 82), writes files (04 D6) and its keys (84 D4), the maintenance key last.
    """
    memory = memory or Memory()
    made = pboc.PROFILES[profile]
    nobody = pboc.Identity(serial=bytes(10), issuer=bytes(8), valid_from=bytes(4), valid_to=bytes(4), holder=b"")
    transport = dict.fromkeys(KEYS, known_key("transport"))
    pboc.personalise(memory, nobody, profile=made, master_keys={}, card_keys=transport, key_version=0)
    _mark(memory, f"pboc {profile}")
    return pboc.PurseCard(memory, made, entropy)


def desfire_purse_card(
    memory: Memory | None = None,
    *,
    uid: bytes | None = None,
    ev2: bool = True,
    balance: int = 0,
    number: bytes = b"",
    entropy: Entropy = secrets.token_bytes,
) -> DesfireCard:
    """A DESFire card with the purse of `desfire.ready` and a balance in fen; with a transaction MAC on EV2."""
    memory = memory or Memory()
    DesfireCard.fresh(memory, uid or TEST_UID)
    ready.add_purse(memory, uid or TEST_UID, balance, number, transaction_mac=ev2)
    _mark(memory, f"desfire {'ev2' if ev2 else 'ev1'}")
    return DesfireCard(memory, entropy, ev2=ev2)


def desfire_card(
    memory: Memory | None = None, *, uid: bytes | None = None, ev2: bool = True, entropy: Entropy = secrets.token_bytes
) -> DesfireCard:
    """A DESFire card as it leaves the factory: no application, a zero DES master key. EV1 without `ev2`."""
    memory = memory or Memory()
    DesfireCard.fresh(memory, uid or TEST_UID)
    _mark(memory, f"desfire {'ev2' if ev2 else 'ev1'}")
    return DesfireCard(memory, entropy, ev2=ev2)


def purchase_sam(
    memory: Memory | None = None,
    *,
    profile: str = "pboc2-3des",
    terminal_id: bytes = TEST_TERMINAL,
    entropy: Entropy = secrets.token_bytes,
) -> PurchaseSam:
    """A purchase SAM with the test purchase key, bound to a terminal."""
    memory = memory or Memory()
    PurchaseSam.personalise(memory, terminal_id)
    _mark(memory, f"psam {profile}")
    return PurchaseSam(memory, pboc.PROFILES[profile], entropy)


def load_sam(memory: Memory | None = None, *, profile: str = "pboc2-3des", entropy: Entropy = secrets.token_bytes) -> LoadSam:
    """A load SAM with the issuer's test keys."""
    memory = memory or Memory()
    LoadSam.personalise(memory)
    _mark(memory, f"isam {profile}")
    return LoadSam(memory, pboc.PROFILES[profile], entropy)


def made_as(memory: Memory) -> tuple[str, str] | None:
    """Kind and profile of the card in a memory, None for a blank one. Raises ValueError for a memory without its mark."""
    store = Store(memory)
    store.load()
    if MAKE in store:
        kind, _, profile = store.read(MAKE).decode().partition(" ")
        return kind, profile
    if store.names():
        raise ValueError("the image holds a half-made card; remove it and start again")
    return None


def open_card(memory: Memory, entropy: Entropy = secrets.token_bytes) -> Card:
    """The card of an image, off. Raises ValueError for a blank one."""
    made = made_as(memory)
    if made is None:
        raise ValueError("the image is blank")
    kind, profile = made
    if kind == "desfire":
        return DesfireCard(memory, entropy, ev2=profile == "ev2")
    chosen = pboc.PROFILES[profile]
    if kind == "psam":
        return PurchaseSam(memory, chosen, entropy)
    return LoadSam(memory, chosen, entropy) if kind == "isam" else pboc.PurseCard(memory, chosen, entropy)


def new_card(
    kind: str,
    memory: Memory,
    *,
    profile: str | None = None,
    identity: pboc.Identity | None = None,
    balance: int = 0,
    terminal_id: bytes = TEST_TERMINAL,
    uid: bytes | None = None,
    blank: bool = False,
    entropy: Entropy = secrets.token_bytes,
) -> Card:
    """A new card of one of `KINDS`; `blank` before its issuer has personalised it. Raises ValueError for what the kind does not have."""
    known = ("ev1", "ev2") if kind == "desfire" else tuple(pboc.PROFILES)
    profile = profile or ("ev2" if kind == "desfire" else "pboc2-3des")
    if profile not in known:
        raise ValueError(f"{kind} has no profile {profile}; it has {', '.join(known)}")
    if balance < 0 or (blank and (balance or kind in ("psam", "isam"))):
        raise ValueError("a balance is not negative, a blank card has none, and a SAM is never blank")
    if kind == "desfire":
        ev2 = profile == "ev2"
        if blank:
            return desfire_card(memory, uid=uid, ev2=ev2, entropy=entropy)
        return desfire_purse_card(memory, uid=uid, ev2=ev2, balance=balance, entropy=entropy)
    if kind == "pboc" and blank:
        return blank_purse_card(memory, profile=profile, entropy=entropy)
    if kind == "psam":
        return purchase_sam(memory, profile=profile, terminal_id=terminal_id, entropy=entropy)
    if kind == "isam":
        return load_sam(memory, profile=profile, entropy=entropy)
    return purse_card(memory, profile=profile, identity=identity, balance=balance, entropy=entropy)

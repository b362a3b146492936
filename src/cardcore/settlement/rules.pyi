"""A programme compiled from its normalised pack, and its calendar."""

from typing import Any, final

@final
class Programme:
    """A compiled, immutable programme version. Built by `cardcore.settlement.pack.load` from a validated pack."""

    name: str
    version: int
    currency: str
    purses: tuple[str, ...]  # names; the index is what lots carry; a later version may only append
    purse_roles: tuple[str, ...]  # "principal" | "bonus" | "points" | "entitlement"
    purse_units: tuple[str, ...]  # "fen" | "points" | "visits" | "pass"
    tiers: tuple[str, ...]
    categories: dict[str, int]
    products: dict[str, tuple[int, tuple[tuple[int, int, int, int], ...]]]  # name: (price_fen, ((purse, amount, months, days), ...))
    rule_names: tuple[str, ...]  # what a note's `rule` indexes
    rules: tuple[dict[str, Any], ...]  # as normalised; a note's `rule` indexes them
    predicates: tuple[dict[str, Any], ...]  # {kind, values}: what the rules' `asks` index
    counters: tuple[dict[str, Any], ...]  # as normalised; `number` stands for a counter on accounts
    awards: tuple[dict[str, Any], ...]  # {name, kind, id, months, days}: what an `AwardView.award` indexes
    review: dict[str, Any]  # {per, fall, returns, number}; per is "" where nothing is reviewed
    rankings: tuple[dict[str, Any], ...]  # {name, counter, top}
    events: frozenset[str]  # the names of events that rules ask for
    coupons: tuple[dict[str, Any], ...]  # as normalised; their lots lie in `coupon_purse(place)`; a later version may only append
    gifts: tuple[dict[str, Any], ...]  # as normalised; a later version may only append
    digest: str  # sha256 hex of the pack text
    card: dict[str, Any]  # PIN policy, validity, member: what the desk judges
    def __init__(self, normalised: dict[str, Any]) -> None:
        """Compile what `pack.normalise` answers. Raises InvalidPack."""
    def unit_of(self, purse: int) -> str:
        """What a lot of this purse counts in; lots of coupons lie in purses of their own."""

def coupon_purse(coupon: int) -> int:
    """The purse in which lots of a kind of coupon lie: behind all that `purses` may list."""

def expires_at(programme: Programme, at: int, months: int, days: int) -> int:
    """When something granted at epoch second `at` lapses by the programme's calendar: months by the local civil date
    (day clamped to the month's end), then days, to the midnight that ends that day; 0 (never) for neither (X01)."""

def voided_at(programme: Programme, purse: int, expires_at: int) -> int:
    """When a lot with this expiry is voided: then, or at the end of the purse's `grace`; 0 = never. Raises IndexError."""

def day_of(programme: Programme, at: int) -> int:
    """Days since 1970-01-01 in the programme's own time."""

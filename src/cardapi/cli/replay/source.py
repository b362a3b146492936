"""What a replay reads: retail baskets as rows in a table `line`, and the SQL that orders and sums them.

Every source fills the same table, in an embedded SQL engine of its own, so that the control totals are computed by SQL
over the source's rows, independently of the code here that turns rows into tickets. Amounts are integers, one per cent
of the source's currency, carried as fen.

How a row becomes a ticket line (`baskets`):
- list price = sales_value + retail_disc + coupon_match_disc: sales_value is what the shop received, after both discounts.
- discount = retail_disc + coupon_match_disc: the shop's own discounts (loyalty card, and its match of a coupon).
- coupon = coupon_disc, an outside coupon: it pays for its own line first; what the line does not take (coupons are often
  scanned as a line of their own, quantity 0 and value 0) goes to the basket's other lines in order. A basket whose coupons
  exceed its value gives no change: that rest is counted as lapsed, and carried + lapsed = the source's coupons.
- a quantity of 0 is sent as 1; rows without any value are sent too, and so are baskets of value 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import msgspec

TREATMENT = (
    "list price = value received + loyalty discount + coupon match; every row is sent, without value too, quantity 0 as 1",
    "a coupon beyond its own line pays for the basket's other lines; beyond the basket it lapses, and is counted",
)
FETCH = 20_000
QUANTITY_MAX = 1_000_000

CHOSEN = "(SELECT basket_id AS chosen_id, min(at_s) AS chosen_at FROM line GROUP BY basket_id ORDER BY chosen_at, chosen_id LIMIT {limit})"
ROWS = """
SELECT at_s, basket_id, household_id, store_id, product_id, quantity, sales_fen, retail_fen, match_fen, coupon_fen
FROM line JOIN {chosen} AS chosen ON chosen_id = basket_id ORDER BY at_s, basket_id, product_id
"""
INDEX = """
SELECT at_s, basket_id, household_id, store_id FROM line JOIN {chosen} AS chosen ON chosen_id = basket_id
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
"""
TOTALS = """
SELECT count(*), sum(lines), sum(sales + discount), sum(discount), sum(coupon),
       sum(CASE WHEN coupon > sales THEN sales ELSE coupon END), sum(sales)
FROM (SELECT basket_id, count(*) AS lines, sum(sales_fen) AS sales, sum(retail_fen + match_fen) AS discount, sum(coupon_fen) AS coupon
      FROM line JOIN {chosen} AS chosen ON chosen_id = basket_id GROUP BY basket_id) AS basket
"""


class Cursor(Protocol):
    """The part of DB-API that SQLite and DuckDB share and that is needed here."""

    def execute(self, sql: str, /) -> Any: ...


class TicketLine(msgspec.Struct, omit_defaults=True):
    """One line as `settle` takes it."""

    amount_fen: int
    quantity: int = 1
    sku: str = ""
    discount_fen: int = 0
    coupon_fen: int = 0


class BasketName(NamedTuple):
    """Which basket, without its lines; sorts by time."""

    at: int  # epoch seconds
    basket: int
    household: int
    store: int


class Basket(NamedTuple):
    """A basket as it will be sent."""

    name: BasketName
    lines: list[TicketLine]
    net_fen: int
    lapsed_fen: int  # coupons beyond the basket's value


class Totals(NamedTuple):
    """Control totals of a choice of baskets, all from the source's own SQL sums."""

    tickets: int
    lines: int
    gross_fen: int
    discount_fen: int
    coupon_fen: int  # carried on tickets
    net_fen: int
    lapsed_fen: int  # coupons beyond a basket's value; carried + lapsed = all coupons of the source


class Source:
    """Baskets in time order from a table `line`. Subclasses fill it."""

    key = ""  # short name in ids and client keys
    title = ""
    caveats: tuple[str, ...] = ()

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def _query(self, template: str, limit: int | None) -> Any:
        # -1 means no bound to SQLite and an error to DuckDB; a large number means the same to both.
        bound = 2**40 if limit is None else int(limit)
        return self._cursor.execute(template.format(chosen=CHOSEN.format(limit=bound)))

    def totals(self, limit: int | None = None) -> Totals:
        """The sums over the first `limit` baskets, by SQL."""
        row = self._query(TOTALS, limit).fetchone()
        tickets, lines, gross, discount, offered, carried, sales = (int(value or 0) for value in row)
        return Totals(tickets, lines, gross, discount, carried, sales - carried, offered - carried)

    def index(self, limit: int | None = None) -> list[BasketName]:
        """The names of the first `limit` baskets in time order."""
        return [BasketName(*row) for row in self._query(INDEX, limit).fetchall()]

    def baskets(self, limit: int | None = None) -> Iterator[Basket]:
        """The first `limit` baskets in time order, read in pages."""
        rows = self._query(ROWS, limit)
        for (at, basket, household, store), lines in groupby(_pages(rows), itemgetter(0, 1, 2, 3)):
            yield _basket(BasketName(at, basket, household, store), [line[4:] for line in lines])


def _pages(rows: Any) -> Iterator[tuple[int, ...]]:
    while page := rows.fetchmany(FETCH):
        yield from page


def _basket(name: BasketName, rows: list[tuple[int, ...]]) -> Basket:
    """Turn rows (product, quantity, sales, retail, match, coupon) into one ticket; see the head of this file."""
    lines: list[TicketLine] = []
    room: list[int] = []
    excess = 0
    net = 0
    for product, quantity, sales, retail, match, coupon in rows:
        taken = min(coupon, sales)
        excess += coupon - taken
        room.append(sales - taken)
        net += sales - taken
        discount = retail + match
        lines.append(TicketLine(sales + discount, min(max(quantity, 1), QUANTITY_MAX), str(product), discount, taken))
    if excess:
        for line, left in zip(lines, room, strict=True):
            taken = min(excess, left)
            line.coupon_fen += taken
            net -= taken
            excess -= taken
    return Basket(name, lines, net, excess)

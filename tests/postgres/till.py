"""Shops on a PostgreSQL server: `tests.desk.till` with another store under it, and several processes' worth of them on one."""

from __future__ import annotations

from pathlib import Path

from cardapi.app import Shop, open_shop
from tests.desk.till import Till
from tests.postgres.server import server
from tests.shops import lay_out


class ServerTill(Till):
    """A till of a shop on the server. `beside` opens the shop again, as another process would."""

    def __init__(self, directory: Path, partitions: int = 1) -> None:
        self.database = lay_out(directory, partitions)
        self._beside: list[Shop] = []
        super().__init__(directory)

    def beside(self) -> Shop:
        shop = open_shop(self.directory)
        self._beside.append(shop)
        return shop

    def end(self) -> None:
        for shop in (*self._beside, self.shop):
            shop.close()
        self.database.drop()


__all__ = ["ServerTill", "lay_out", "server"]

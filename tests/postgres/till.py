"""Shops on a PostgreSQL server: `tests.desk.till` with another store under it, and several processes' worth of them on one."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from cardapi.app import Shop, create_shop, open_shop
from tests.desk.till import Till
from tests.postgres.server import Database, empty, server


@cache
def _template(partitions: int) -> tuple[Path, Database]:
    """A shop made once, and its database, which tests copy."""
    room = Path(tempfile.mkdtemp(prefix="cardcore-till-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    database = empty(f"shop_{partitions}", partitions)
    create_shop(room / "shop", password="correct horse", store=database.url, owner=database.owner, partitions=partitions)
    return room / "shop", database


def lay_out(directory: Path, partitions: int) -> Database:
    """A new shop in `directory` and a database of its own."""
    source, template = _template(partitions)
    shutil.copytree(source, directory)
    database = Database.copy_of(template)
    (directory / "settings.toml").write_text(f'store = "{database.url}"\n')
    return database


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

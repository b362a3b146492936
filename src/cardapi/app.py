"""The composition root: the only file that names concrete adapters.

Layout of a data directory: `cardcore.db` (SQLite), `secrets/root.key`, `checkpoints/checkpoints.jsonl`, `lock`.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from cardapi.custody import Custody
from cardapi.desk import Desk
from cardapi.people.registry import Registry
from cardapi.store.port import Store


class Settings(msgspec.Struct):
    """What `DIR/settings.toml` may say; every key is optional."""

    checkpoints: str = ""  # path of the checkpoint file, outside the host if possible; "" = DIR/checkpoints/checkpoints.jsonl
    queue_max: int = 20_000  # requests waiting at the desk before it answers busy
    pin_tries_max: int = 3


class Shop:
    """An opened data directory. A context manager: leaving it drains the desk, checkpoints, and gives the lock back."""

    directory: Path
    settings: Settings
    custody: Custody
    store: Store
    registry: Registry
    desk: Desk
    checkpoints: Any

    def __enter__(self) -> Shop:
        raise NotImplementedError

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Stop the desk and give the data directory back. Safe to call twice."""
        raise NotImplementedError


def create_shop(directory: Path | str, *, name: str = "Shop", operator: str = "admin", password: str = "") -> dict[str, str]:
    """Make a new data directory: root secret, database, the issuer unit `issuer` and a first operator with role `admin` there.

    Returns {"directory", "issuer", "operator", "password"}; the password is random when not given and shown only here.
    Raises ShopError (code "exists") when the directory already holds a shop.
    """
    raise NotImplementedError


def open_shop(directory: Path | str, *, start: bool = True, read_only: bool = False) -> Shop:
    """Take the lock, migrate, verify the tail against the newest checkpoint (A4), load the registry, start the desk.

    Raises ShopError: code "absent", "locked" (another process serves it), "behind_checkpoint", "off_checkpoint", "bad_chain".
    `read_only` takes no lock and starts no writer (export, verify beside a running service).
    """
    raise NotImplementedError

"""The composition root: puts a shop together from a data directory (its store is chosen by `cardapi.stores`).

Layout of a data directory: `cardcore.db` (the embedded store), `secrets/root.key`, `secrets/cards.keys`,
`checkpoints/checkpoints.jsonl`, `lock`, and optionally `settings.toml`; `making` while it is being made.
"""

from __future__ import annotations

import fcntl
import functools
import os
import secrets
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from argon2 import PasswordHasher

from cardapi import stores
from cardapi.custody import Custody
from cardapi.desk import Desk, Parts, Pipeline, Request
from cardapi.jobs.background import Background
from cardapi.messages.settings import MessageSettings
from cardapi.people.follow import Follower
from cardapi.people.limits import LimitSettings
from cardapi.people.registry import Registry
from cardapi.store import backup, verify
from cardapi.store.chain import start_head
from cardapi.store.checkpoint import ENTRIES_MAX, Checkpointer, CheckpointError, CheckpointFile, Lag, compare
from cardapi.store.port import Pipelined, Store
from cardapi.stores import DATABASE
from cardcore.clearing.upload import ClearingRules
from cardcore.errors import CardcoreError

if TYPE_CHECKING:
    from cardapi.keys.keeper import Keeper, MakeVault
    from cardapi.keys.keyfile import Event
    from cardapi.keys.module import Module
    from cardapi.keys.port import KeyStore
    from cardapi.keys.protect import Protector

SETTINGS = "settings.toml"
MAKING = "making"  # a file that stands in the directory while a shop is being made, so that a kill leaves nothing half made (F6)


class ShopError(CardcoreError):
    """A data directory that cannot be made or opened.

    `code`: exists, absent, locked, settings, key_file_missing, not_embedded, no_checkpoint, bad_checkpoint, behind_checkpoint,
    off_checkpoint, bad_chain.
    """

    def __init__(self, code: str, detail: str, **facts: object) -> None:
        super().__init__(detail, **facts)
        self.code = code


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What `DIR/settings.toml` may say; every key is optional."""

    store: str = ""  # "" = DIR/cardcore.db; "postgresql://..." or "local-postgres" (see cardapi.stores)
    standby: Literal["none", "synchronous", "reports"] = "none"  # what the server's standbys must be (store.postgres_safety)
    lanes: int = 1  # of earlier releases; means nothing any more
    checkpoints: str = ""  # path of the checkpoint file, outside the host if possible; "" = DIR/checkpoints/checkpoints.jsonl
    queue_max: int = 20_000  # requests waiting at the desk before it answers busy
    remembered_cards: int = 1 << 20  # that a process keeps in memory, on a server store: 0.7 KB each
    pin_tries_max: int = 3
    coupons_a_day: int = 1_000  # that one person may give and make codes of; more needs a second person (R3)
    tail_entries: int = 1_000  # entries verified at start
    keys_module: str = ""  # PKCS#11 library of the security module that has the card keys; "" = they lie in the key file
    keys_token: str = ""  # label of its token
    card_system: str = "CARDCORE-TEST"  # diversifies DESFire keys (AN10922); never changes once cards are made
    clearing: ClearingRules = msgspec.field(default_factory=ClearingRules)  # rules of off-line clearing ([clearing])
    limits: LimitSettings = msgspec.field(default_factory=LimitSettings)  # requests a second ([limits])
    messages: MessageSettings = msgspec.field(default_factory=MessageSettings)
    jobs: bool = True  # whether `cardcore serve` runs the jobs of the day, and sends messages, by itself


def read_settings(directory: Path) -> Settings:
    """`DIR/settings.toml`. Raises ShopError settings."""
    path = directory / SETTINGS
    if not path.exists():
        return Settings()
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Settings)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ShopError("settings", f"{path}: {error}") from error


def checkpoint_path(directory: Path, settings: Settings) -> Path:
    """Where the signed checkpoints are."""
    return Path(settings.checkpoints) if settings.checkpoints else directory / "checkpoints" / "checkpoints.jsonl"


def key_file(directory: Path) -> Path:
    """Where the card keys of a shop lie."""
    return directory / "secrets" / "cards.keys"


class KeyJournal:
    """`keys.keeper.Journal` over the journal: each change of the key file is a document of the registry."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def newest(self) -> tuple[int, str]:
        """Generation and digest of the file as last journaled."""
        mark = self._shop.registry.key_file()
        return mark.generation, mark.digest

    def record(self, name: str, document: dict[str, Any], event: Event) -> None:
        """Durable when it returns. Told again after a crash it is the same entry (O1)."""
        key = f"key:{document['generation']}:{document['digest'][:32]}"
        payload = {"kind": "key", "id": name, "document": document}
        request = Request("change", "system", key, bytes(16), operator=event.by, reason=event.reason or event.what, payload=payload)
        self._shop.desk.call(request)


class Lock:
    """One process per data directory: an exclusive flock on `DIR/lock`, which ends with the process (F3).

    On a server store the processes share it; the store itself lets one write a partition at a time.
    """

    def __init__(self, directory: Path, *, shared: bool = False) -> None:
        """Raises ShopError locked."""
        self._shared = shared
        self._handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._handle, 32, 0).decode(errors="replace").strip()
            os.close(self._handle)
            raise ShopError("locked", f"{directory} is in use by process {holder or 'unknown'}; stop it first") from error
        if not shared:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def alone(self) -> bool:
        """Whether no other process shares the lock; nobody can come before it is released if so."""
        if self._shared:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True

    @property
    def held(self) -> bool:
        return self._handle >= 0

    def release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Shop:
    """An opened data directory. A context manager: leaving it drains the desk, checkpoints, and gives the lock back."""

    def __init__(
        self, directory: Path, settings: Settings, custody: Custody, store: Store, registry: Registry,
        checkpoints: CheckpointFile, lock: Lock | None, clock: Callable[[], int],
    ) -> None:  # fmt: skip
        self.directory = directory
        self.settings = settings
        self.custody = custody
        self.store = store
        self.registry = registry
        self.checkpoints = checkpoints
        self._lock = lock
        self.follower: Follower | None = None
        checkpointer = None if lock is None else Checkpointer(checkpoints, self._checkpoint_failed)
        self._checkpointer = checkpointer
        parts = Parts(custody, registry, clock, checkpointer, settings.queue_max, settings.pin_tries_max, settings.coupons_a_day)
        if isinstance(store, Pipelined):
            self.desk: Desk = Pipeline(store, replace(parts, rows_max=settings.remembered_cards))
        else:
            self.desk = Desk(store, parts)
        self.background = Background(self.desk, store.reader, registry, custody, clock, settings.messages, directory)

    @property
    def keys(self) -> KeyStore:
        """What may be done with the card keys (control Y); without a key file there are none. Raises KeyStoreError."""
        from cardapi.keys.opened import OpenedKeys

        return self.keeper.store if self.has_key_file else OpenedKeys((), {})

    @property
    def has_key_file(self) -> bool:
        """Whether card keys were ever made here: then the file has to be there."""
        return "keeper" in self.__dict__ or key_file(self.directory).exists() or self.registry.key_file().generation > 0

    @functools.cached_property
    def keeper(self) -> Keeper:
        """The opened key file. Opened when first asked for: it may want its passphrase, and most commands need no card key.

        Raises KeyStoreError.
        """
        from cardapi.keys import keeper, keyfile

        path = key_file(self.directory)
        held = keyfile.peek(path)[0].protection.kind
        protector = self.key_protector(held)
        return keeper.Keeper.open(
            path, protector, KeyJournal(self), read_only=self._lock is None, make_vault=self._vault(held)
        )  # fmt: skip

    def _module(self, ask: Callable[[], str]) -> Module:
        """The security module that `settings.toml` names, logged in with its PIN. Raises KeyModuleError."""
        from cardapi.keys.errors import KeyModuleError
        from cardapi.keys.module import Module

        if "security_module" not in self.__dict__:
            if not (self.settings.keys_module and self.settings.keys_token):
                raise KeyModuleError("settings.toml names no security module: keys_module (its library) and keys_token (its label)")
            self.security_module = Module(self.settings.keys_module, self.settings.keys_token, ask())
        return self.security_module

    def _vault(self, held: str) -> MakeVault:
        """Where the octets of a key file that is held so lie."""
        from cardapi.keys import protect
        from cardapi.keys.vault import FileVault

        if held != protect.MODULE:
            return FileVault
        from cardapi.keys.module import ModuleVault

        return lambda records, seal: ModuleVault(records, seal, self.security_module)

    def key_protector(self, kind: str, ask: Callable[[], str] | None = None) -> Protector:
        """What opens or begins a key file of this kind; `ask` gives the passphrase where another one than at the start is meant."""
        from cardapi.keys import protect

        if kind == protect.PASSPHRASE:
            return protect.PassphraseProtector(ask or protect.ask_at_start)
        if kind == protect.MODULE:
            from cardapi.keys.module import ModuleProtector

            return ModuleProtector(self._module(ask or protect.ask_at_start))
        return protect.RootProtector(self.custody.key_file_secret().reveal())

    def create_keys(self, *, mode: str, protection: str, by: str, after_loss: bool = False, ask: Callable[[], str] | None = None) -> Keeper:
        """Begin a key file (`keeper.Keeper.create`)."""
        from cardapi.keys import keeper

        made = keeper.Keeper.create(
            key_file(self.directory), self.key_protector(protection, ask), KeyJournal(self),
            mode=mode, by=by, at=int(time.time()), after_loss=after_loss, make_vault=self._vault(protection),
        )  # fmt: skip
        self.__dict__["keeper"] = made
        return made

    @property
    def embedded(self) -> bool:
        """Whether the store is the file in the data directory, which one process uses at a time."""
        return stores.is_embedded(self.settings.store)

    def start(self) -> None:
        """Start the desk and its checkpoints; where other processes may write, follow what they change in the registry.

        Jobs are started by whoever serves.
        """
        assert self._checkpointer is not None, "a shop opened for reading has no desk"
        self._checkpointer.start()
        self.desk.start()
        if not self.embedded:
            self.follower = Follower(self.store.reader(), self.registry, self.desk.fail)
            self.follower.poll()
            self.follower.start()
        # What a crash left without a checkpoint gets one now: it cannot be rolled back unnoticed from here on.
        newest = self.checkpoints.newest()
        fresh = [head for head in self.desk.heads if head.partition not in newest or head.position > newest[head.partition].position]
        if fresh:
            self._checkpointer.committed(fresh, ENTRIES_MAX)

    def checkpoint_lag(self) -> Lag:
        """How far the signed checkpoints are behind what this process committed."""
        assert self._checkpointer is not None, "a shop opened for reading commits nothing"
        return self._checkpointer.lag()

    def _checkpoint_failed(self, error: OSError) -> None:
        self.desk.fail(CardcoreError(f"a checkpoint could not be written: {error}"))

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def verify(self, store: Store, progress: Callable[[int, int], None] | None = None) -> verify.Report:
        """Replay the journal as `store` (a reader of this shop's) has it: chain, balances and signed checkpoints (U)."""
        marks = list(self.checkpoints.read())  # before the snapshot, so that none is ahead of it
        with store.snapshot():
            return verify.verify(store, self.custody.chain_key, checkpoints=marks, progress=progress)

    def close(self) -> None:
        """Stop jobs and desk, and give the data directory back. Safe to call twice."""
        self.background.stop()
        self.desk.stop()
        module = self.__dict__.pop("security_module", None)
        if module is not None:
            module.close()
        if self.follower is not None:
            self.follower.stop()
        self.store.close()
        if self._lock is not None:
            if self._lock.held and self._lock.alone():
                stores.stop_server(self.directory, self.settings.store)
            self._lock.release()


def write_store(directory: Path, store: str) -> None:
    """Say in the settings which store the shop uses. Raises NoStore, OSError."""
    stores.is_embedded(store)
    path = directory / SETTINGS
    text = path.read_text() if path.exists() else ""
    handle = os.open(path.with_name(SETTINGS + ".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write((f"store = {msgspec.json.encode(store).decode()}\n" + text).encode())
        file.flush()
        os.fsync(file.fileno())
    path.with_name(SETTINGS + ".new").rename(path)
    backup.sync_directory(directory)


def create_shop(
    directory: Path | str, *, name: str = "Shop", operator: str = "admin", password: str = "", store: str = "", owner: str = "",
    partitions: int = 0,
) -> dict[str, str]:  # fmt: skip
    """Make a new data directory: root secret, database, the issuer unit `issuer` and a first operator with role `admin` there.

    `store`: where the journal is (`cardapi.stores`), written into the settings; `owner`: the address to make the tables of a
    given server with. `partitions` is for ever: 0 is 1 in the embedded store and 64 on a server.

    Returns {"directory", "issuer", "operator", "password"}; the password is random when not given and shown only here.
    Raises ShopError (code "exists") when the directory already holds a shop, or the checkpoint file is there. Killed at any
    step it can be called again: what it left was never opened and is made anew (F6).
    """
    directory = Path(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Lock(directory)
    try:
        settings = read_settings(directory)
        if store and not settings.store:
            write_store(directory, store)
            settings = read_settings(directory)
        path = checkpoint_path(directory, settings)
        parts = [directory / (DATABASE + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
        parts += [directory / "secrets" / "root.key", path]
        again = (directory / MAKING).exists()
        if again:
            for part in parts:
                part.unlink(missing_ok=True)
        elif any(part.exists() for part in parts):
            raise ShopError("exists", f"{directory} holds a shop already")
        (directory / MAKING).touch(mode=0o600)
        backup.sync_directory(directory)
        custody = Custody.create(directory / "secrets")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stores.make(directory, settings.store, owner, partitions, again=again)
        made = stores.open_store(directory, settings.store, settings.standby)
        heads = [start_head(custody.chain_key(number), number, genesis) for number, genesis in made.partitions().items()]
        made.close()
        CheckpointFile(path, custody.checkpoint_signer()).append(heads)
    finally:
        lock.release()
    password = password or secrets.token_urlsafe(12)
    documents = [
        ("unit", "issuer", {"id": "issuer", "name": name, "kind": "issuer", "parent": ""}),
        ("operator", operator, {
            "id": operator, "name": operator, "password": PasswordHasher().hash(password), "state": "active",
            "grants": [{"role": "admin", "unit": "issuer"}],
        }),
    ]  # fmt: skip
    with _open(directory) as shop:
        for kind, key, document in documents:
            payload = {"kind": kind, "id": key, "document": document}
            shop.desk.call(Request("change", "system", f"create:{kind}:{key}", bytes(16), reason="create", payload=payload))
    (directory / MAKING).unlink()
    backup.sync_directory(directory)
    return {"directory": str(directory), "issuer": "issuer", "operator": operator, "password": password}


def wall_clock() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


def open_shop(
    directory: Path | str, *, start: bool = True, read_only: bool = False, clock: Callable[[], int] = wall_clock
) -> Shop:
    """Take the lock, migrate, verify the tail against the newest checkpoint (A4), load the registry, start the desk.

    Raises ShopError, StoreError, SchemaError, CustodyError. `start=False` leaves the desk for `Shop.start`.
    `read_only` takes no lock and starts no desk (export, verify beside a running service). `clock` gives microseconds.
    """
    directory = Path(directory)
    if not _is_shop(directory) or (directory / MAKING).exists():
        raise ShopError("absent", f"{directory} holds no shop; make one with: cardcore init --data {directory}")
    return _open(directory, start=start, read_only=read_only, clock=clock)


def _is_shop(directory: Path) -> bool:
    """Whether there is a shop here: its database, or the secret that opens the one on a server."""
    if stores.is_embedded(read_settings(directory).store):
        return (directory / DATABASE).is_file()
    return (directory / "secrets" / "root.key").is_file()


def _open(directory: Path, *, start: bool = True, read_only: bool = False, clock: Callable[[], int] = wall_clock) -> Shop:
    """`open_shop`, also of a shop that is being made."""
    settings = read_settings(directory)
    lock = None if read_only else Lock(directory, shared=not stores.is_embedded(settings.store))
    try:
        custody = Custody.load(directory / "secrets")
        store = stores.open_store(directory, settings.store, settings.standby, read_only=read_only)
        checkpoints = CheckpointFile(checkpoint_path(directory, settings), custody.checkpoint_signer())
        try:
            if not read_only:
                _check(store, settings, custody, checkpoints)
            registry = Registry()
            registry.load(store)
        except BaseException:
            store.close()
            raise
        shop = Shop(directory, settings, custody, store, registry, checkpoints, lock, clock)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    if start and not read_only:
        shop.start()
    return shop


def migrate_shop(directory: Path | str, owner: str = "") -> str:
    """Bring the shop's database to the schema of this release; returns it. `owner`: whose tables a given server's are.

    The journal is compared with the newest checkpoint before anything is changed, and again afterwards, with its tail. Processes of the
    release before may go on serving meanwhile. Raises ShopError absent, locked, and as `open_shop` does; StoreError, SchemaError,
    NoStore, CustodyError.
    """
    directory = Path(directory)
    if not _is_shop(directory):
        raise ShopError("absent", f"{directory} holds no shop")
    settings = read_settings(directory)
    lock = Lock(directory, shared=not stores.is_embedded(settings.store))
    try:
        custody = Custody.load(directory / "secrets")
        checkpoints = CheckpointFile(checkpoint_path(directory, settings), custody.checkpoint_signer())
        with _as_shop_error(), stores.any_schema(directory, settings.store, owner) as journal:
            compare(journal, checkpoints.newest())
        schema = stores.migrate(directory, settings.store, owner)
        store = stores.open_store(directory, settings.store, settings.standby, read_only=True)
        with closing(store):
            _check(store, settings, custody, checkpoints)
        return schema
    finally:
        lock.release()


def _check(store: Store, settings: Settings, custody: Custody, checkpoints: CheckpointFile) -> None:
    """Compare a journal with its newest checkpoint and verify its tail (A4). Raises ShopError."""
    with _as_shop_error():
        compare(store, checkpoints.newest())
    bad = verify.verify_tail(store, custody.chain_key, max(20, settings.tail_entries // len(store.partitions())))
    if bad is not None:
        raise ShopError("bad_chain", f"the journal is damaged: {bad.text()}", first_bad=msgspec.to_builtins(bad))


@contextmanager
def _as_shop_error() -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise ShopError(error.code, error.detail, **error.facts) from error

"""The import arrows of ARCHITECTURE.md, as one table, and the check that every file keeps them."""

from __future__ import annotations

from tests.tidy.tree import Tree, imported_modules, module_name

OURS = ("cardcore", "cardapi", "firmware_sim")

# Room (longest match wins) -> what of ours it may import. "*" is everything.
ARROWS: dict[str, tuple[str, ...]] = {
    "cardcore": ("cardcore",),
    "cardapi": ("cardcore", "cardapi"),
    "cardapi.ids": ("cardcore",),
    "cardapi.shipped": (),
    "cardapi.days": (),
    "cardapi.measures": (),
    "cardapi.logs": ("cardapi.ids", "cardcore.errors"),
    "cardapi.laws": ("cardcore", "cardapi.laws", "cardapi.days", "cardapi.ids", "cardapi.store.port"),
    "cardapi.messages": (
        "cardcore", "cardapi.desk", "cardapi.store.port", "cardapi.store.fold", "cardapi.people", "cardapi.custody", "cardapi.members",
        "cardapi.messages",
    ),
    "cardapi.jobs": (
        "cardcore", "cardapi.desk", "cardapi.store.port", "cardapi.people", "cardapi.custody", "cardapi.members", "cardapi.days",
        "cardapi.jobs", "cardapi.messages",
    ),
    "cardapi.coupons": ("cardcore", "cardapi.coupons", "cardapi.custody", "cardapi.store.port"),
    "cardapi.custody": ("cardcore.errors",),
    "cardapi.keys": ("cardcore.crypto", "cardcore.errors", "cardapi.keys", "cardapi.custody"),
    "cardapi.desk": (
        "cardcore", "cardapi.keys.port", "cardapi.store.port", "cardapi.store.chain", "cardapi.store.fold", "cardapi.store.media",
        "cardapi.people", "cardapi.members", "cardapi.laws", "cardapi.days",
        "cardapi.custody", "cardapi.ids", "cardapi.desk", "cardapi.coupons", "cardapi.measures",
    ),
    "cardapi.members": (
        "cardcore", "cardapi.store.port", "cardapi.people.policy", "cardapi.custody", "cardapi.ids", "cardapi.members", "cardapi.days",
    ),
    "cardapi.media": (
        "cardcore", "cardapi.desk", "cardapi.keys.port", "cardapi.store.port", "cardapi.store.media", "cardapi.people", "cardapi.custody",
        "cardapi.ids", "cardapi.media",
    ),
    "cardapi.store": ("cardcore", "cardapi.store", "cardapi.ids"),
    "cardapi.people": ("cardcore", "cardapi.laws", "cardapi.store.port", "cardapi.store.fold", "cardapi.people", "cardapi.ids"),
    "cardapi.reports": ("cardcore", "cardapi.store.port", "cardapi.reports", "cardapi.people", "cardapi.ids"),
    "cardapi.plans": ("cardcore", "cardapi.plans", "cardapi.people.policy"),
    "cardapi.whatif": (
        "cardcore", "cardapi.whatif", "cardapi.store.port", "cardapi.store.fold", "cardapi.reports", "cardapi.people", "cardapi.desk",
        "cardapi.custody", "cardapi.ids", "cardapi.coupons",
    ),
    "cardapi.http": (
        "cardcore", "cardapi.media", "cardapi.desk", "cardapi.people", "cardapi.custody", "cardapi.app", "cardapi.http",
        "cardapi.store.port", "cardapi.store.media", "cardapi.keys.port", "cardapi.keys.errors", "cardapi.reports", "cardapi.ids",
        "cardapi.members", "cardapi.jobs", "cardapi.messages", "cardapi.laws", "cardapi.imports", "cardapi.days",
        "cardapi.clearing", "cardapi.coupons", "cardapi.measures", "cardapi.shipped", "cardapi.logs",
    ),
    "cardapi.clearing": (
        "cardcore", "cardapi.clearing", "cardapi.store.port", "cardapi.store.media", "cardapi.media.profiles", "cardapi.people",
        "cardapi.keys.port", "cardapi.ids",
    ),
    "cardapi.pcsc": ("cardcore", "cardapi.pcsc", "cardapi.clearing"),
    "cardapi.cli": ("cardcore", "cardapi"),
    "cardapi.app": ("*",),
    "cardapi.copies": ("*",),
    "cardapi.move": ("*",),
    "cardapi.stores": ("cardcore.errors", "cardapi.store"),
    "firmware_sim": ("firmware_sim",),
}  # fmt: skip

# The composition root: puts shops together, chooses and opens their stores, copies them.
ROOTS = ("cardapi.app", "cardapi.stores", "cardapi.copies", "cardapi.move")
# Adapters only the composition root may name (and the adapters' own room).
CONCRETE = ("cardapi.store.sqlite", "cardapi.store.postgres", "cardapi.store.postgres_local")
# The core decides from its arguments: no I/O, clock, randomness or threads. The simulator uses another crypto library.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "cardcore": (
        "os", "io", "time", "random", "secrets", "uuid", "socket", "sqlite3", "pathlib", "threading", "asyncio", "subprocess", "logging",
        "sqlalchemy", "fastapi", "starlette",
    ),
    "firmware_sim": ("cryptography",),
}  # fmt: skip


def within(name: str, room: str) -> bool:
    """Whether a dotted name is the room or lies in it."""
    return name == room or name.startswith(room + ".")


def room_of(module: str) -> str:
    """The most specific room of the table that holds this module; "" if none does."""
    return max((room for room in ARROWS if within(module, room)), key=len, default="")


def complaint(module: str, imported: str) -> str:
    """Why `module` may not import `imported`; "" if it may."""
    top = imported.split(".", maxsplit=1)[0]
    if top not in OURS:
        banned = FORBIDDEN.get(module.split(".", maxsplit=1)[0], ())
        return f"{module} imports {imported}, which {module.split('.', maxsplit=1)[0]} may not use" if top in banned else ""
    room = room_of(module)
    named = any(within(imported, adapter) for adapter in CONCRETE)
    if named and not within(module, "cardapi.store") and room not in ROOTS:
        return f"{module} names the concrete adapter {imported}; only the composition root may"
    if any(name == "*" or within(imported, name) for name in (*ARROWS[room], room)):
        return ""
    return f"{module} (room {room}) imports {imported}; ARCHITECTURE.md allows {', '.join(ARROWS[room])}"


def crossed_arrows(tree: Tree) -> list[str]:
    """Imports that point against the arrows."""
    complaints: set[str] = set()
    for path in [*tree.of(".py", ".pyx", ".pxd", under="src"), *tree.of(".py", under="firmware_sim")]:
        module = module_name(path.relative_to(tree.root))
        complaints.update(complaint(module, imported) for imported in imported_modules(tree, path))
    return sorted(complaints - {""})

"""The tree of commands."""

from __future__ import annotations

from cardapi.cli import (
    batch,
    books,
    card,
    clearing,
    coupon,
    gift,
    imports,
    jobs,
    keep,
    keys,
    law,
    member,
    messages,
    reader,
    replay_command,
    scheme,
    serve,
    setup,
    sign,
    terminal,
    unit,
    user,
)
from cardapi.cli.group import group

app = group(
    "Stored-value and membership cards that a shop runs itself.\n\n"
    "Start with cardcore init --data var/shop --demo and cardcore serve --data var/shop."
)

app.command("init")(setup.init)
app.command("serve")(serve.serve)
app.command("demo")(setup.demo)
app.add_typer(scheme.app, name="scheme")
app.add_typer(card.app, name="card")
app.add_typer(reader.app, name="reader")
app.add_typer(batch.app, name="batch")
app.command("clear")(clearing.clear)
app.add_typer(clearing.app, name="case")
app.add_typer(member.app, name="member")
app.add_typer(coupon.app, name="coupon")
app.add_typer(gift.app, name="gift")
app.add_typer(jobs.app, name="jobs")
app.add_typer(messages.app, name="messages")
app.add_typer(law.app, name="law")
app.add_typer(imports.app, name="import")
app.add_typer(terminal.app, name="terminal")
app.add_typer(unit.app, name="unit")
app.add_typer(user.app, name="user")
app.add_typer(keys.app, name="keys")
app.command("replay")(replay_command.replay)
app.command("close")(books.close)
app.command("trial")(books.trial)
app.command("verify")(books.verify)
app.command("rebuild")(books.rebuild)
app.command("export")(books.export)
app.command("backup")(keep.backup)
app.command("restore")(keep.restore)
app.command("migrate")(keep.migrate)
app.command("migrate-store")(keep.migrate_store)
app.command("sign")(sign.sign)
app.command("openapi")(serve.openapi)
app.command("version")(serve.version)

"""Goal: what the documents show can be done. Method: run their examples: packs, commands, `make` targets, the signing client."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from typing import Any

import pytest
from typer.main import get_command

from cardapi.cli.root import app
from cardapi.http.signature import sign
from cardapi.store.fold import CARD_VERBS, RECORD_VERBS
from cardcore.settlement import LEDGER_KINDS, VERBS
from cardcore.settlement.pack import check
from tests.tidy.tree import ROOT, Tree

DOCUMENTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in Tree(ROOT).of(".md")}


def blocks(language: str) -> list[tuple[str, str]]:
    return [(name, block) for name, text in DOCUMENTS.items() for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def test_the_packs_shown_are_valid() -> None:
    packs = [(name, text) for name, text in blocks("toml") if "schema = 1" in text]
    assert packs, "the documents show no whole pack"
    for name, text in packs:
        assert not check(text), name


def test_the_commands_named_exist() -> None:
    commands: Any = get_command(app)
    code = {name: "\n".join(re.findall(r"`[^`\n]*`|^    .*$", text, re.MULTILINE)) for name, text in DOCUMENTS.items()}
    word = r"[a-z]+(?:-[a-z]+)*"
    told = re.compile(rf"(?:^|[`$ ])cardcore ({word})(?: ({word})\b)?")
    named = {(name, found[1], found[2]) for name in code for found in told.finditer(code[name])}
    assert len({command for _, command, _ in named}) > 10
    for name, command, child in named:
        assert command in commands.commands, f"{name} names cardcore {command}"
        group = getattr(commands.commands[command], "commands", None)
        assert not (group and child) or child in group, f"{name} names cardcore {command} {child}"


def test_the_make_targets_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name, text in DOCUMENTS.items():
        for span in re.findall(r"`make ([a-z-]+)[^`]*`|^    make ([a-z-]+)", text, re.MULTILINE):
            assert (span[0] or span[1]) in targets, f"{name} names make {span[0] or span[1]}"


def test_the_journal_page_tells_every_verb_and_ledger_account() -> None:
    page = DOCUMENTS["docs/journal.md"]
    untold = [name for name in (*VERBS, *LEDGER_KINDS, *sorted(CARD_VERBS | RECORD_VERBS)) if f"`{name}`" not in page]
    assert not untold


def test_the_signing_client_signs_as_the_service_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[urllib.request.Request] = []

    def answer(request: urllib.request.Request) -> io.BytesIO:
        sent.append(request)
        return io.BytesIO(b"{}")

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    (client,) = [block for name, block in blocks("python") if name == "docs/api.md"]
    names: dict[str, Any] = {}
    exec(compile(client, "docs/api.md", "exec"), names)
    names["call"]("http://127.0.0.1:1", "till-1", "ab" * 32, "/v1/settle", {"card": "6200000000000013"}, "key-1")
    (request,) = sent
    given = str(request.get_header("Authorization"))
    time, nonce = re.findall(r"time=(\d+),nonce=([\w-]+)", given)[0]
    body = json.dumps({"card": "6200000000000013"}).encode()
    assert request.data == body
    assert given == sign(b"\xab" * 32, "till-1", 1, "POST", "/v1/settle", int(time), nonce, "key-1", body)
    assert request.get_header("Idempotency-key") == "key-1"

"""Goal: the ways out keep what they promise: the webhook is signed, bounded and never led into a private network; the file holds no
address; templates show nothing but facts.

Method: a receiver on this machine; addresses by the hundred.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardapi.custody import Secret
from cardapi.messages import channels
from cardapi.messages.channels import SIGNATURE, Apprise, FileSink, Letter, SendFailed, Webhook, is_public
from cardapi.messages.settings import MessageSettings
from cardapi.messages.settings import channels as built
from cardapi.messages.templates import FACTS, TEMPLATES, BadTemplate, check, render, yuan
from tests.messages.conftest import Receiver

KEY = Secret(b"k" * 32)
LETTER = Letter("00-1:spent:sms", "m00-000000000001", "spent", "zh", "您消费了1.00元", "13812345678", 5, {"amount": "1.00"})


def code(channel: object, letter: Letter = LETTER) -> str:
    try:
        channel.send(letter, 1_700_000_000)  # type: ignore[attr-defined]
    except SendFailed as failed:
        return failed.code if letter.address not in str(failed) else "the address is told"
    return ""


def test_the_webhook_is_signed_and_repeatable(receiver: Receiver) -> None:
    hook = Webhook(receiver.url, KEY, allow_private=True)
    assert [code(hook), code(hook)] == ["", ""]
    headers, body = receiver.last()
    assert body["text"] == LETTER.text
    assert headers["Idempotency-Key"] == body["id"] == LETTER.id
    at, _, mac = headers[SIGNATURE].removeprefix("t=").partition(",v1=")
    sent = receiver.requests[-1][1]
    assert mac == hmac.new(KEY.reveal(), at.encode() + b"." + sent, hashlib.sha256).hexdigest()
    assert receiver.requests[0] == receiver.requests[1]


@pytest.mark.parametrize(("status", "expected"), [(200, ""), (204, ""), (302, "bad_status"), (404, "bad_status"), (500, "bad_status")])
def test_answers_of_a_webhook(receiver: Receiver, status: int, expected: str) -> None:
    receiver.status, receiver.location = status, receiver.url + "&again=1" if status == 302 else ""
    assert code(Webhook(receiver.url, KEY, allow_private=True)) == expected
    assert len(receiver.requests) == 1, "a redirect is not followed"


def test_a_webhook_that_does_not_answer_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_S", 0.3)
    silent = socket.create_server(("127.0.0.1", 0))
    started = time.monotonic()
    assert code(Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", KEY, allow_private=True)) == "timeout"
    assert time.monotonic() - started < 5
    silent.close()
    assert code(Webhook(f"http://127.0.0.1:{silent.getsockname()[1] if silent.fileno() >= 0 else 1}/", KEY, allow_private=True)) in (
        "unreachable", "timeout",
    )  # fmt: skip


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def flood() -> None:
        peer, _ = server.accept()
        peer.recv(65_536)
        try:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            while True:
                peer.sendall(b"x" * 65_536)
        except OSError:
            peer.close()

    threading.Thread(target=flood, daemon=True).start()
    started = time.monotonic()
    assert code(Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/", KEY, allow_private=True)) == ""
    assert time.monotonic() - started < 5
    server.close()


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "fe80::1%eth0", "198.18.0.1",
])  # fmt: skip
def test_private_addresses_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_public(address)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 443))])
    assert code(Webhook("https://example.com/", KEY)) == "refused_address"


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (ip, 443)) for ip in ("8.8.8.8", "10.0.0.1")])
    assert code(Webhook("https://example.com/", KEY)) == "refused_address"


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "114.114.114.114"])
def test_public_addresses_are_let_through(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("url", ["ftp://example.com", "https://", "https://user:pass@example.com/", "http://example.com/", "file:///etc/passwd"])
def test_what_is_no_webhook(url: str) -> None:
    with pytest.raises(SendFailed) as refused:
        Webhook(url, KEY)
    assert refused.value.code == "refused_address"


def test_the_name_is_asked_once_so_that_it_cannot_change(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def once(host: str, *more: object, **named: object) -> object:
        asked.append(host)
        return real("127.0.0.1", *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", once)
    url = receiver.url.replace("127.0.0.1", "hook.example.com")
    assert code(Webhook(url, KEY, allow_private=True)) == ""
    assert asked.count("hook.example.com") == 1
    assert receiver.requests[-1][0]["Host"].startswith("hook.example.com")


def test_the_file_holds_no_address(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "messages" / "outbox.jsonl")
    assert [code(sink), code(sink)] == ["", ""]
    text = (tmp_path / "messages" / "outbox.jsonl").read_text()
    assert LETTER.address not in text
    assert [json.loads(line)["text"] for line in text.splitlines()] == [LETTER.text] * 2
    assert (tmp_path / "messages" / "outbox.jsonl").stat().st_mode & 0o077 == 0
    assert code(FileSink(tmp_path / "messages")) == "channel_broken"


def test_apprise_reaches_a_gateway(receiver: Receiver) -> None:
    pytest.importorskip("apprise")
    address = receiver.url.replace("http://", "json://").replace("?shop=1", "/{address}")
    channel = Apprise(address)
    assert code(channel) == ""
    assert receiver.last()[1]["message"] == LETTER.text
    assert address not in repr(channel.__dict__)
    receiver.status = 500
    assert code(channel) == "unreachable"
    assert code(Apprise("nothing://{address}")) == "channel_broken"


def test_settings_name_the_channels(tmp_path: Path) -> None:
    assert set(built(MessageSettings(), tmp_path, KEY)) == {"file"}
    full = MessageSettings(webhook="https://example.com/hook", sms="json://example.com/{address}", email="mailto://example.com")
    assert set(built(full, tmp_path, KEY)) == {"file", "webhook", "sms", "email"}
    with pytest.raises(BadTemplate):
        built(MessageSettings(templates={"spent": {"zh": "{pin}"}}), tmp_path, KEY)


def test_every_template_is_whole_in_both_languages() -> None:
    for name, texts in TEMPLATES.items():
        assert set(texts) == {"zh", "en"}
        check(name, texts)
        for language in texts:
            assert "{" not in render(texts, language, dict.fromkeys(FACTS, "x"))


@pytest.mark.parametrize(("name", "text"), [
    ("nothing", "x"), ("spent", "{pin}"), ("spent", "{shop.__class__}"), ("spent", "{shop[0]}"), ("spent", "{amount:>100000000}"),
    ("spent", "{amount!r}"), ("spent", "{"), ("spent", ""), ("spent", "x" * 501), ("spent", "{}"),
])  # fmt: skip
def test_templates_that_show_too_much(name: str, text: str) -> None:
    with pytest.raises(BadTemplate):
        check(name, {"zh": text})


@given(st.integers(-(10**15), 10**15))
def test_yuan_is_exact(fen: int) -> None:
    text = yuan(fen)
    whole, _, cents = text.partition(".")
    assert int(whole + cents) == fen
    assert len(cents) == 2

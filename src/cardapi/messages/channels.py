"""Ways out: a file beside the shop (the default), a signed webhook, and whatever apprise can reach."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from cardapi.custody import Secret
from cardcore.errors import CardcoreError

TIMEOUT_S: Final = 5
ANSWER_MAX: Final = 65_536
SIGNATURE: Final = "Cardcore-Signature"


class SendFailed(CardcoreError):
    """A message did not go out; `code` says why, never with an address in it.

    no_address unreachable refused_address bad_status timeout channel_broken
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code.replace("_", " "))
        self.code = code


class Letter(msgspec.Struct):
    """What a channel is given. `address` is a phone number or e-mail address."""

    id: str  # the same for every try, so that a receiver can tell a repetition
    member: str
    template: str
    language: str
    text: str
    address: str
    made_at: int
    facts: dict[str, str | int] = {}

    def __repr__(self) -> str:
        return f"Letter({self.id})"


class Channel(Protocol):
    """One way out. Raises SendFailed when it did not go."""

    def send(self, letter: Letter, now: int) -> None: ...


class FileSink:
    """One JSON line for each message, for a shop without a gateway. It holds no address: who reads the file sees members, not people."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, letter: Letter, now: int) -> None:
        line = {"id": letter.id, "at": now, "member": letter.member, "template": letter.template, "text": letter.text}
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, msgspec.json.encode(line) + b"\n")
            finally:
                os.close(handle)
        except OSError as error:
            raise SendFailed("channel_broken", f"cannot write {self._path}: {error.strerror}") from error


class Webhook:
    """POST of one JSON document, signed, to one address: bounded in time and size, no redirects, no private networks (SSRF)."""

    def __init__(self, url: str, key: Secret, *, allow_private: bool = False) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise SendFailed("refused_address", "a webhook is an http or https address without a user in it")
        if parts.scheme == "http" and not allow_private:
            raise SendFailed("refused_address", "a webhook in clear is for private networks only: webhook_private = true allows it")
        self._host, self._tls = parts.hostname, parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._key = key
        self._allow_private = allow_private

    def send(self, letter: Letter, now: int) -> None:
        body = msgspec.json.encode(letter)
        headers = {"Content-Type": "application/json", "Idempotency-Key": letter.id, SIGNATURE: sign(self._key, now, body)}
        connection = self._connect()
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
            answer.read(ANSWER_MAX)
        except TimeoutError as error:
            raise SendFailed("timeout") from error
        except (OSError, http.client.HTTPException) as error:
            raise SendFailed("unreachable") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise SendFailed("bad_status", f"status {answer.status}")

    def _connect(self) -> http.client.HTTPConnection:
        """A connection to an address that was looked at: what the name means is asked once, so it cannot change in between."""
        address = self._resolve()
        try:
            plain = socket.create_connection((address, self._port), TIMEOUT_S)
            link = ssl.create_default_context().wrap_socket(plain, server_hostname=self._host) if self._tls else plain
        except TimeoutError as error:
            raise SendFailed("timeout") from error
        except OSError as error:
            raise SendFailed("unreachable") from error
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        connection.sock = link
        return connection

    def _resolve(self) -> str:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SendFailed("unreachable") from error
        addresses = [str(row[4][0]) for row in found]
        if not self._allow_private and not all(is_public(address) for address in addresses):
            raise SendFailed("refused_address", "the webhook leads into a private network")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open network: none of ours, none of a link, none inside another."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return found.is_global and not found.is_multicast and (inner is None or is_public(str(inner)))


def sign(key: Secret, at_s: int, body: bytes) -> str:
    """`t=<epoch seconds>,v1=<hex>`: HMAC-SHA256 over the time, a full stop and the body."""
    mac = hmac.new(key.reveal(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={mac}"


class Apprise:
    """SMS, e-mail and the rest through an apprise address that has `{address}` where the receiver goes."""

    def __init__(self, url: str) -> None:
        self._url = Secret(url.encode())  # holds the gateway's password

    def send(self, letter: Letter, now: int) -> None:
        from urllib.parse import quote

        import apprise

        del now
        gateway: Any = apprise.Apprise()
        address = self._url.reveal().decode().replace("{address}", quote(letter.address, safe=""))
        if not gateway.add(address):
            raise SendFailed("channel_broken", "apprise does not know this address")
        if not gateway.notify(body=letter.text):
            raise SendFailed("unreachable")

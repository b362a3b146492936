"""Goal: deploy/nginx.conf does what docs/operations.md says of it: TLS 1.3 with client certificates of one CA, figures kept inside, and
no request sent to the service twice.

Method: the real nginx with that file, in which only addresses, paths and names of files are replaced; certificates made for the test.
It listens on a socket in the test's own folder. Behind it a service as it is started, and one that hangs up.
"""

from __future__ import annotations

import datetime
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cardapi.http.signature import sign
from tests.cli.shop import ROOT, demo_shop, served
from tests.support import needs

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
if not Path(NGINX).exists():
    needs("nginx", "nginx-light")

NAME = "cards.example.com"
WAIT_S = 60


class Authority:
    """A CA of the test."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # signs certificates and lists
        self.certificate = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0), usage)

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        # Python 3.13 takes no chain without them (RFC 5280, 4.2.1.1 and 4.2.1.2).
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, name: str, place: Path) -> None:
        """`place`.pem and `place`.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        pem(place.with_suffix(".pem"), self._signed(subject, key, x509.SubjectAlternativeName([x509.DNSName(name)])))
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        place.with_suffix(".key").write_bytes(secret)


def pem(place: Path, certificate: x509.Certificate) -> None:
    place.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of the server, of a till, of a till of somebody else."""
    room = tmp_path_factory.mktemp("tls")
    ours, tills, others = Authority("shop"), Authority("tills"), Authority("others")
    pem(room / "shop-ca.pem", ours.certificate)
    pem(room / "tills-ca.pem", tills.certificate)
    ours.issue(NAME, room / "server")
    tills.issue("till-1", room / "till")
    others.issue("till-1", room / "stranger")
    return room


@contextmanager
def proxied(room: Path, port: int) -> Iterator[Path]:
    """The socket on which nginx listens, in front of a service at that port."""
    listening = room / "nginx.sock"
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for said, here in {
        "listen 443 ssl": f"listen unix:{listening} ssl",
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "/etc/cardcore/tls": str(room),
        "/var/log/nginx": str(room),
    }.items():
        assert said in text
        text = text.replace(said, here)
    (room / "conf.d.conf").write_text(text)
    paths = " ".join(f"{name}_temp_path {room}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    main = f"{user} pid {room}/pid; worker_processes 1; events {{}} http {{ {paths} include {room}/conf.d.conf; }}"
    (room / "nginx.conf").write_text(main)
    words = [NGINX, "-p", str(room), "-e", "stderr", "-c", str(room / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + WAIT_S
        while not listening.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.01)
        yield listening
    finally:
        process.terminate()
        process.communicate()


class Line(http.client.HTTPConnection):
    """To nginx by TLS; `who` names the client's certificate."""

    def __init__(self, room: Path, who: str = "", newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        super().__init__(NAME, timeout=WAIT_S)
        self._room = room
        self._context = ssl.create_default_context(cafile=str(room / "shop-ca.pem"))
        self._context.maximum_version = newest
        if who:
            self._context.load_cert_chain(room / f"{who}.pem", room / f"{who}.key")

    def connect(self) -> None:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(WAIT_S)
        line.connect(str(self._room / "nginx.sock"))
        self.sock = self._context.wrap_socket(line, server_hostname=NAME)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        self.request(method, path, body or None, headers)
        answer = self.getresponse()
        return answer.status, answer.read()


def test_tills_come_through_and_nobody_else(room: Path, tmp_path: Path) -> None:
    made: dict[str, Any] = demo_shop(tmp_path / "shop")
    with served(tmp_path / "shop") as service, proxied(room, service.port):
        till = Line(room, "till")
        assert till.ask("GET", "/health") == (200, b'{"status":"ok","detail":""}')
        body = json.dumps({"card": made["cards"]["gift-card"], "lines": [{"amount_fen": 100}]}).encode()
        proof = sign(bytes.fromhex(made["terminal_key"]), "till-1", 1, "POST", "/v1/settle", int(time.time()), "n" * 16, "k-1", body)
        sale = {"Authorization": proof, "Idempotency-Key": "k-1", "Content-Type": "application/json"}
        status, answer = till.ask("POST", "/v1/settle", body, **sale)
        assert (status, json.loads(answer)["net_fen"]) == (200, 100)
        assert json.loads(till.ask("POST", "/v1/settle", body, **sale)[1])["code"] == "nonce_reused"
        assert till.ask("GET", "/metrics")[0] == 404
        assert till.ask("POST", "/v1/settle", b"", **{"Content-Length": str(17 << 20)})[0] == 413
        for who in ("", "stranger"):
            status, answer = Line(room, who).ask("GET", "/health")
            assert (status, b"cardcore" in answer) == (400, False), "who has no certificate of ours does not reach the service"
        with pytest.raises(ssl.SSLError):
            Line(room, "till", ssl.TLSVersion.TLSv1_2).ask("GET", "/health")
    assert '"CN=till-1" "POST /v1/settle HTTP/1.1" 200' in (room / "cardcore.log").read_text()


class HangsUp(threading.Thread):
    """A service that answers the first request of a connection and hangs up at the next one, as one does that is just being ended."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.asked: list[bytes] = []

    def run(self) -> None:
        while True:
            line, _ = self._listening.accept()
            with line:
                self.asked.append(line.recv(65_536).split(b" HTTP")[0])
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                self.asked.append(line.recv(65_536).split(b" HTTP")[0])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_sent_twice(room: Path, method: str) -> None:
    service = HangsUp()
    service.start()
    with proxied(room, service.port):
        till = Line(room, "till")
        assert till.ask("GET", "/first") == (200, b"ok")
        assert till.ask(method, "/second")[0] == 502
    assert service.asked == [b"GET /first", f"{method} /second".encode()]

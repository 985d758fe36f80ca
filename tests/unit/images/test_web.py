"""GETs with an end to every wait, over TLS as registries are asked."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lambdad.images import web
from lambdad.images.web import Web, WebTrouble

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Told: yes\r\n\r\nhello"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for this machine, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The machine trusts that authority, as its administrator would have it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    web._tls.cache_clear()
    yield certificate
    web._tls.cache_clear()


@contextmanager
def serving(certificate: Path, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """One connection over TLS; yields the address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def run() -> None:
            with (
                contextlib.suppress(OSError),
                listener.accept()[0] as plain,
                context.wrap_socket(plain, server_side=True) as connection,
            ):
                serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"https://localhost:{listener.getsockname()[1]}/v2/x?y=z"
        finally:
            thread.join(60)
        assert not thread.is_alive(), "the connection is still there"


def test_an_answer_comes_over_tls(trusted: Path) -> None:
    """With its status and headers, in pieces, to its end."""
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(ANSWER)

    with serving(trusted, serve) as url:
        answer = Web().get(url, {"Accept": "a/b"})
        assert (answer.status, answer.headers["x-told"]) == (200, "yes")
        assert [answer.read(3), answer.read(3), answer.read(3)] == [b"hel", b"lo", b""]
        answer.close()
    assert asked[0].startswith(b"GET /v2/x?y=z HTTP/1.1\r\n")
    assert b"\r\nAccept: a/b\r\n" in asked[0]


def test_nobody_is_believed_without_a_certificate(certificate: Path) -> None:
    """Of an authority that this machine does not know."""
    web._tls.cache_clear()
    with serving(certificate, lambda connection: None) as url, pytest.raises(WebTrouble, match="certificate verify failed"):
        Web().get(url, {})


def test_a_body_that_ends_early_is_trouble(trusted: Path) -> None:
    """And no shorter body."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(ANSWER[:-2])

    with serving(trusted, serve) as url:
        answer = Web().get(url, {})
        with pytest.raises(WebTrouble, match="broke off"):
            answer.read(5)
        answer.close()


def test_what_is_read_over_tls_can_be_broken_off(trusted: Path) -> None:
    """From another thread, while the other side says nothing; what comes after it fails at once."""
    is_quiet = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(ANSWER[:-2])
        is_quiet.set()
        connection.recv(65536)  # until the other side has gone

    with serving(trusted, serve) as url:
        asking = Web()
        answer = asking.get(url, {})

        def break_off() -> None:
            is_quiet.wait(30)
            asking.break_off()

        breaking = threading.Thread(target=break_off)
        breaking.start()
        with pytest.raises(WebTrouble):
            while answer.read(1):
                pass
        breaking.join()
        answer.close()
    with serving(trusted, lambda connection: None) as url, pytest.raises(WebTrouble, match="broken off"):
        asking.get(url, {})


@pytest.mark.parametrize("url", ["https://localhost:1/x", "https://[::1", "https://localhost:99999/", "https:///x"])
def test_where_nobody_is_there_is_trouble(url: str) -> None:
    """Whatever is wrong with the address."""
    with pytest.raises(WebTrouble):
        Web().get(url, {})

"""Settings of TLS and SASL: what is refused, what each client library gets, and that no secret shows."""

import dataclasses
import logging
import shutil
import ssl
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from tests.broker.secured import KEY_PASSWORD, PASSWORD, Certificates
from workers import security
from workers.app import build, credentials
from workers.errors import SettingsError
from workers.ledger import Ledger
from workers.security import PLAINTEXT, Security
from workers.settings import Settings, load
from workers.topics import load as load_topics

SASL = {"MIMAMORI_SASL_USERNAME": "worker", "MIMAMORI_SASL_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH to make certificates with")
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


def problem(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        security.of(load(environment)).ssl_context()
    assert PASSWORD not in str(raised.value)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "MIMAMORI_SECURITY_PROTOCOL: must be one of PLAINTEXT, SSL, "),
        ({"SASL_MECHANISM": "GSSAPI"}, "MIMAMORI_SASL_MECHANISM: must be one of PLAIN, "),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "MIMAMORI_SASL_USERNAME: SASL_SSL needs it"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL"},
            "MIMAMORI_SASL_PASSWORD_FILE: SASL_SSL needs it, or MIMAMORI_SASL_PASSWORD",
        ),
        ({"SASL_PASSWORD": PASSWORD}, "MIMAMORI_SASL_PASSWORD: MIMAMORI_SECURITY_PROTOCOL=PLAINTEXT uses no SASL"),
        ({"SECURITY_PROTOCOL": "SSL", "SASL_MECHANISM": "PLAIN"}, "MIMAMORI_SASL_MECHANISM: "),
        ({"SSL_CAFILE": __file__}, "MIMAMORI_SSL_CAFILE: MIMAMORI_SECURITY_PROTOCOL=PLAINTEXT uses no TLS"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SSL_CERTFILE": __file__, **SASL}, "uses no TLS"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_PASSWORD_FILE": __file__, **SASL},
            "MIMAMORI_SASL_PASSWORD, MIMAMORI_SASL_PASSWORD_FILE: only one of the two can hold",
        ),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_KEYFILE": __file__}, "of no use without MIMAMORI_SSL_CERTFILE"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": "/nowhere.pem"}, "MIMAMORI_SSL_CAFILE: /nowhere.pem: no such file"),
        ({"SASL_PASSWORD": f"{PASSWORD}\n{PASSWORD}"}, "MIMAMORI_SASL_PASSWORD: must be one line"),
    ],
)
def test_refused(environment: dict[str, str], said: str) -> None:
    named = {name if name.startswith("MIMAMORI_") else f"MIMAMORI_{name}": raw for name, raw in environment.items()}
    assert said in problem(named)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"a\0b", b"\xff"])
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    environment = {
        "MIMAMORI_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "MIMAMORI_SASL_USERNAME": "worker",
        "MIMAMORI_SASL_PASSWORD_FILE": str(file),
    }
    assert problem(environment).startswith(f"MIMAMORI_SASL_PASSWORD_FILE: {file}: ")


@pytest.mark.parametrize(
    ("content", "secret"), [(b"a b ", "a b "), (b"ab\n", "ab"), (b"ab\r\n", "ab"), (b"\xc3\xa4", "ä")]
)
def test_a_secret_loses_the_line_end_and_nothing_else(tmp_path: Path, content: bytes, secret: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    settings = Settings(security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password_file=file)
    assert security.of(settings).password == secret


def test_no_secret_in_any_repr(files: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings(
        security_protocol="SASL_SSL",
        sasl_username="worker",
        sasl_password=PASSWORD,
        ssl_certfile=Path(files["client.pem"]),
        ssl_keyfile=Path(files["client.key.encrypted"]),
        ssl_key_password_file=Path(files["key-password"]),
        database_url=f"postgresql://u:{PASSWORD}@db/x",
        datadir=tmp_path,
    )
    way = security.of(settings)
    assert (way.password, way.key_password) == (PASSWORD, KEY_PASSWORD)
    app, _ = build(settings, load_topics(), Ledger())
    shown = f"{settings!r} {way!r} {app!r} {app.conf!r} {app.conf.broker_credentials!r} {caplog.text}"
    assert PASSWORD not in shown
    assert KEY_PASSWORD not in shown
    assert {field.name for field in dataclasses.fields(Security) if not field.repr} == {"password", "key_password"}


# -- what the clients get ---------------------------------------------------------------------------------------------


def ways(files: Certificates) -> dict[str, Security]:
    ca = Path(files["ca.pem"])
    who: dict[str, Any] = {"mechanism": "SCRAM-SHA-256", "username": "worker", "password": PASSWORD}
    return {
        "PLAINTEXT": PLAINTEXT,
        "SSL": Security("SSL", cafile=ca),
        "SASL_PLAINTEXT": Security("SASL_PLAINTEXT", **who),
        "SASL_SSL": Security("SASL_SSL", **who, cafile=ca),
    }


@pytest.mark.parametrize("protocol", security.PROTOCOLS)
def test_faust_tells_aiokafka_what_we_would_tell_it(files: Certificates, protocol: str) -> None:
    way = ways(files)[protocol]
    ours, fausts = way.aiokafka(), dict(credentials_to_aiokafka_auth(credentials(way), None))
    contexts = [given.pop("ssl_context", None) for given in (ours, fausts)]
    assert ours == fausts
    assert ours["security_protocol"] == protocol
    assert [type(context) for context in contexts] == [ssl.SSLContext if way.tls else type(None)] * 2


@pytest.mark.parametrize("protocol", security.PROTOCOLS)
def test_the_app_gives_the_same_to_consumer_and_producer(files: Certificates, protocol: str, tmp_path: Path) -> None:
    way = ways(files)[protocol]
    settings = Settings(
        datadir=tmp_path,
        security_protocol=protocol,
        sasl_mechanism=way.mechanism,
        sasl_username=way.username,
        sasl_password=way.password,
        ssl_cafile=way.cafile,
    )
    app, _ = build(settings, load_topics(), Ledger())
    given: Any = app.conf.broker_credentials
    if protocol == "PLAINTEXT":
        assert given is None
    else:
        assert isinstance(given, faust.SASLCredentials if way.sasl else faust.SSLCredentials)
        assert given.protocol.value == protocol
    assert app.producer.credentials is given
    assert app.producer._settings_auth()["security_protocol"] == protocol


def test_the_broker_and_its_name_are_always_checked(files: Certificates) -> None:
    for way in ways(files).values():
        context = way.ssl_context()
        if context is not None:
            assert context.check_hostname
            assert context.verify_mode is ssl.CERT_REQUIRED
        assert not {"enable.ssl.certificate.verification", "ssl.endpoint.identification.algorithm"} & set(
            way.librdkafka()
        )


def test_librdkafka_gets_the_key_from_the_certificates_file_where_no_other_is_named(files: Certificates) -> None:
    both = Path(files["broker.both.pem"])
    given = Security("SSL", certfile=both).librdkafka()
    assert (given["ssl.certificate.location"], given["ssl.key.location"]) == (str(both), str(both))
    assert "ssl.key.password" not in given


def test_certificates_that_cannot_be_used_are_named(files: Certificates) -> None:
    def says(*said: str, **more: Any) -> None:
        paths: dict[str, Any] = {name: Path(files[file]) for name, file in more.items()}
        with pytest.raises(SettingsError) as raised:
            Security("SSL", **paths).ssl_context()
        for part in said:
            assert part in str(raised.value)

    says("MIMAMORI_SSL_CAFILE", files["password"], "holds no certificate", cafile="password")
    says("MIMAMORI_SSL_CERTFILE", files["client.key"], certfile="client.key")
    says("not that of the certificate", certfile="client.pem", keyfile="broker.key")
    # And does not ask for the password on the terminal:
    says("MIMAMORI_SSL_KEY_PASSWORD_FILE", certfile="client.pem", keyfile="client.key.encrypted")

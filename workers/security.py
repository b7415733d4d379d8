"""How a process proves to Kafka who it is, and how the two are kept from being listened to: TLS and SASL.

Turns settings into what each client library takes. It opens no connection and reads files only when asked for them:
the password's, the key password's, and the certificates. No message and no repr of anything here holds a secret.
"""

import ssl
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workers.errors import SettingsError

if TYPE_CHECKING:
    from workers.settings import Settings

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_SASL: Final = ("sasl_mechanism", "sasl_username", "sasl_password", "sasl_password_file")
_TLS: Final = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password_file")


@dataclass(frozen=True, slots=True)
class Security:
    """One way to connect. `password` and `key_password` are secrets and stay out of the repr."""

    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cafile: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    key_password: str | None = field(default=None, repr=False)

    @property
    def sasl(self) -> bool:
        """Whether a name and a password are shown."""
        return self.protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        """Whether the wire is encrypted and the broker proves who it is."""
        return self.protocol.endswith("SSL")

    @property
    def who(self) -> str:
        """As messages name this side."""
        if self.sasl:
            return f"user {self.username}"
        return "this certificate's user" if self.certfile else "an anonymous user"

    def ssl_context(self) -> ssl.SSLContext | None:
        """Checks the broker's certificate and its host name, always; SettingsError names the file at fault."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.cafile)
        except OSError as error:  # an ssl.SSLError is one
            raise SettingsError(f"MIMAMORI_SSL_CAFILE: {self.cafile}: {_why(error)}") from None
        if self.certfile is not None:
            try:
                # Never None: OpenSSL would ask for the password of an encrypted key on the terminal, and wait.
                context.load_cert_chain(self.certfile, self.keyfile, password=self.key_password or "")
            except OSError as error:
                files = " and ".join(str(path) for path in (self.certfile, self.keyfile) if path)
                raise SettingsError(f"MIMAMORI_SSL_CERTFILE: {files}: {_why(error)}") from None
        return context

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments of aiokafka's clients."""
        given: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.ssl_context()}
        if self.sasl:
            given |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return given

    def librdkafka(self) -> dict[str, str]:
        """Configuration of confluent-kafka's clients."""
        given: dict[str, str | None] = {"security.protocol": self.protocol}
        if self.sasl:
            given |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password,
            }
        if self.tls:
            key = self.keyfile or self.certfile
            given |= {
                "ssl.ca.location": str(self.cafile) if self.cafile else None,
                "ssl.certificate.location": str(self.certfile) if self.certfile else None,
                "ssl.key.location": str(key) if key else None,
                "ssl.key.password": self.key_password,
            }
        return {name: value for name, value in given.items() if value is not None}


PLAINTEXT: Final = Security()


def of(settings: "Settings") -> Security:
    """The way to connect that the settings ask for; SettingsError where a secret's file cannot be read."""
    password = settings.sasl_password
    if settings.sasl_password_file is not None:
        password = _secret("MIMAMORI_SASL_PASSWORD_FILE", settings.sasl_password_file)
    key_password = None
    if settings.ssl_key_password_file is not None:
        key_password = _secret("MIMAMORI_SSL_KEY_PASSWORD_FILE", settings.ssl_key_password_file)
    return Security(
        protocol=settings.security_protocol,
        mechanism=settings.sasl_mechanism,
        username=settings.sasl_username,
        password=password,
        cafile=settings.ssl_cafile,
        certfile=settings.ssl_certfile,
        keyfile=settings.ssl_keyfile,
        key_password=key_password,
    )


def contradictions(protocol: str, given: Collection[str]) -> Iterator[str]:
    """What no single setting can tell; `given` are the fields that the environment sets."""

    def names(fields: Collection[str]) -> str:
        return ", ".join(f"MIMAMORI_{name.upper()}" for name in fields)

    sasl, tls = protocol.startswith("SASL_"), protocol.endswith("SSL")
    for wanted, fields, what in ((sasl, _SASL, "SASL"), (tls, _TLS, "TLS")):
        unused = [name for name in fields if name in given]
        if unused and not wanted:
            # Whoever set these believes that the connection is protected.
            yield f"{names(unused)}: MIMAMORI_SECURITY_PROTOCOL={protocol} uses no {what}"
    if sasl and "sasl_username" not in given:
        yield f"{names(['sasl_username'])}: {protocol} needs it"
    passwords = [name for name in ("sasl_password", "sasl_password_file") if name in given]
    if sasl and not passwords:
        yield f"{names(['sasl_password_file'])}: {protocol} needs it, or {names(['sasl_password'])}"
    if len(passwords) > 1:
        yield f"{names(passwords)}: only one of the two can hold"
    if "ssl_certfile" not in given:
        alone = [name for name in ("ssl_keyfile", "ssl_key_password_file") if name in given]
        if alone:
            yield f"{names(alone)}: of no use without {names(['ssl_certfile'])}"


def _secret(name: str, path: Path) -> str:
    """A file's content without the line end that editors add."""
    try:
        secret = path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise SettingsError(f"{name}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: {path}: is not UTF-8 text") from None
    if not secret or "\n" in secret or "\0" in secret:
        raise SettingsError(f"{name}: {path}: must hold one line, the secret")
    return secret


def _why(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or type(error).__name__
    known = {
        "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
        "NO_CERTIFICATE_OR_CRL_FOUND": "holds no certificate in PEM",
    }
    reason = error.reason or ""
    return known.get(reason, "not readable as PEM, or the key's password is wrong (MIMAMORI_SSL_KEY_PASSWORD_FILE)")

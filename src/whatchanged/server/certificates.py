"""The server's own certificate authority, and the certificate it serves with.

The authority lives ten years: its SHA-256 is pinned by every machine that enrolled. The server's certificate is
short-lived and made anew when a third of its life is left or when the server gets other names.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from whatchanged.errors import SettingsError, StateError
from whatchanged.server.control.tokens import private_file

__all__ = ["Authority", "TlsFiles", "server_context"]

_AUTHORITY_DAYS = 3650
_SERVER_DAYS = 90
_RENEW_DAYS = 30
# Clocks of machines run behind: a certificate begins before it is made.
_BACKDATED = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate chain and its key, in PEM."""

    certificate: str
    key: str


class Authority:
    """The authority below `<data>/server/tls`."""

    def __init__(self, folder: str) -> None:
        """Open the authority, or make it."""
        self._folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)
        key_path, path = os.path.join(folder, "ca.key"), os.path.join(folder, "ca.pem")
        if os.path.exists(path) and not os.path.exists(key_path):
            raise StateError(f"{key_path} is missing", hint="restore it from a backup; machines pinned its certificate")
        self._key = _load_key(private_file(key_path, _pem_of(ec.generate_private_key(ec.SECP256R1()))))
        self.pem = private_file(path, _authority(self._key).public_bytes(serialization.Encoding.PEM))
        self._certificate = x509.load_pem_x509_certificate(self.pem)
        if self._certificate.public_key() != self._key.public_key():
            raise StateError(f"{path} and {key_path} do not belong together", hint="restore both from a backup")

    @property
    def digest(self) -> str:
        """SHA-256 of the certificate in DER, hex: what enrolment tokens pin."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def server_files(self, hosts: Sequence[str]) -> TlsFiles:
        """Return a certificate for `hosts` (names and addresses), made anew when it is time."""
        files = TlsFiles(os.path.join(self._folder, "server.pem"), os.path.join(self._folder, "server.key"))
        if not self._current(files, hosts):
            self._issue(files, hosts)
        return files

    def _current(self, files: TlsFiles, hosts: Sequence[str]) -> bool:
        try:
            with open(files.certificate, "rb") as stream:
                certificate = x509.load_pem_x509_certificate(stream.read())
            with open(files.key, "rb") as stream:
                key = _load_key(stream.read())
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            certificate.verify_directly_issued_by(self._certificate)
        except (FileNotFoundError, ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
            return False
        if certificate.public_key() != key.public_key():
            return False  # the server was killed between writing the one and the other
        left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        return left > datetime.timedelta(days=_RENEW_DAYS) and set(names) == set(_names(hosts))

    def _issue(self, files: TlsFiles, hosts: Sequence[str]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatchanged server")]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + datetime.timedelta(days=_SERVER_DAYS))
            .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _replace(files.key, _pem_of(key))
        _replace(files.certificate, certificate.public_bytes(serialization.Encoding.PEM) + self.pem)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the TLS settings of the server; raises SettingsError if the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"cannot use the certificate {files.certificate} with {files.key}: {error}") from error
    return context


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"whatchanged certificate authority {secrets.token_hex(4)}")]
    )
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=_AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(_dns_name(host))
    return names


def _dns_name(host: str) -> x509.DNSName:
    try:
        return x509.DNSName(host.encode("idna").decode())
    except (UnicodeError, ValueError) as error:
        raise SettingsError(f"{host!r} is no host name") from error


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateError("ca.key is not a key of ours", hint="restore it from a backup")
    return key


def _replace(path: str, content: bytes) -> None:
    draft = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, path)

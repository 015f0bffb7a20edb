"""Who signs: a certificate of the user's and its key, whatever holds it; or this machine's own identity.

A key is read and used in this process only; the process that writes credentials asks for signatures. What
holds a key that cannot be read, such as a hardware security module, is an `Identity` whose ``sign`` asks it.
"""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import ConfigurationError, unreadable
from .configuration import configuration_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

# As C2PA names them (specification 2.2, 13.2).
Algorithm = Literal["es256", "es384", "es512", "ps256", "ed25519"]

# The organisation in the certificates of every local identity: by it readers tell it from a real one.
SELF_SIGNED = "Crossface local identity (self-signed)"
_LOCAL_NAME = "identity.pem"


@dataclass(frozen=True)
class Identity:
    """Who signs, and how.

    Attributes:
        certificates: the signer's and those that vouch for it, in that order, as PEM; the root may be left
            out.
        algorithm: of the signature.
        sign: gives the signature over some bytes: of ``es*`` as DER, else as it is.
        name: for people.
    """

    certificates: str
    algorithm: Algorithm
    sign: Callable[[bytes], bytes]
    name: str


def identity_of_files(certificate: Path, key: Path) -> Identity:
    """A user's certificate and its key, as PEM.

    Args:
        certificate: the signer's, and after it those that vouch for it.
        key: not encrypted, and closed to all but its owner.

    Raises:
        InputMissingError: a file is not there, or not readable.
        ConfigurationError: the key is open to others, is no key that C2PA knows, or belongs to another
            certificate; or the extra ``sign`` is not installed.
    """
    _need_extra()
    return _identity(_read(certificate), _read_key(key), certificate, key)


def local_identity() -> Identity:
    """The identity of this user on this machine, made when it is first asked for.

    It vouches for nobody: it shows that a file has not been changed since, and that the same machine made it.

    Raises:
        OutputError: the configuration folder cannot be written.
        ConfigurationError: its file is damaged, has expired or is open to others; or the extra ``sign`` is
            not installed.
    """
    _need_extra()
    from .local_certificate import make_local_certificate  # needs the extra

    path = configuration_folder() / _LOCAL_NAME
    if not path.exists():
        make_local_certificate(path)
    content = _read_key(path)
    return _identity(content, content, path, path)


def _need_extra() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise extra_missing() from error


def extra_missing() -> ConfigurationError:
    """What to raise where what makes content credentials is not installed."""
    return ConfigurationError(
        'content credentials need the extra "sign": pip install "crossface[sign]"; '
        "to go without them, give a reason: --no-credentials REASON"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # Of the open file: the path may lead elsewhere a moment later.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ConfigurationError(
                    f"{path}: holds a private key, and is open to others (mode {mode:03o}): chmod 600 it, "
                    "and replace the key if somebody may have read it"
                )
            return file.read()
    except OSError as error:
        raise unreadable(path, error) from error


def _identity(certificates: bytes, key: bytes, certificate_path: Path, key_path: Path) -> Identity:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        chain = x509.load_pem_x509_certificates(certificates)
        leaf_key = chain[0].public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{certificate_path}: holds no certificate as PEM ({error})") from error
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{key_path}: holds no private key as PEM that is not encrypted ({error})"
        ) from error
    if private.public_key() != leaf_key:
        raise ConfigurationError(
            f"{key_path}: is not the key of {certificate_path}: the signer's certificate comes first there"
        )
    now = datetime.datetime.now(datetime.UTC)
    if not chain[0].not_valid_before_utc <= now <= chain[0].not_valid_after_utc:
        raise ConfigurationError(
            f"{certificate_path}: holds from {chain[0].not_valid_before_utc:%Y-%m-%d} to "
            f"{chain[0].not_valid_after_utc:%Y-%m-%d} only: get another one; delete it if it is {_LOCAL_NAME}"
        )
    algorithm, sign = _signing(private, key_path)
    return Identity(_pem(chain), algorithm, sign, _name_of(chain[0]))


def _signing(key: PrivateKeyTypes, path: Path) -> tuple[Algorithm, Callable[[bytes], bytes]]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519", key.sign
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        rsa_key, sha256 = key, hashes.SHA256()
        pss = padding.PSS(padding.MGF1(sha256), sha256.digest_size)
        return "ps256", lambda data: rsa_key.sign(data, pss, sha256)
    curves: dict[str, tuple[Algorithm, hashes.HashAlgorithm]] = {
        "secp256r1": ("es256", hashes.SHA256()),
        "secp384r1": ("es384", hashes.SHA384()),
        "secp521r1": ("es512", hashes.SHA512()),
    }
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        algorithm, digest = curves[key.curve.name]
        ec_key = key
        return algorithm, lambda data: ec_key.sign(data, ec.ECDSA(digest))
    raise ConfigurationError(
        f"{path}: is no key that C2PA knows: use P-256, P-384, P-521, Ed25519, or RSA of 2048 bits and more"
    )


def _name_of(certificate: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in certificate.subject.get_attributes_for_oid(kind):
            return str(attribute.value)
    return str(certificate.subject.rfc4514_string())


def _pem(chain: list[Certificate]) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)

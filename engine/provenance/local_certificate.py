"""The key and certificates of this machine's own identity, made once."""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import OutputError
from .identity import SELF_SIGNED

_YEARS = 10


def make_local_certificate(path: Path) -> None:
    """Writes key and certificates in one file, so that no two processes mix theirs.

    A certificate that signs itself is not allowed in C2PA, so there is a root above it, whose key is
    forgotten at once. No host, user or place is named.

    Args:
        path: of the file; left as it is where another process makes one first.

    Raises:
        OutputError: it cannot be written.
    """
    key, root_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = _local_chain(key, root_key)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem += b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Closed to others from its first byte on.
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(number, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(number)
            # Another process may have been first, and its identity counts.
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
        finally:
            os.unlink(name)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be made ({error.strerror}): check the folder, or give --sign-cert and --sign-key"
        ) from error


def _local_chain(
    key: ec.EllipticCurvePrivateKey, root_key: ec.EllipticCurvePrivateKey
) -> list[x509.Certificate]:
    """The certificate of a local identity and the root above it."""
    now = datetime.datetime.now(datetime.UTC)
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())

    def named(common_name: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, SELF_SIGNED),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )

    def begun(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("root"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            # Clocks differ.
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        )

    root = (
        begun("root", root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(root_id, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    # What C2PA asks of a signer's certificate (specification 2.2, 14.5.1).
    leaf = (
        begun("signer", key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return [leaf, root]


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """Signs certificates, or anything else."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )

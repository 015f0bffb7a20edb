"""Signs what a conversion makes: films inside or beside, image sequences by a list of their hashes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, OutputError, UsageError
from ..part_file import PartFile
from ..sequence.name import SequenceName
from ..video.writing.output_file import Seal
from .c2pa_file import (
    EMBEDDING,
    CredentialsError,
    check_installed,
    mime_of,
    read_credentials,
    sidecar_of,
    write_credentials,
)
from .claim import Claim
from .identity import SELF_SIGNED, Identity, identity_of_files, local_identity
from .unhashed import manifest_box, unhashed_sha256

# To embed is to write the file once more; what is larger keeps its credentials beside it.
LARGEST_EMBEDDED_BYTES = 2 << 30
_LIST_VERSION = 1


@dataclass(frozen=True)
class Signing:
    """Who signs; or why nobody does. Without anything, the identity of this machine.

    Attributes:
        certificate: of the signer, as PEM, and after it those that vouch for it.
        key: that belongs to it, as PEM.
        identity: another signer, whose key nobody can read, for example.
        unsigned_because: leave credentials out, for this reason; it is told in the film and in the report.
            `convert` leaves the imperceptible mark out, too.
    """

    certificate: Path | None = None
    key: Path | None = None
    identity: Identity | None = None
    unsigned_because: str | None = None

    def signer(self) -> Signer:
        """Whoever signs, tried out.

        Raises:
            UsageError: half of an identity, or two, or no reason to sign nothing.
            ConfigurationError: what is given cannot sign, or the extra ``sign`` is not installed.
            InputMissingError, OutputError: the identity's files cannot be used.
        """
        if (self.certificate is None) != (self.key is None):
            raise UsageError("--sign-cert and --sign-key need each other")
        if self.unsigned_because is not None:
            if not self.unsigned_because.strip():
                raise UsageError("--no-credentials wants a reason, which is told in the film")
            # A certificate may come from the environment of all jobs.
            return Signer(None, self.unsigned_because.strip())
        check_installed()
        if self.certificate is not None and self.key is not None:
            if self.identity is not None:
                raise UsageError("an identity and files of another one: give one of them")
            return _tried(identity_of_files(self.certificate, self.key))
        return Signer(local_identity()) if self.identity is None else _tried(self.identity)


@dataclass(frozen=True)
class Signer:
    """Signs outputs.

    Attributes:
        identity: as whom; None where nothing is signed.
        unsigned_because: the reason for that.
    """

    identity: Identity | None
    unsigned_because: str | None = None

    def seal(self, output: Path, claim: Callable[[], Claim]) -> Seal:
        """What signs a film when it is whole, and before it has its name.

        Args:
            output: the film.
            claim: gives what is said of it, when it is whole.
        """

        def seal(written: Path, signed: Path) -> bool:
            embeds = output.suffix.lower() in EMBEDDING
            if self.identity is not None and embeds and written.stat().st_size <= LARGEST_EMBEDDED_BYTES:
                self._sign(written, output, claim(), target=signed)
                _forget(sidecar_of(output))
                return True
            if self.identity is not None:
                self._sign_beside(written, output, claim())
            else:
                _forget(sidecar_of(output))
            return False

        return seal

    def sign_sequence(self, name: SequenceName, pictures: Sequence[Path], claim: Claim) -> None:
        """Writes the list of the pictures' hashes, and its credentials beside it.

        Args:
            name: of the sequence.
            pictures: that were written.
            claim: what is said of them.

        Raises:
            OutputError: it cannot be signed, or not written; the pictures stay.
        """
        listed = hash_list_of(name)
        if self.identity is None:
            _forget(listed, sidecar_of(listed))
            return
        files = {picture.name: sha256_of(picture) for picture in sorted(pictures)}
        fields = {"crossface_sequence": _LIST_VERSION, "files": files}
        with PartFile(listed, overwrite=True) as part:
            part.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
            try:
                self._sign_beside(part, listed, claim)
            except CredentialsError as error:
                raise OutputError(
                    f"{name}: cannot be signed ({error}): the pictures are there, unsigned; "
                    "mend what is wrong and run the same command again with --overwrite"
                ) from error

    def told(self, output: Path) -> dict[str, Any]:
        """What a report says of the credentials of a finished film."""
        if self.identity is None:
            return {"credentials": "none", "reason": self.unsigned_because}
        return {
            "credentials": "in the file" if manifest_box(output) else sidecar_of(output).name,
            "signer": self.identity.name,
            "self_signed": self.identity.name == SELF_SIGNED,
        }

    def _sign_beside(self, written: Path, output: Path, claim: Claim) -> None:
        with PartFile(sidecar_of(output), overwrite=True) as part:
            self._sign(written, output, claim, sidecar=part)

    def _sign(self, written: Path, output: Path, claim: Claim, **where: Path) -> None:
        """Signs what will have the name ``output``."""
        assert self.identity is not None
        unhashed = unhashed_sha256(written) if output.suffix.lower() in EMBEDDING else None
        write_credentials(
            written,
            claim.manifest(unhashed),
            self.identity,
            mime=mime_of(output),
            ingredient=claim.ingredient(),
            **where,
        )


def hash_list_of(name: SequenceName) -> Path:
    """Where the hashes of a sequence's pictures are listed."""
    stem = name.before.rstrip("._- ") or "sequence"
    return name.folder / f"{stem}{name.after}.hashes.json"


def _forget(*beside: Path) -> None:
    """Removes what belonged to the output that is replaced: the new one would look changed by it."""
    for path in beside:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed ({error.strerror}): check the folder") from error


def sha256_of(path: Path) -> str:
    """Of a file that may be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tried(identity: Identity) -> Signer:
    """An identity that has signed something, which was found valid: before hours of work, not after them."""
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        file = Path(scratch) / "trial.json"
        file.write_text("{}", encoding="utf-8")
        claim = Claim(file, "0" * 64, (), 1, 0, 0)
        signer = Signer(identity)
        try:
            signer._sign_beside(file, file, claim)
            found = read_credentials(file, mime=mime_of(file), sidecar=sidecar_of(file))
        except CredentialsError as error:
            raise ConfigurationError(
                f"{identity.name}: cannot sign content credentials ({error}): C2PA wants a certificate for "
                "digital signatures with e-mail protection or document signing, which is no root itself"
            ) from error
    if found["state"] not in ("Valid", "Trusted"):
        raise ConfigurationError(
            f"{identity.name}: signs what nobody will take for valid: check certificate and key"
        )
    return signer

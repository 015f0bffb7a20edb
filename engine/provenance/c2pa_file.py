"""Content credentials of files, written and read by a process of their own."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, CrossfaceError
from ..interpreter import interpreter
from .identity import Identity, extra_missing

_MIMES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".json": "application/json",
}
# Of these a manifest can be a part; of all others it lies beside the file.
EMBEDDING = (".mp4", ".mov", ".m4v")
# c2pa hashes in blocks of 256 MB, of which it holds two: 0.6 GB are the most that was seen.
_MEMORY_BYTES = 4 << 30


class CredentialsError(CrossfaceError):
    """Credentials could not be written, or what is there could not be read.

    Attributes:
        kind: c2pa's name of the reason; empty where the process itself failed.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Ingredient:
    """What a file was made from.

    Attributes:
        fields: of the manifest, as C2PA names them.
        path: of the file; None where there is no single one.
    """

    fields: Mapping[str, Any]
    path: Path | None


def mime_of(path: Path) -> str:
    """By its suffix; c2pa hashes what it does not know byte for byte."""
    return _MIMES.get(path.suffix.lower(), "application/octet-stream")


def sidecar_of(path: Path) -> Path:
    """Where the credentials of a file lie that cannot hold them."""
    return path.with_name(f"{path.name}.c2pa")


def found_sidecar(path: Path) -> Path | None:
    """The sidecar of a file: ours, or named as other tools name theirs."""
    candidates = (sidecar_of(path), path.with_suffix(".c2pa"))
    return next((each for each in candidates if each != path and each.is_file()), None)


def write_credentials(
    source: Path,
    manifest: Mapping[str, Any],
    identity: Identity,
    *,
    mime: str,
    target: Path | None = None,
    sidecar: Path | None = None,
    ingredient: Ingredient | None = None,
) -> None:
    """Signs a file: a copy that holds its manifest, or a sidecar.

    Args:
        source: the file; it stays as it is.
        manifest: what is said of it, as C2PA names it.
        identity: who signs.
        mime: of the file.
        target: the copy to write.
        sidecar: the sidecar to write instead.
        ingredient: what it was made from.

    Raises:
        CredentialsError: it cannot be signed.
        ConfigurationError: the extra ``sign`` is not installed.
    """
    made_from = None
    if ingredient is not None:
        path = ingredient.path
        beside = None if path is None else found_sidecar(path)
        made_from = {
            "fields": dict(ingredient.fields),
            "path": None if path is None else str(path),
            "mime": None if path is None else mime_of(path),
            "sidecar": None if beside is None else str(beside),
        }
    order = {
        "do": "sign",
        "source": str(source),
        "mime": mime,
        "target": None if target is None else str(target),
        "sidecar": None if sidecar is None else str(sidecar),
        "manifest": dict(manifest),
        "ingredient": made_from,
        "certificates": identity.certificates,
        "algorithm": identity.algorithm,
    }
    _done(order, identity)


def read_credentials(
    file: Path, *, mime: str, sidecar: Path | None = None, anchors: str | None = None
) -> dict[str, Any]:
    """Checks a file's credentials.

    Args:
        file: to check.
        mime: of it.
        sidecar: with its manifest, where that is not inside.
        anchors: PEM of the roots to trust.

    Returns:
        ``state`` and ``found`` (the manifest store and its validation), as c2pa says them.

    Raises:
        CredentialsError: it has none, or they cannot be read.
        ConfigurationError: the extra ``sign`` is not installed.
    """
    return _done(
        {
            "do": "read",
            "file": str(file),
            "mime": mime,
            "sidecar": None if sidecar is None else str(sidecar),
            "anchors": anchors,
        }
    )


def check_installed() -> None:
    """Raises ConfigurationError where the extra ``sign`` is not installed."""
    if importlib.util.find_spec("c2pa") is None or importlib.util.find_spec("cryptography") is None:
        raise extra_missing()


def _done(order: dict[str, Any], identity: Identity | None = None) -> dict[str, Any]:
    """Lets the process do it; what signatures it asks for, ``identity`` gives."""
    check_installed()
    order |= {"path": sys.path, "memory_bytes": _MEMORY_BYTES}
    with _process() as process:
        assert process.stdin is not None and process.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            _send(process, order)
            for line in process.stdout:
                answer = json.loads(line)
                if "to_sign" not in answer:
                    break
                assert identity is not None
                signature = _signature(identity, base64.b64decode(answer["to_sign"]))
                _send(process, {"signature": base64.b64encode(signature).decode()})
                line = b""
            process.stdin.close()
        code = process.wait()
    if not line:
        raise CredentialsError(f"the process for it ended without an answer (exit code {code})")
    if "error" in answer:
        raise CredentialsError(answer["error"], answer["kind"])
    done: dict[str, Any] = answer
    return done


def _signature(identity: Identity, data: bytes) -> bytes:
    try:
        return identity.sign(data)
    except Exception as error:  # whatever holds the key: its driver, a network, a card
        raise CredentialsError(f"{identity.name} gives no signature: {error}") from error


@contextlib.contextmanager
def _process() -> Iterator[subprocess.Popen[bytes]]:
    python = interpreter()
    if python is None:
        raise ConfigurationError(
            "content credentials are written by a process of Python, and there is no interpreter to start: "
            "use an installed Python"
        )
    script = Path(__file__).with_name("c2pa_process.py")
    with subprocess.Popen(
        # -I and -S: sys.path comes along, and nothing else is imported.
        [python, "-I", "-S", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RUST_LOG": "off"},
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _send(process: subprocess.Popen[bytes], fields: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(fields).encode() + b"\n")
    process.stdin.flush()

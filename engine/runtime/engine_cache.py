"""Engines that were built once, kept for the next time: by what they were built from, on what, and how.

It knows nothing of what builds them. An engine is read only if it is whole and was built for the very key;
all else is built again. Two processes that want one engine build it once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import BusyError, ConfigurationError, CrossfaceError
from ..part_file import PartFile

FOLDER_VARIABLE = "CROSSFACE_ENGINE_CACHE"
_FORMAT = 1
_MOST_HEADER_BYTES = 1 << 16
_WAIT_S = 0.5


@dataclass(frozen=True)
class EngineKey:
    """All that decides whether an engine fits; another value anywhere is another engine.

    Attributes:
        onnx_sha256: of the model's file.
        runtime: name and version of what builds and runs it.
        gpu: the card's name.
        compute_capability: such as ``9.0``.
        precision: of its input, such as ``float16``.
        shapes: of its input, in words.
        builder: version and settings of our code that builds it.
    """

    onnx_sha256: str
    runtime: str
    gpu: str
    compute_capability: str
    precision: str
    shapes: str
    builder: str

    @property
    def file_name(self) -> str:
        return _file_name(asdict(self), "engine")

    @property
    def timing(self) -> dict[str, str]:
        """What measurements of a builder hold for, whatever it builds."""
        return {name: getattr(self, name) for name in ("runtime", "gpu", "compute_capability")}


@dataclass(frozen=True)
class Engine:
    """An engine's bytes, and their sha256, by which a plan knows it."""

    content: bytes
    sha256: str

    @staticmethod
    def of(content: bytes) -> Engine:
        return Engine(content, hashlib.sha256(content).hexdigest())


class EngineCache:
    """A folder of engines.

    Args:
        folder: None for what ``CROSSFACE_ENGINE_CACHE`` names, which several machines may share, or else the
            user's own cache. Whoever may write there decides what runs on the GPU.
        tell: is told, in a line each, of waits and of what is not as it should be.
    """

    def __init__(self, folder: Path | None = None, *, tell: Callable[[str], None]) -> None:
        self.folder = folder or default_folder()
        # An engine is code, though for the GPU. Who names a folder decides by its umask who may write there.
        self._folder_mode = 0o777 if folder or os.environ.get(FOLDER_VARIABLE) else 0o700
        self._tell = tell

    def path(self, key: EngineKey) -> Path:
        return self.folder / key.file_name

    def get(
        self,
        key: EngineKey,
        build: Callable[[], bytes],
        *,
        pinned: str | None = None,
        refused: str | None = None,
    ) -> Engine:
        """The engine for a key, built where there is none yet.

        What cannot be read now, but may well be whole, is not replaced: running plans may have it pinned.

        Args:
            key: what it must have been built for.
            build: makes the engine, which may take minutes; what it raises goes through.
            pinned: sha256 of the only engine that will do, as a plan names it: none is built then.
            refused: sha256 of one that will not do though it is whole: another takes its place.

        Raises:
            ConfigurationError: the pinned engine is not here.
        """
        path, wanted = self.path(key), asdict(key)
        if pinned is not None:
            return _pinned(path, wanted, pinned)
        try:
            engine = _read(path, wanted)
            if engine.sha256 != refused:
                return engine
        except FileNotFoundError:
            pass
        except ValueError as error:
            self._tell(f"{path}: {error}: it is built again")
        except OSError as error:
            return self._built_for_now(path, error, build)
        part = self._claimed(path)
        if part is None:
            return Engine.of(build())
        try:
            # Whoever had the claim before may have built it. A client of NFS may not know, unless it looks.
            with contextlib.suppress(OSError):
                os.listdir(path.parent)
            try:
                engine = _read(path, wanted)
                if engine.sha256 != refused:
                    return engine
            except (FileNotFoundError, ValueError):
                pass
            except OSError as error:
                return self._built_for_now(path, error, build)
            engine = Engine.of(build())
            self._write(part, wanted, engine)
            return engine
        finally:
            part.discard()

    def timings(self, key: EngineKey) -> bytes:
        """What a builder measured for such a runtime and card; empty where there is nothing whole."""
        try:
            return _read(self._timings_path(key), key.timing).content
        except (OSError, ValueError):
            return b""

    def keep_timings(self, key: EngineKey, content: bytes) -> None:
        """Keeps them if it can: they only make the next build quicker."""
        part = self._claimed(self._timings_path(key))
        if part is not None:
            self._write(part, key.timing, Engine.of(content))

    def _timings_path(self, key: EngineKey) -> Path:
        return self.folder / _file_name(key.timing, "timings")

    def _built_for_now(self, path: Path, error: OSError, build: Callable[[], bytes]) -> Engine:
        self._tell(f"{path}: cannot be read ({_reason(error)}): one is built that is not kept")
        return Engine.of(build())

    def _claimed(self, path: Path) -> PartFile | None:
        """The part of a file, once no other process has it; None where nothing can be kept."""
        waiting = False
        while True:
            try:
                path.parent.mkdir(mode=self._folder_mode, parents=True, exist_ok=True)
                return PartFile(path, overwrite=True)
            except BusyError:
                if not waiting:
                    self._tell(f"{path}: another process builds it: waiting")
                waiting = True
                time.sleep(_WAIT_S)
            except (OSError, CrossfaceError) as error:
                self._tell_lost(path, error)
                return None

    def _write(self, part: PartFile, wanted: Mapping[str, str], engine: Engine) -> None:
        header = {"crossface_engine": _FORMAT, "sha256": engine.sha256, "for": dict(wanted)}
        try:
            with part as path, path.open("wb") as file:
                file.write(json.dumps(header, sort_keys=True).encode() + b"\n")
                file.write(engine.content)
        except CrossfaceError as error:
            self._tell_lost(part.target, error)

    def _tell_lost(self, path: Path, error: Exception) -> None:
        reason = str(error) if isinstance(error, CrossfaceError) else f"{path}: {_reason(error)}"
        self._tell(f"{reason}; it is used now, and built anew the next time")


def default_folder() -> Path:
    """``CROSSFACE_ENGINE_CACHE``, or ``crossface/engines`` in the user's cache."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of these folders says that others than absolute ones do not count.
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return base / "crossface" / "engines"


def _file_name(fields: Mapping[str, str], suffix: str) -> str:
    text = json.dumps(dict(fields), sort_keys=True)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.{suffix}"


def _pinned(path: Path, wanted: Mapping[str, str], pinned: str) -> Engine:
    advice = f"copy the engine from the machine that planned, or share its folder by {FOLDER_VARIABLE}"
    try:
        engine = _read(path, wanted)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: is not the engine {pinned} of the plan ({_reason(error)}): {advice}"
        ) from error
    if engine.sha256 != pinned:
        raise ConfigurationError(f"{path}: is the engine {engine.sha256}, the plan has {pinned}: {advice}")
    return engine


def _read(path: Path, wanted: Mapping[str, str]) -> Engine:
    """Raises OSError, or ValueError where the file is not whole, not ours or for something else."""
    with path.open("rb") as file:
        line = file.readline(_MOST_HEADER_BYTES)
        content = file.read()
    try:
        header = json.loads(line)
        made_for, sha256, version = header["for"], header["sha256"], header["crossface_engine"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is not an engine of Crossface") from error
    if version != _FORMAT or made_for != dict(wanted):
        raise ValueError("it was built for something else")
    engine = Engine.of(content)
    if engine.sha256 != sha256:
        raise ValueError("it is damaged")
    return engine


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)

"""Where the stages of a conversion run."""

from __future__ import annotations

from pathlib import Path

from ..clip import Clip, ReadingSettings
from ..events import Routed
from ..on_device.place import Place
from ..video.writing.codecs import Encoding

_ON_DEVICE_ENCODERS = "_nvenc"


def open_clip(path: Path, reading: ReadingSettings, place: Place | None) -> Clip:
    """A clip, decoded at a place where that can be.

    Raises:
        CrossfaceError: as `Clip`.
    """
    return Clip(path, reading)


def encodes_on_device(encoding: Encoding) -> bool:
    """Whether an encoder takes frames where a GPU has them."""
    return encoding.encoder.endswith(_ON_DEVICE_ENCODERS)


def route(clip: Clip, place: Place | None, encoding: Encoding) -> Routed:
    """Of an open clip."""
    networks = "cpu" if place is None else f"{place.name}, {place.networks}"
    return Routed(decoded_on(clip), networks, encoding.encoder)


def decoded_on(clip: Clip) -> str:
    """Device and decoder; or why the CPU."""
    return "cpu"

"""Where the stages of a conversion run."""

from __future__ import annotations

from ..clip import Clip
from ..events import Routed
from ..on_device.nvdec import HardwareDecoder
from ..on_device.place import Place
from ..video.writing.codecs import Encoding
from ..video.writing.encoder import takes_device_frames


def decoder_of(place: Place | None) -> HardwareDecoder | None:
    """For clips."""
    return None if place is None else place.decoder()


def encoding_device(clip: Clip, encoding: Encoding) -> HardwareDecoder | None:
    """Where an encoder takes a clip's frames as its decoder gave them; None for the host's memory."""
    return clip.hardware if takes_device_frames(encoding, clip.source) else None


def route(clip: Clip, place: Place | None, encoding: Encoding) -> Routed:
    """Of an open clip."""
    networks = "cpu" if place is None else f"{place.name}, {place.networks}"
    return Routed(clip.decoded_on, networks, encoding.encoder)

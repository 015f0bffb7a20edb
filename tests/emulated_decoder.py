"""A decoder whose device is this CPU: it gives pictures as libav's decoder on a GPU does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from crossface.engine.on_device.nvdec import FORMATS
from crossface.engine.video.planes import PIXEL_LAYOUTS, planes_of
from crossface.engine.video.reading.graph import copied


class EmulatedPicture:
    """A frame of format ``cuda``: whoever reads its samples as the host's is refused, as by PyAV."""

    def __init__(self, held: av.VideoFrame) -> None:
        self.held = held
        self.format = VideoFormat("cuda")
        self.sw_format = held.format

    @property
    def planes(self) -> tuple[Any, ...]:
        return tuple(_EmulatedPlane(plane) for plane in self.held.planes)

    def make_writable(self) -> None:
        self.held.make_writable()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.held, name)


class _EmulatedPlane:
    def __init__(self, plane: Any) -> None:
        self.buffer_ptr, self.line_size = plane.buffer_ptr, plane.line_size


class EmulatedDecoder:
    """A `HardwareDecoder`, of a film that libav then decodes as usual.

    Args:
        change: of each picture before it is given, by its number, to play a decoder that errs.
        refuses: it leaves everything to the CPU, as libav's fallback does.
        gives_up_at: it does so from this picture on.

    Attributes:
        opened: files so far.
        refused: as of `HardwareDecoder`.
    """

    name = "emulated:0 (decoder)"
    hwaccel = None

    def __init__(
        self,
        change: Callable[[av.VideoFrame, int], av.VideoFrame] = lambda picture, number: picture,
        *,
        refuses: bool = False,
        gives_up_at: int | None = None,
    ) -> None:
        self.opened = 0
        self.refused: dict[Path, str] = {}
        self._change = change
        self._gives_up_at = 0 if refuses else gives_up_at
        self._attached: set[int] = set()

    @contextmanager
    def attached(self) -> Iterator[None]:
        self._attached.add(threading.get_ident())
        yield
        self._attached.discard(threading.get_ident())

    def context(self, stream: VideoStream) -> Any:
        assert threading.get_ident() in self._attached
        self.opened += 1
        return _EmulatedContext(stream.codec_context, self._change, self._gives_up_at)

    def downloaded(self, picture: Any) -> av.VideoFrame:
        return on_host(picture.held, picture.held.format.name)


class _EmulatedContext:
    def __init__(
        self, decoder: Any, change: Callable[[av.VideoFrame, int], av.VideoFrame], gives_up_at: int | None
    ) -> None:
        # All else is set on libav's decoder.
        self.__dict__.update(_own=decoder, _change=change, _gives_up_at=gives_up_at, _count=0)

    def decode(self, packet: Packet[Any]) -> list[Any]:
        given: list[Any] = []
        for picture in self._own.decode(packet):
            number = self._count
            self.__dict__["_count"] += 1
            if self._gives_up_at is not None and number >= self._gives_up_at:
                given.append(picture)
            else:
                held = on_host(picture, FORMATS[picture.format.name])
                given.append(EmulatedPicture(self._change(held, number)))
        return given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._own, name, value)


def on_host(picture: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
    """The same samples and everything else, in another layout, in memory of their own."""
    if picture.format.name == pix_fmt:
        return copied(picture)
    # libav's scaler carries over what comes with a picture.
    copy = picture.reformat(format=pix_fmt)
    padding = PIXEL_LAYOUTS[pix_fmt].padding_bits - PIXEL_LAYOUTS[picture.format.name].padding_bits
    for target, source in zip(planes_of(copy), planes_of(picture), strict=True):
        np.copyto(target, source << padding if padding else source)
    copy.pts, copy.time_base, copy.duration = picture.pts, picture.time_base, picture.duration
    return copy

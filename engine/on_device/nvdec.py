"""The decoder of a GPU: libav's own, whose frames stay in the device's memory.

Never executed on a GPU. `Reader` is written against `HardwareDecoder`, for which the tests have another one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

import av
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..frame import ColourDescription
from ..video.scaler import scaled
from .memory import DeviceFrame

# What its frames look like in memory, by what the same film looks like on the CPU. Others stay there.
FORMATS = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
# Codecs whose standards leave no choice to a decoder: each gives the very samples that the CPU's gives.
EXACT_CODECS = ("h264", "hevc", "vp9", "av1")
# libav takes another decoder first for these, one that knows no device.
_OWN_DECODERS = {"av1": "av1"}


class VideoDevice(Protocol):
    """A device as libav's decoders and encoders know it."""

    @property
    def hwaccel(self) -> HWAccel | None:
        """For `av.open` and `add_stream`."""
        ...

    def attached(self) -> AbstractContextManager[object]:
        """For the thread that opens a file: the device's context is current meanwhile."""
        ...


class HardwareDecoder(VideoDevice, Protocol):
    """Decodes on a device, for any number of readers; see `Nvdec`.

    Attributes:
        refused: films that are not decoded there, and why. libav says that aloud, and who reads another film
            meanwhile cannot tell whose it is: so it is tried once, and not for each segment.
    """

    refused: dict[Path, str]

    @property
    def name(self) -> str:
        """For reports, such as ``cuda:0 (nvdec)``."""
        ...

    def context(self, stream: VideoStream) -> VideoCodecContext:
        """The decoder of a stream of a file that was opened with ``hwaccel``."""
        ...

    def downloaded(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A copy in the host's memory, with all that comes with a picture."""
        ...


class Nvdec:
    """A GPU's decoder.

    Frames wait for nobody: libav decodes on the default stream, which the blocking streams of lanes wait
    for by themselves.

    Args:
        index: of the device, as CUDA counts in this process.
        attached: makes its primary context current on a thread.

    Attributes:
        refused: see `HardwareDecoder`.
    """

    def __init__(self, index: int, attached: Callable[[], AbstractContextManager[object]]) -> None:
        self.name = f"cuda:{index} (nvdec)"
        self.attached = attached
        self.refused: dict[Path, str] = {}
        # Of itself libav starts the context with other flags than those who were here first.
        options: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
        self.hwaccel = HWAccel("cuda", str(index), True, options, is_hw_owned=True)

    def context(self, stream: VideoStream) -> VideoCodecContext:
        """See `HardwareDecoder`."""
        own = _OWN_DECODERS.get(av.Codec(stream.codec_context.name, "r").canonical_name)
        if own is None or stream.codec_context.name == own:
            return stream.codec_context
        decoder = cast(VideoCodecContext, av.CodecContext.create(own, "r", self.hwaccel))
        decoder.extradata = stream.codec_context.extradata
        return decoder

    def downloaded(self, picture: av.VideoFrame) -> av.VideoFrame:
        """See `HardwareDecoder`; it waits for all work that the device was given."""
        assert picture.sw_format is not None
        return scaled(picture, format=picture.sw_format.name)


def device_planes(picture: av.VideoFrame, colour: ColourDescription) -> DeviceFrame:
    """Where the samples of a decoder's frame lie; good as long as the frame lives.

    Args:
        picture: of `FORMATS`, on the device.
        colour: how to read the samples.
    """
    assert picture.sw_format is not None
    planes = picture.planes
    return DeviceFrame.in_memory(
        picture.sw_format.name,
        (picture.width, picture.height),
        [plane.buffer_ptr for plane in planes],
        [plane.line_size for plane in planes],
        colour,
    )

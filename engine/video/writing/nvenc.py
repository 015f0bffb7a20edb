"""NVENC, the encoder of NVIDIA's GPUs: which of them have none, libav tells only when it is opened.

Never executed on a GPU.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from ...errors import CrossfaceError, DeviceUnavailableError, UsageError
from ..info import VideoInfo

# Its encoders, and those of the CPU for the same codecs.
NVENC = {"h264_nvenc": "libx264", "hevc_nvenc": "libx265", "av1_nvenc": "libsvtav1"}
# Every GPU that encodes a codec at all takes this.
_SIZE_PX = 256
_FORMAT = "nv12"


def refusal(encoder: str, pix_fmt: str, info: VideoInfo, path: Path) -> CrossfaceError:
    """The error for an encoder that does not open: the machine lacks it, or it takes no such film.

    Args:
        encoder: libav's name.
        pix_fmt: of what it was to be given.
        info: of the film.
        path: of the output, for messages.
    """
    if encoder in NVENC and (reason := _absent(encoder)) is not None:
        return DeviceUnavailableError(
            f'{path}: {encoder} cannot be opened on this machine ({reason}): run "crossface probe", '
            f"or use --codec {NVENC[encoder]}"
        )
    return UsageError(
        f"{path}: {encoder} refuses {info.width}x{info.height} {pix_fmt} "
        "or an option: check the options and the size, or use another codec such as ffv1 in .mkv"
    )


def _absent(encoder: str) -> str | None:
    """Why an encoder opens for nobody here; None if it does."""
    context = cast(VideoCodecContext, av.CodecContext.create(encoder, "w"))
    context.width = context.height = _SIZE_PX
    context.pix_fmt, context.framerate = _FORMAT, Fraction(25)
    try:
        context.open()
    except av.error.FFmpegError as error:
        return error.strerror
    return None

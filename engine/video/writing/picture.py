"""A frame as the encoder wants it: the decoder's own picture, or its samples in another layout or format."""

from __future__ import annotations

from pathlib import Path

import av

from ...errors import UsageError
from ...frame import Frame
from ...on_device.frame import Decoded
from ..info import VideoInfo
from .codecs import Encoding
from .conversion import converted
from .repack import repacked


def encoder_picture(frame: Decoded, info: VideoInfo, encoding: Encoding, path: Path) -> av.VideoFrame:
    """What the encoder is given of a frame.

    Args:
        frame: of the film.
        info: of the film.
        encoding: how it is encoded.
        path: of the output, for messages.

    Raises:
        UsageError: the frame has another size or pixel format than the film.
    """
    source = frame.source
    size = frame.width, frame.height
    kind = None if source is None else (source.sw_format or source.format).name
    if size != (info.width, info.height) or kind not in (None, info.pix_fmt):
        # PyAV would scale the picture without a word.
        raise UsageError(f"{path}: frame {frame.index} is not {info.width}x{info.height} {info.pix_fmt}")
    if source is not None and info.pix_fmt == encoding.pix_fmt:
        return source
    assert isinstance(frame, Frame), "a device's frames are encoded as they are, or brought to the host"
    if not encoding.converts:
        picture = repacked(frame, info.pix_fmt, encoding.pix_fmt)
    else:
        picture = converted(frame, info, encoding.pix_fmt)
    tags = encoding.tags
    picture.color_primaries, picture.color_trc = tags.primaries, tags.transfer
    picture.colorspace, picture.color_range = tags.matrix, tags.range
    return picture

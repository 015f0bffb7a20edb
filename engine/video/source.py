"""Opening a media file that nobody vouches for."""

from __future__ import annotations

import os
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from ..errors import BadInputError, InputMissingError
from .boxes import Mp4Shape, mp4_shape

# A playlist dressed up as a film must not make us open other files or the network.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,mxf,flv,asf,ogg,nut,ivf,dv,gxf,"
    "h264,hevc,av1,obu,mjpeg,yuv4mpegpipe,wav,mp3,aac,flac,mp2,ac3,aiff"
)
_OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS, "max_pixels": str(1 << 27)}


def open_source(path: Path) -> tuple[Mp4Shape | None, InputContainer]:
    """Open a media file for reading; the caller closes it.

    Args:
        path: a regular file.

    Returns:
        The outermost boxes, where it is an MP4 or MOV file, and the container.

    Raises:
        InputMissingError: no such file, not a regular file, or not readable.
        BadInputError: empty, or not a media file.
    """
    if not path.exists():
        raise InputMissingError(f"{path}: no such file: check the path")
    if not path.is_file():
        raise InputMissingError(f"{path}: not a regular file: give a video file")
    if not os.access(path, os.R_OK):
        raise InputMissingError(f"{path}: cannot be read: check its permissions")
    if path.stat().st_size == 0:
        raise BadInputError(f"{path}: is empty: copy or export it again")
    shape = mp4_shape(path)
    try:
        # The "file:" prefix keeps names like "concat:a|b" from being taken for a protocol;
        # surrogates carry metadata that is not UTF-8 through unchanged.
        return shape, av.open(
            f"file:{path}", "r", options=dict(_OPEN_OPTIONS), metadata_errors="surrogateescape"
        )
    except (av.error.FFmpegError, ValueError) as error:
        if shape is not None and not shape.has_index:
            raise BadInputError(
                f"{path}: has no index (moov): the recording was interrupted; repair it with an untrunc tool"
            ) from error
        reason = error.strerror if isinstance(error, av.error.FFmpegError) else str(error)
        raise BadInputError(f"{path}: not a media file, or damaged at its start ({reason})") from error

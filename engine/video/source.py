"""Opening a media file that nobody vouches for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import BadInputError, DeviceUnavailableError, InputMissingError, UsageError
from .reading.boxes import Mp4Shape, mp4_shape
from .reading.limits import MAX_PIXELS, PATIENCE_S, try_out

# A playlist dressed up as a film must not make us open other files or the network.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,mxf,flv,asf,ogg,nut,ivf,dv,gxf,"
    "h264,hevc,av1,obu,mjpeg,yuv4mpegpipe,wav,mp3,aac,flac,mp2,ac3,aiff"
)
# These hold nothing but coded pictures: the times that libav gives with them are invented.
TIMELESS = {"h264", "hevc", "av1", "obu", "mjpeg", "mpegvideo"}


def open_source(
    path: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    patience_s: float = PATIENCE_S,
    hwaccel: HWAccel | None = None,
) -> tuple[Mp4Shape | None, InputContainer]:
    """Open a media file for reading; the caller closes it.

    Args:
        path: a regular file.
        max_pixels: of the largest picture that may be decoded.
        patience_s: how long reading may take to answer.
        hwaccel: a device for decoders.

    Returns:
        The outermost boxes, where it is an MP4 or MOV file, and the container.

    Raises:
        InputMissingError: no such file, not a regular file, or not readable.
        BadInputError: empty, or not a media file.
        DeviceUnavailableError: the device does not start.
    """
    check_path(path)
    shape = mp4_shape(path)
    try:
        # Surrogates carry metadata that is not UTF-8 through unchanged.
        return shape, av.open(
            _url(path),
            "r",
            options=_options(max_pixels),
            metadata_errors="surrogateescape",
            timeout=patience_s,
            hwaccel=hwaccel,
        )
    except (av.error.FFmpegError, ValueError) as error:
        if hwaccel is not None:
            raise DeviceUnavailableError(
                f'{path}: no decoder of the device can be started ({error}): run "crossface probe"'
            ) from error
        if shape is not None and not shape.has_index:
            raise BadInputError(
                f"{path}: has no index (moov): the recording was interrupted; repair it with an untrunc tool"
            ) from error
        if isinstance(error, av.error.ArgumentError):
            raise BadInputError(
                f"{path}: not a media file of a kind that is read: convert it to .mp4, .mov or .mkv first"
            ) from error
        reason = error.strerror if isinstance(error, av.error.FFmpegError) else str(error)
        raise BadInputError(f"{path}: not a media file, or damaged at its start ({reason})") from error


def try_source(path: Path, *, max_pixels: int, patience_s: float) -> str | None:
    """Let another process open the file first; see `limits.try_out`.

    Raises:
        InputMissingError, BadInputError: as `open_source`; or the file crashes, fills or hangs the decoder.
    """
    check_path(path)
    return try_out(path, _url(path), _options(max_pixels), patience_s)


def check_path(path: Path) -> None:
    """Raise unless this is a file with something in it that we may read.

    Raises:
        InputMissingError: no such file, not a regular file, or not readable.
        BadInputError: empty.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file: check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputMissingError(f"{path}: cannot be reached ({reason}): check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputMissingError(f"{path}: not a regular file: give a video file")
    if not os.access(path, os.R_OK):
        raise InputMissingError(f"{path}: cannot be read: check its permissions")
    if status.st_size == 0:
        raise BadInputError(f"{path}: is empty: copy or export it again")


def films(container: InputContainer) -> list[VideoStream]:
    """The video streams that are no cover art."""
    art = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & art]


def choose_film(path: Path, container: InputContainer, number: int | None) -> VideoStream:
    """The video stream to read.

    Args:
        number: counts the video streams that are no cover art from 0; None takes the
            first that is marked as default, else the first.

    Raises:
        UsageError: there is no stream of that number.
        BadInputError: no video stream, or its codec is unknown.
    """
    found = films(container)
    if not found:
        raise BadInputError(f"{path}: has no video stream: give a clip that has a picture")
    if number is not None and not 0 <= number < len(found):
        raise UsageError(f"{path}: has no video stream {number}: --video-stream takes 0 to {len(found) - 1}")
    if number is None:
        default = [s.disposition & av.stream.Disposition.default != 0 for s in found]
        number = default.index(True) if True in default else 0
    stream = found[number]
    if stream.codec_context is None:
        raise BadInputError(f"{path}: has no known video codec: convert it to H.264 first")
    return stream


def _url(path: Path) -> str:
    # The prefix keeps names like "concat:a|b" from being taken for a protocol.
    return f"file:{path}"


def _options(max_pixels: int) -> dict[str, str]:
    return {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS, "max_pixels": str(max_pixels)}

"""The video stream of an output: an encoder told everything that is known about the source's pictures."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av.error
from av.codec.context import Flags
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from ...errors import DeviceUnavailableError, UsageError
from ...frame import Siting
from ...on_device.nvdec import VideoDevice
from ..info import VideoInfo
from .codecs import Encoding
from .matroska_aspect import roomy, set_aspect
from .muxer import MATROSKA
from .nvenc import NVENC

_SITING_NAMES = {Siting.LEFT: "left", Siting.CENTRE: "center", Siting.TOP_LEFT: "topleft"}
# libav's AVFieldOrder: coded and shown top (2) or bottom (3) field first.
_FIELD_ORDERS = {"progressive": 1, "top_first": 2, "bottom_first": 3}
# These code both fields of a frame apart, and say which comes first.
INTERLACED_ENCODERS = {"libx264", "mpeg2video", "prores_ks", "ffv1", "dvvideo"}


def add_video(
    output: OutputContainer,
    encoding: Encoding,
    info: VideoInfo,
    path: Path,
    *,
    threads: int = 0,
    size: tuple[int, int] | None = None,
    device: VideoDevice | None = None,
) -> VideoStream:
    """Add the stream that the film's frames go to; it is not opened yet.

    Args:
        output: the open target.
        encoding: how frames are encoded.
        info: of the source.
        path: of the output, for messages.
        threads: of the encoder; 0 lets it choose.
        size: width and height in px, where they are not the source's.
        device: where frames lie that the encoder is given; None for the host's memory.

    Raises:
        UsageError: the container refuses the encoder.
        DeviceUnavailableError: the device does not start, or the encoder takes no frames from it.
    """
    if encoding.encoder == "libsvtav1":
        # It has no option for its chatter on stderr.
        os.environ.setdefault("SVT_LOG", "1")
    rate = encoding.rate or info.average_rate or 25
    try:
        target: Stream = (
            output.add_stream(encoding.encoder, rate=rate)
            if device is None
            else _on_device(output, encoding, info, rate, path, device)
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(f"{path}: {encoding.encoder} cannot be written there: {error}") from error
    assert isinstance(target, VideoStream)
    encoder = target.codec_context
    encoder.width, encoder.height = size or (info.width, info.height)
    encoder.pix_fmt = encoding.pix_fmt if device is None else "cuda"
    target.time_base = info.time_base
    encoder.time_base = info.time_base if encoding.rate is None else 1 / encoding.rate
    encoder.sample_aspect_ratio = info.sample_aspect_ratio or Fraction(0, 1)
    tags = encoding.tags
    encoder.color_primaries, encoder.color_trc = tags.primaries, tags.transfer
    encoder.colorspace, encoder.color_range = tags.matrix, tags.range
    encoder.options = dict(encoding.options)
    if info.colour.chroma_shift_x:
        encoder.options.setdefault("chroma_sample_location", _SITING_NAMES[info.colour.siting])
    encoder.thread_count = threads
    # PyAV's default is slices, for which x264 cuts every picture into pieces.
    encoder.thread_type = "AUTO"
    encoder.flags |= Flags.frame_duration
    if info.field_order != "progressive" and encoding.encoder in INTERLACED_ENCODERS:
        encoder.flags |= Flags.interlaced_dct | Flags.interlaced_me
        encoder.field_order = _FIELD_ORDERS[info.field_order]
    if encoding.encoder in {"libx265", "hevc_nvenc"} and output.format.name in {"mp4", "mov"}:
        # Apple's players refuse libav's default of hev1.
        encoder.codec_tag = "hvc1"
    target.set_display_matrix(info.display_matrix)
    return target


def takes_device_frames(encoding: Encoding, info: VideoInfo) -> bool:
    """Whether an encoder reads a film's frames where a decoder on a device left them, as they are."""
    return encoding.encoder in NVENC and encoding.pix_fmt == info.pix_fmt


def _on_device(
    output: OutputContainer,
    encoding: Encoding,
    info: VideoInfo,
    rate: Fraction | int,
    path: Path,
    device: VideoDevice,
) -> Stream:
    """A stream whose encoder reads frames where they lie."""
    if not takes_device_frames(encoding, info):
        raise DeviceUnavailableError(
            f"{path}: {encoding.encoder} takes no {info.pix_fmt} frames from a GPU as {encoding.pix_fmt}: "
            "use an NVENC encoder, without --pix-fmt"
        )
    try:
        with device.attached():
            target = output.add_stream(encoding.encoder, rate=rate, hwaccel=device.hwaccel)
    except (av.error.FFmpegError, NotImplementedError) as error:
        raise DeviceUnavailableError(
            f'{path}: {encoding.encoder} finds no device ({error}): run "crossface probe", '
            f"or use --codec {NVENC[encoding.encoder]}"
        ) from error
    assert isinstance(target, VideoStream)
    target.codec_context.sw_format = encoding.pix_fmt
    return target


def complete_track(target: VideoStream, container: str, info: VideoInfo, timecode: str | None) -> None:
    """Give the track what is not the encoder's, before the header is written.

    Args:
        target: from `add_video`.
        container: libav's name.
        info: of the source.
        timecode: of the output's first frame, or None.
    """
    for key in [key for key in target.metadata if key.lower() == "timecode"]:
        del target.metadata[key]
    if timecode is not None:
        target.metadata["timecode"] = timecode
    if container in MATROSKA and _is_anamorphic(info):
        target.metadata["title"] = roomy(target.metadata.get("title"))


def complete_file(file: BinaryIO, container: str, info: VideoInfo) -> None:
    """Write what libav's muxer was not told, once the file is complete."""
    if container in MATROSKA and _is_anamorphic(info):
        assert info.sample_aspect_ratio is not None
        set_aspect(file, info.width, info.height, info.sample_aspect_ratio)


def _is_anamorphic(info: VideoInfo) -> bool:
    return info.sample_aspect_ratio not in {None, 0, 1}

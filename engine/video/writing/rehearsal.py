"""What an encoder and a container do not keep: found out by writing one small picture and reading it.

Tables of what libav's muxers and encoders carry age with every version of it; asking them does not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error

from ...errors import BadInputError, UsageError
from ..colour import FULL_RANGE
from ..info import VideoInfo, info_of
from ..planes import planes_of
from .codecs import Encoding
from .encoder import add_video, complete_file, complete_track
from .muxer import timecode_of
from .nvenc import refusal

_UNSPECIFIED = 2
_BT601 = {5, 6}
# Large enough for every encoder, small enough to cost nothing; the source's width modulo 16 is kept.
_WIDTH, _HEIGHT = 256, 144
_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def rehearse(
    encoding: Encoding,
    info: VideoInfo,
    path: Path,
    *,
    container: str,
    muxer_options: Mapping[str, str],
    timecode: str | None,
) -> list[str]:
    """Write one picture in memory and compare what a reader sees with what the source says.

    Args:
        encoding: how frames will be encoded.
        info: of the source.
        path: of the output, for messages.
        container: libav's name.
        muxer_options: as for the output.
        timecode: of the output's first frame, or None.

    Returns:
        One line for each property of the picture that the output will not have.

    Raises:
        UsageError: the encoder refuses the size, the format or an option, or the output would show
            pictures of another size or contrast.
        DeviceUnavailableError: this machine does not have the encoder.
    """
    small = _small(info.width, _WIDTH), _small(info.height, _HEIGHT)
    if encoding.options.get("profile") == "dnxhd":
        small = info.width, info.height
    try:
        data = _written(encoding, info, path, small, container, muxer_options, timecode)
    except av.error.FFmpegError:
        # An encoder may want more pixels than these.
        small = info.width, info.height
        try:
            data = _written(encoding, info, path, small, container, muxer_options, timecode)
        except av.error.FFmpegError as error:
            raise refusal(encoding.encoder, encoding.pix_fmt, info, path) from error
    try:
        shown = _read(data, path)
    except (av.error.FFmpegError, BadInputError, StopIteration) as error:
        raise UsageError(
            f"{path}: what {encoding.encoder} writes into {path.suffix} cannot be read back: "
            "use another codec such as ffv1 in .mkv"
        ) from error
    if (shown.width, shown.height) != small:
        raise UsageError(
            f"{path}: {encoding.encoder} would change the size {info.width}x{info.height}: "
            "use another codec such as ffv1 in .mkv"
        )
    full_range = encoding.tags.range == FULL_RANGE or (not encoding.converts and info.colour.full_range)
    if shown.colour.full_range != full_range:
        raise UsageError(
            f"{path}: {encoding.encoder} in {path.suffix} cannot say that samples are of "
            f"{'full' if full_range else 'limited'} range: players would change the contrast; "
            "use libx264, libx265 or ffv1"
        )
    return list(_differences(encoding, info, shown, path, timecode))


def _small(size_px: int, limit_px: int) -> int:
    return min(size_px, limit_px + size_px % 16)


def _written(
    encoding: Encoding,
    info: VideoInfo,
    path: Path,
    size: tuple[int, int],
    container: str,
    muxer_options: Mapping[str, str],
    timecode: str | None,
) -> io.BytesIO:
    data = io.BytesIO()
    output = av.open(data, "w", format=container, container_options=dict(muxer_options))
    stream = add_video(output, encoding, info, path, threads=1, size=size)
    complete_track(stream, container, info, timecode)
    asked = set(stream.codec_context.options)
    output.start_encoding()
    unknown = asked & set(stream.codec_context.options)
    if unknown:
        raise UsageError(f"{path}: {encoding.encoder} has no option {', '.join(sorted(unknown))}")
    picture = av.VideoFrame(*size, encoding.pix_fmt)
    for plane in planes_of(picture):
        plane[:] = 0
    # ProRes takes its tags from the frame.
    encoder = stream.codec_context
    picture.color_primaries, picture.color_trc = encoder.color_primaries, encoder.color_trc
    picture.colorspace, picture.color_range = encoder.colorspace, encoder.color_range
    unit = info.time_base if encoding.rate is None else 1 / encoding.rate
    picture.pts, picture.time_base = 0, unit
    picture.duration = max(1, round(1 / ((info.average_rate or Fraction(25)) * unit)))
    for packet in [*stream.encode(picture), *stream.encode(None)]:
        packet.dts = packet.pts
        output.mux(packet)
    output.close()
    complete_file(data, container, replace(info, width=size[0], height=size[1]))
    data.seek(0)
    return data


def _read(data: io.BytesIO, path: Path) -> VideoInfo:
    with av.open(data, "r") as container:
        stream = container.streams.video[0]
        first = next(container.decode(stream))
        assert stream.time_base is not None
        shown = info_of(
            path,
            container,
            stream,
            first,
            decoded_pix_fmt=first.format.name,
            start_pts=0,
            time_base=stream.time_base,
            rate=None,
            field_order="progressive",
            cropping=(0, 0, 0, 0),
            times_are_exact=True,
        )
        return replace(shown, timecode=timecode_of(container, stream))


def _differences(
    encoding: Encoding, info: VideoInfo, shown: VideoInfo, path: Path, timecode: str | None
) -> Iterator[str]:
    where = f"{encoding.encoder} in {path.suffix}"
    for name in ("primaries", "transfer", "matrix"):
        old, new = getattr(encoding.tags, name), getattr(shown.tags, name)
        same_meaning = name == "matrix" and ({old, new} <= _BT601 or (old, new) == (2, info.colour.matrix))
        if old != new and not same_meaning:
            said = "nothing" if new == _UNSPECIFIED else str(new)
            yield f"{path}: the colour tag {name} {old} (ITU-T H.273) is lost: {where} says {said}"
    # Only 4:2:0 is sited in more than one way.
    sited = info.colour.chroma_shift_y and not encoding.converts
    if sited and shown.colour.siting != info.colour.siting:
        old_word, new_word = _word(info.colour.siting.name), _word(shown.colour.siting.name)
        yield f"{path}: chroma siting {old_word} is lost: {where} says {new_word}"
    if (shown.sample_aspect_ratio or 1) != (info.sample_aspect_ratio or 1):
        yield f"{path}: the sample aspect ratio {info.sample_aspect_ratio} is lost: {where} does not hold it"
    if (shown.display_matrix or _UPRIGHT) != (info.display_matrix or _UPRIGHT):
        yield f"{path}: the display matrix (rotation {info.rotation}) is lost: {where} does not hold it"
    if encoding.profile not in {None, shown.profile}:
        yield f"{path}: the profile {encoding.profile} is not kept: {where} gives {shown.profile}"
    for name in info.hdr_metadata:
        if name not in shown.hdr_metadata:
            yield f"{info.path}: HDR metadata is not kept: {name}"
    if timecode is not None and (shown.timecode or "").replace(",", ";") != timecode.replace(",", ";"):
        yield f"{info.path}: the timecode {timecode} is lost: {where} cannot hold it at this frame rate"


def _word(name: str) -> str:
    return name.lower().replace("_", "-")

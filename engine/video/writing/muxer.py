"""Containers: how their muxers are set up, what they take, and which metadata they hold."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, DataStream, Disposition, Stream

from ...errors import UsageError

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
MATROSKA = {"matroska", "webm"}
# Whole samples of 1, 2, 3, 4 or 8 octets.
_PCM_OCTETS = 24
_MILLISECOND = Fraction(1, 1000)

# True only of the source's container or encoder; the muxer writes its own.
_STALE_METADATA = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|duration(-\w+)?|vendor_id|location-\w+"
    r"|alpha_mode|bps(-\w+)?|number_of_\w+(-\w+)?|_statistics_\w+(-\w+)?",
    re.IGNORECASE,
)
# What MP4 and MOV have fields of their own for; other keys need the key-value form of metadata.
_MP4_METADATA = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright",
    "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords",
    "creation_time", "timecode", "track", "disc", "performer", "author", "make", "model", "location",
}  # fmt: skip
_MP4_STREAM_METADATA = {"language", "handler_name", "title", "name", "creation_time", "timecode"}
_DISPOSITIONS = {
    "mov": Disposition.default | Disposition.attached_pic,
    "mp4": Disposition.default
    | Disposition.attached_pic
    | Disposition.dub
    | Disposition.comment
    | Disposition.forced
    | Disposition.hearing_impaired
    | Disposition.visual_impaired
    | Disposition.captions
    | Disposition.descriptions,
    "matroska": Disposition.default
    | Disposition.attached_pic
    | Disposition.dub
    | Disposition.original
    | Disposition.comment
    | Disposition.forced
    | Disposition.hearing_impaired
    | Disposition.visual_impaired,
}


def container_of(path: Path) -> str:
    """libav's name of the container that an extension stands for.

    Raises:
        UsageError: an extension that is not written.
    """
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UsageError(f"{path}: give the output the extension .mp4, .mov, .mkv or .webm")
    return container


def encoder_fits(encoder: str, container: str) -> bool:
    """Whether a container takes what an encoder writes: asked of the muxer itself."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as output:
            output.add_mux_stream(encoder, rate=25, width=256, height=144)
            # Matroska's header wants the stream's own parameters; MP4's refuses more codecs than it names.
            if container not in MATROSKA:
                output.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def stream_fits(stream: Stream, container: str) -> bool:
    """Whether a container takes a copy of a stream as it is: asked of the muxer itself."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as output:
            target = add_copy(output, stream)
            output.start_encoding()
            if isinstance(stream, AudioStream) and _is_pcm(stream):
                # MP4 takes only some orders of channels, and says so at the end.
                silence = Packet(bytes(_PCM_OCTETS * stream.codec_context.channels))
                silence.stream, silence.pts, silence.dts, silence.duration = target, 0, 0, 1
                output.mux(silence)
                output.close()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _is_pcm(stream: AudioStream) -> bool:
    return stream.codec_context is not None and stream.codec_context.name.startswith("pcm_")


def add_copy(output: OutputContainer, stream: Stream) -> Stream:
    """Add a stream for the packets of another one.

    Raises:
        ValueError: the container does not know the codec; others are found out when the header is written.
    """
    if stream.codec_context is not None:
        return output.add_stream_from_template(stream, opaque=True)
    if isinstance(stream, DataStream | AttachmentStream):
        return output.add_stream_from_template(stream)
    # Sound or text without a decoder here: a filter that does nothing carries its parameters over.
    target = output.add_data_stream()
    BitStreamFilterContext("null", stream, target)
    if stream.time_base is not None:
        target.time_base = stream.time_base
    return target


def muxer_options(
    container: str, path: Path, time_base: Fraction, source: InputContainer | None
) -> tuple[dict[str, str], list[str]]:
    """Options of a muxer with which times and metadata come out as they are.

    Args:
        container: libav's name.
        path: of the output, for messages.
        time_base: of the film's frames.
        source: what is copied beside the film, or None.

    Returns:
        The options, and one line for each thing that they cannot save.
    """
    # Without bitexact, Matroska draws random identifiers and no two runs agree. Packets come sorted:
    # a silent stream must not make the muxer keep ten seconds of pictures in memory.
    options = {"fflags": "+bitexact", "max_interleave_delta": "500000"}
    streams = () if source is None else source.streams
    bases = [stream.time_base for stream in streams if stream.time_base and not _is_cover(stream)]
    if container in MATROSKA:
        if (time_base / _MILLISECOND).denominator != 1:
            return options, [f"{path}: Matroska rounds times to milliseconds: use .mp4 or .mov to keep them"]
        return options, []
    losses = []
    videos = [stream.time_base for stream in streams if stream.type == "video" and not _is_cover(stream)]
    # One unit for all video tracks: of the film alone, where the others can be told in it.
    finest = math.lcm(time_base.denominator, *(base.denominator for base in videos if base))
    timescale = finest if finest < 1 << 31 else time_base.denominator
    options["video_track_timescale"] = str(timescale)
    # Edit lists hold start offsets in the movie's own unit, which must divide every stream's.
    movie_timescale = math.lcm(timescale, *(base.denominator for base in bases))
    if movie_timescale < 1 << 31:
        options["movie_timescale"] = str(movie_timescale)
    else:
        losses.append(f"{path}: start offsets are rounded: no unit divides all time bases")
    others = {} if source is None else kept_metadata(source.metadata)
    if other_keys := sorted(key for key in others if key.lower() not in _MP4_METADATA):
        # That form of metadata and cover art exclude each other.
        if container == "mp4" and any(map(_is_cover, streams)):
            losses.append(f"{path}: beside cover art, metadata is lost: {', '.join(other_keys)}")
        else:
            options["movflags"] = "+use_metadata_tags"
    return options, losses


def timecode_of(container: InputContainer, stream: Stream) -> str | None:
    """Timecode of a stream's first picture: its own, that of a timecode track, or the file's.

    MOV writes the key in small letters, Matroska in capitals.
    """
    for metadata in (stream.metadata, *(other.metadata for other in container.streams), container.metadata):
        for key, value in metadata.items():
            if key.lower() == "timecode":
                return value
    return None


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without the entries that describe the source's own container."""
    return {key: value for key, value in metadata.items() if not _STALE_METADATA.fullmatch(key)}


def stream_metadata(stream: Stream, container: str) -> tuple[dict[str, str], list[str]]:
    """A stream's metadata as its copy gets it, and the keys and flags that the container does not hold."""
    metadata = kept_metadata(stream.metadata)
    if _is_cover(stream):
        # Names of the attachment that Matroska makes of it.
        metadata.pop("filename", None)
        metadata.pop("mimetype", None)
    # MP4 calls a track's title its name when it is read, and title when it is written.
    if "name" in metadata:
        metadata.setdefault("title", metadata.pop("name"))
    lost: list[str] = []
    if container in {"mp4", "mov"}:
        lost += sorted(key for key in metadata if key.lower() not in _MP4_STREAM_METADATA)
        language = metadata.get("language", "und")
        if len(language) != 3:
            lost.append(f"language {language}")
    flags = stream.disposition & ~_DISPOSITIONS["matroska" if container in MATROSKA else container]
    lost += [f"disposition {flag.name}" for flag in Disposition if flag & flags]
    return metadata, lost

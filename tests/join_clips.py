"""Clips through Reader, PartWriter and Join with nothing changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from crossface.engine.video.info import VideoInfo
from crossface.engine.video.join import Join
from crossface.engine.video.part import Part, PartWriter, part_suffix
from crossface.engine.video.reader import Reader
from crossface.engine.video.writing.codecs import Encoding, choose_encoding
from crossface.engine.video.writing.passthrough import Span


def in_parts(
    source: Path,
    output: Path,
    lengths: Sequence[int],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    threads: int = 2,
    span: Span | None = None,
    interlaced: str = "refuse",
) -> tuple[VideoInfo, Encoding, list[Part]]:
    """The frames of a clip in parts beside the output; of ``lengths`` frames, over and over."""
    parts: list[Part] = []
    with Reader(source, trusted=True, interlaced=interlaced) as reader:
        info = reader.info
        encoding = choose_encoding(codec, info, output, options=options)
        start, end = None, None
        if span is not None:
            start = round(span.start_s / info.time_base)
            end = None if span.end_s is None else round(span.end_s / info.time_base)
        frames = reader.frames(start, end) if span is not None else iter(reader)
        for length in cycle(lengths):
            path = output.with_name(f"{output.stem}-{len(parts):03}{part_suffix(encoding)}")
            run = islice(frames, length)
            first = next(run, None)
            if first is None:
                return info, encoding, parts
            with PartWriter(path, info, encoding, threads=threads, overwrite=True) as writer:
                writer.write(first)
                for frame in run:
                    writer.write(frame)
            assert writer.losses == []
            parts.append(writer.part)
    raise AssertionError("unreachable")


def join(
    output: Path,
    info: VideoInfo,
    encoding: Encoding,
    parts: Sequence[Part],
    *,
    span: Span | None = None,
    comment: str | None = None,
) -> list[str]:
    with Join(output, info, parts, encoding, span=span, comment=comment, overwrite=True) as film:
        steps = list(film)
    assert steps == list(range(1, sum(part.frames for part in parts) + 1))
    return film.losses

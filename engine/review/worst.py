"""The frames of a film that stand out, on one sheet: before, after, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from ..clip import ReadingSettings
from ..errors import BadInputError
from ..frame import Frame
from ..part_file import keep_sources
from ..pipeline import Prefetch
from ..video.info import VideoInfo
from ..video.reader import Reader
from .png import write_png
from .report import Report, clock
from .shot import Fault
from .strip import Box, caption, stacked, strip

# Containers round times, Matroska to a millisecond.
_ROUNDING_S = Fraction(1, 1000)
# A field's frame begins before it.
_LOOK_BACK_S = Fraction(1, 5)
# Opening a film and looking for a keyframe takes about as long as decoding this much of it.
_READ_ON_S = 2
# Of a film without a fault: enough to see that it is one.
_LEAST_ROWS = 4
# Both films are decoded from a keyframe to a row's frame, often some hundred frames: a row more for so many.
_FRAMES_PER_ROW = 1000
_ABOVE_LIMIT, _BELOW_LIMIT = (255, 180, 60), (190, 190, 190)


def worst_sheet(
    report: Report,
    source: Path,
    output: Path,
    out: Path,
    *,
    reading: ReadingSettings | None = None,
    rows: int = 24,
    width_px: int = 1600,
) -> Path:
    """Writes a PNG of the frames that stand out, in the order of time, each under a line that says why.

    Amber lines tell of faults beyond their limits; where these are few, grey ones show the worst frames of
    good shots. Only the neighbourhood of each frame is decoded.

    Args:
        report: of the conversion.
        source: the film that was converted.
        output: what it became; its first frame is the first one of ``report``.
        out: the PNG; replaced where it exists.
        reading: how ``source`` was read.
        rows: at most so many frames; of a short film fewer.
        width_px: of the sheet.

    Raises:
        UsageError: ``out`` is one of the films.
        InputMissingError, BadInputError: a film cannot be read, or lacks a frame of the report.
        OutputError: ``out`` cannot be written.
    """
    keep_sources(out, source, output)
    affordable = _LEAST_ROWS + report.frames // _FRAMES_PER_ROW
    chosen = _by_frame(report.worst(min(rows, affordable), _LEAST_ROWS))
    if not chosen:
        says = "no frame to look at" if report.faces else "no face was swapped"
        return write_png(out, caption(says, width_px, _BELOW_LIMIT))
    base = report.pictures.time_base
    start_s = report.shots[0].first_pts * base
    times_s = [faults[0].pts * base for faults in chosen]
    before = _frames_at(source, times_s, reading or ReadingSettings())
    as_written = ReadingSettings(interlaced="as_progressive")
    after = _frames_at(output, [time_s - start_s for time_s in times_s], as_written, from_first=True)
    images = []
    with Prefetch(before, depth=1) as olds, Prefetch(after, depth=1) as news:
        for faults, (info, old), (_, new) in zip(chosen, olds, news, strict=True):
            if (old.width, old.height) != (new.width, new.height):
                raise BadInputError(
                    f"{output}: has another picture size than {source}: give a film and its source"
                )
            above = any(fault.score >= 1 for fault in faults)
            images.append(caption(_words(report, faults), width_px, _ABOVE_LIMIT if above else _BELOW_LIMIT))
            box = _in_frame(faults[0].box, old.height / report.pictures.height)
            images.append(strip(old, new, box, info, width_px))
    return write_png(out, stacked(images))


def _by_frame(faults: Sequence[Fault]) -> list[list[Fault]]:
    """Faults of one frame together, the worst first; frames in the order of time."""
    frames: dict[int, list[Fault]] = {}
    for fault in faults:
        frames.setdefault(fault.pts, []).append(fault)
    return [frames[pts] for pts in sorted(frames)]


def _words(report: Report, faults: Sequence[Fault]) -> str:
    first = faults[0]
    track = "" if first.track is None else f"  track {first.track}"
    where = f"{clock(report.time_s(first.pts))}  frame {first.frame}  shot {first.shot}{track}"
    return f"{where}   {', '.join(fault.says for fault in faults)}"


def _in_frame(box: Box | None, rows: float) -> Box | None:
    """A box of a field, in the frame that has ``rows`` times as many."""
    return None if box is None else (box[0], box[1] * rows, box[2], box[3] * rows)


def _frames_at(
    path: Path, times_s: Sequence[Fraction], reading: ReadingSettings, *, from_first: bool = False
) -> Iterator[tuple[VideoInfo, Frame]]:
    """The frame that is shown at each time, and what the film says of it; holds two frames.

    Args:
        path: of the film.
        times_s: rising, on the film's own clock or ``from_first`` its first frame on.
        reading: how to read it.
        from_first: see ``times_s``.

    Raises:
        BadInputError: no frame begins shortly before one of the times.
    """
    reader: Reader | None = None
    try:
        for n, time_s in enumerate(times_s):
            if reader is None or time_s - times_s[n - 1] > _READ_ON_S:
                if reader is not None:
                    reader.close()
                reader = _opened(path, reading)
                base = reader.info.time_base
                first_s = reader.info.start_pts * base if from_first else Fraction(0)
                frames = _read_from(reader, first_s + time_s)
                frame = next(frames, None)
                following = next(frames, None)
            while following is not None and following.pts * base <= first_s + time_s + _ROUNDING_S:
                frame, following = following, next(frames, None)
            if frame is None or abs(frame.pts * base - first_s - time_s) > _LOOK_BACK_S:
                raise BadInputError(
                    f"{path}: has no frame at {clock(float(time_s))}: is it the film that was reviewed?"
                )
            yield reader.info, frame
    finally:
        if reader is not None:
            reader.close()


def _opened(path: Path, reading: ReadingSettings) -> Reader:
    return Reader(
        path,
        tolerate_damage=reading.tolerate_damage,
        # Fields are written back into the frames that they came from.
        interlaced="as_progressive" if reading.interlaced == "fields" else reading.interlaced,
        fps=reading.fps,
        video_stream=reading.video_stream,
        # The film was read, or written, by us just now.
        trusted=True,
    )


def _read_from(reader: Reader, time_s: Fraction) -> Iterator[Frame]:
    return reader.frames(math.floor((time_s - _LOOK_BACK_S) / reader.info.time_base))

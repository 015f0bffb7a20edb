"""What is noted of every face while it is converted, as JSON lines beside each part of the film.

A `Recorder` writes one file: a header (version, time base, picture size), a line a frame, a last line with
their count. It is told of each face by the one who blends it, in any order within a batch, and of each frame,
in order, by the one who hands frames on::

    recorder.swapped(frame.pts, face, mask_area=..., drawn_mean=..., source_mean=..., colour=..., share=...)
    recorder.kept(frame.pts, face, "not a number")
    recorder.frame(frame.pts, shot, expected=(0, 3))

`read_records` gives the frames of all parts back, in order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TextIO, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, unreadable
from ..face.faces_file import Face
from ..part_file import PartFile
from ..video.info import VideoInfo

FORMAT_VERSION = 1

Kept = Literal["not a number", "no mask", "covered", "turned away"]
Outcome = Literal["swapped", "swapped in fp32", "not a number", "no mask", "covered", "turned away"]
Colour = tuple[float, float, float]
Box = tuple[float, float, float, float]

# R'G'B' of 0..1 to Y'CbCr (ITU-R BT.709), in codes of 8 bits and full range.
_Y, _B, _R = np.array([0.2126, 0.7152, 0.0722]), np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
_CODES = 255 * np.stack([_Y, (_B - _Y) / 1.8556, (_R - _Y) / 1.5748])


@dataclass(frozen=True)
class FaceRecord:
    """A face of a track that is to be swapped.

    Attributes:
        track: number of its track.
        outcome: "swapped", at once or by a second run "in fp32"; else why the source's face stayed.
        presence: 0..1.
        box: bounds of its landmarks ``(x0, y0, x1, y1)``, luma px.
        mask_area: mean of the mask over the crop, 0..1, before it fades with presence and yaw, and without
            regard to what lies before the face; 0 where none was drawn.
        covered: share of the face's middle that something lies before, 0..1.
        shown: mean Y', Cb, Cr of the face as the film shows it now, in codes of 8 bits; None without one.
        source: the same of the source, under the same mask.
    """

    track: int
    outcome: Outcome
    presence: float
    box: Box
    mask_area: float = 0.0
    shown: Colour | None = None
    source: Colour | None = None
    covered: float = 0.0

    @property
    def is_swapped(self) -> bool:
        return self.shown is not None

    @property
    def is_hidden(self) -> bool:
        """Whether the source's face stays because the new one would not be seen either."""
        return self.outcome in ("covered", "turned away")


@dataclass(frozen=True)
class FrameRecord:
    """A frame of the film.

    Attributes:
        pts: in the clip's time base.
        shot: its number.
        expected: tracks whose face ought to be swapped in it.
        faces: what became of the faces that were to be swapped.
    """

    pts: int
    shot: int
    expected: tuple[int, ...]
    faces: tuple[FaceRecord, ...]


class Recorder:
    """Writes the records of consecutive frames; as a context manager the file appears whole or not at all.

    Args:
        path: the file; replaced where it exists.
        info: of the frames (`Clip.info`: of fields where these are converted).

    Raises:
        OutputError: the folder is missing or cannot be written.
        BusyError: another process writes the same file.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self._path = path
        self._header = {
            "records": FORMAT_VERSION,
            "time_base": str(info.time_base),
            "width": info.width,
            "height": info.height,
        }
        self._waiting: dict[int, list[dict[str, Any]]] = {}
        self._frames = 0
        self._stack = ExitStack()
        self._file: TextIO | None = None

    def swapped(
        self,
        pts: int,
        face: Face,
        *,
        mask_area: float,
        drawn_mean: NDArray[np.float64],
        source_mean: NDArray[np.float64],
        colour: NDArray[np.float64],
        share: float = 1.0,
        covered: float = 0.0,
        retried: bool = False,
    ) -> None:
        """A face was swapped.

        Args:
            pts: of its frame.
            face: where it is.
            mask_area: mean of the mask over the crop, before it is faded, 0..1.
            drawn_mean: R'G'B' ``[3]`` in 0..1 under the mask, as the network drew it.
            source_mean: the same of the source.
            colour: of `colour_match.transform`, ``[3, 4]``.
            share: weight that the face was blended with where the mask is 1.
            covered: share of the face's middle that something lies before, 0..1.
            retried: whether the network gave no number at first.
        """
        matched = colour[:, :3] @ drawn_mean + colour[:, 3]
        shown = source_mean + share * (matched - source_mean)
        self._note(
            pts,
            face,
            "swapped in fp32" if retried else "swapped",
            mask_area=round(float(mask_area), 4),
            **({"covered": round(covered, 4)} if covered else {}),
            shown=np.round(_CODES @ shown, 2).tolist(),
            source=np.round(_CODES @ source_mean, 2).tolist(),
        )

    def kept(self, pts: int, face: Face, reason: Kept) -> None:
        """The source's face stayed: the network gave no number, no mask, or nothing of it would be seen.

        Args:
            pts: of its frame.
            face: where it is.
            reason: why.
        """
        self._note(pts, face, reason)

    def frame(self, pts: int, shot: int, expected: Iterable[int] = ()) -> None:
        """A frame is done; all its faces were told before.

        Args:
            pts: above that of the frame before.
            shot: its number, never below that of the frame before.
            expected: tracks whose face ought to be swapped in it, as far as anybody knows.
        """
        faces = self._waiting.pop(pts, [])
        self._frames += 1
        self._write({"pts": pts, "shot": shot, "expected": sorted(expected), "faces": faces})

    def __enter__(self) -> Self:
        part = self._stack.enter_context(PartFile(self._path, overwrite=True))
        self._file = self._stack.enter_context(part.open("w", encoding="utf-8"))
        self._write(self._header)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if self._waiting:
                raise ValueError(f"{self._path}: faces of frames that never came: {sorted(self._waiting)}")
            self._write({"frames": self._frames})

    def _note(self, pts: int, face: Face, outcome: Outcome, **drawn: Any) -> None:
        entry = {
            "track": face.track,
            "outcome": outcome,
            "presence": round(face.presence, 4),
            "box": [round(edge, 1) for edge in face.box],
            **drawn,
        }
        self._waiting.setdefault(pts, []).append(entry)

    def _write(self, fields: dict[str, Any]) -> None:
        assert self._file is not None, "a Recorder is used in a with statement"
        self._file.write(json.dumps(fields, separators=(",", ":")) + "\n")


@dataclass(frozen=True)
class Pictures:
    """What the records of a film have in common: time base, and the size of the frames in px."""

    time_base: Fraction
    width: int
    height: int


def read_pictures(path: Path) -> Pictures:
    """The header of a file of records.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not a file of records of this version.
    """
    for _, line in _lines(path):
        fields = _parsed(path, 1, line)
        try:
            if fields["records"] != FORMAT_VERSION:
                raise BadInputError(f"{path}: not records of this version: convert its segment again")
            return Pictures(Fraction(fields["time_base"]), int(fields["width"]), int(fields["height"]))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise _damaged(path, 1) from error
    raise BadInputError(f"{path}: is empty: convert its segment again")


def read_records(paths: Sequence[Path]) -> Iterator[FrameRecord]:
    """The frames of a film, from the records of its parts in order.

    Raises:
        InputMissingError: a file is not there, or not readable.
        BadInputError: a file is damaged or cut short, is of other pictures than the first, or out of order.
    """
    before: FrameRecord | None = None
    for path in paths:
        if read_pictures(path) != read_pictures(paths[0]):
            raise BadInputError(f"{path}: is of other pictures than {paths[0]}: convert its segment again")
        frames, ended = 0, False
        for number, line in _lines(path):
            if number == 1:
                continue
            fields = _parsed(path, number, line)
            if ended:
                raise _damaged(path, number)
            if "frames" in fields:
                ended = fields["frames"] == frames
                continue
            try:
                record = _frame(fields)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise _damaged(path, number) from error
            if before is not None and (record.pts <= before.pts or record.shot < before.shot):
                raise BadInputError(f"{path}: line {number} is out of order: convert its segment again")
            frames, before = frames + 1, record
            yield record
        if not ended:
            raise BadInputError(f"{path}: is cut short: convert its segment again")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: is no file of records: convert its segment again") from error


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, number) from error
    if not isinstance(fields, dict):
        raise _damaged(path, number)
    return fields


def _frame(fields: dict[str, Any]) -> FrameRecord:
    faces = tuple(_face(entry) for entry in fields["faces"])
    return FrameRecord(int(fields["pts"]), int(fields["shot"]), tuple(map(int, fields["expected"])), faces)


def _face(entry: dict[str, Any]) -> FaceRecord:
    if entry["outcome"] not in get_args(Outcome):
        raise ValueError(entry["outcome"])
    drawn = "shown" in entry
    told = [entry["presence"], entry.get("mask_area", 0.0), entry.get("covered", 0.0)]
    presence, mask_area, covered = _numbers(told, 3)
    return FaceRecord(
        int(entry["track"]),
        cast(Outcome, entry["outcome"]),
        presence,
        cast(Box, _numbers(entry["box"], 4)),
        mask_area,
        cast(Colour, _numbers(entry["shown"], 3)) if drawn else None,
        cast(Colour, _numbers(entry["source"], 3)) if drawn else None,
        covered,
    )


def _numbers(values: Iterable[Any], count: int) -> tuple[float, ...]:
    numbers = tuple(map(float, values))
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{numbers} are not {count} numbers")
    return numbers


def _damaged(path: Path, number: int) -> BadInputError:
    return BadInputError(f"{path}: line {number} is damaged: convert its segment again")

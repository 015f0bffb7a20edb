"""From clips to a faceset: aligned crops that a person can look at, and their facts."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine import kernels
from ..engine.analyze import AnalysisSettings, watch
from ..engine.clip import Clip, ReadingSettings
from ..engine.errors import BadInputError, OutputError, OutputExistsError, UsageError
from ..engine.face.align import crop_to_frame
from ..engine.face.mesh import Mesh, yaw_deg
from ..engine.frame import Frame
from ..engine.review.png import write_png
from . import faceset
from .audit.duplicates import Gathering
from .audit.measure import PictureMeasures, combine, measure_face
from .audit.picture import LUMA
from .audit.pose import fit_pose
from .faceset import FaceRecord
from .selection import choose

TimeRange = tuple[float, float]


@dataclass(frozen=True)
class FaceChoice:
    """Which faces of those found are kept.

    Attributes:
        min_sharpness: line widths a face height, see `audit.picture.sharpness`; softer faces are left out.
        dedupe: leave out near-duplicates of a face that is kept.
        keep: at most so many over all clips: see `selection.choose`.
    """

    min_sharpness: float = 0.0
    dedupe: bool = False
    keep: int | None = None

    @property
    def measures(self) -> bool:
        """Whether faces need to be measured for it."""
        return self.min_sharpness > 0 or self.dedupe or self.keep is not None


@dataclass(frozen=True)
class FacesChosen:
    """All clips have been searched, and the choice is made.

    Attributes:
        found: faces that the clips show, of the frames wanted.
        soft: left out as too soft.
        repeated: left out as near-duplicates.
        kept: faces in the faceset.
    """

    found: int
    soft: int
    repeated: int
    kept: int


@dataclass(frozen=True)
class ExtractionEvent:
    """Progress: a frame of a clip has been searched.

    Attributes:
        clip: its path.
        frame: number of frames searched.
        of: frames that the container declares; 0 where it does not say.
        faces: faces written so far, over all clips.
    """

    clip: Path
    frame: int
    of: int
    faces: int


def extract(
    clips: Sequence[Path],
    output: Path,
    *,
    every: int = 1,
    ranges_s: Sequence[TimeRange] = (),
    largest_only: bool = True,
    choice: FaceChoice | None = None,
    settings: AnalysisSettings | None = None,
    reading: ReadingSettings | None = None,
    overwrite: bool = False,
) -> Generator[ExtractionEvent | FacesChosen]:
    """Writes a faceset from one or more clips.

    The faceset appears whole or not at all; until then an older one stays as it is.

    Args:
        clips: films or image sequences of one person.
        output: folder of the faceset; made where it is missing.
        every: keep every n-th frame.
        ranges_s: keep only these spans of each clip's own time, ``[from, to)``; all without any.
        largest_only: keep only the largest face of a frame.
        choice: which of these faces to keep; all without it.
        settings: of the analysis.
        reading: how the clips are read.
        overwrite: replace a faceset that is there.

    Raises:
        UsageError: no clip, or ``every`` or ``keep`` below 1.
        BadInputError: no face in any clip, or none that the choice keeps, or a damaged clip.
        OutputExistsError: the folder holds a faceset already.
        OutputError: the folder cannot be written.
    """
    if not clips:
        raise UsageError("no clip given: name at least one video file")
    if every < 1:
        raise UsageError(f"every must be at least 1, not {every}")
    choice = choice or FaceChoice()
    if choice.keep is not None and choice.keep < 1:
        raise UsageError(f"keep must be at least 1, not {choice.keep}")
    index = output / faceset.INDEX_NAME
    if index.exists() and not overwrite:
        raise OutputExistsError(f"{index}: exists already: give another folder or --overwrite")
    with _whole_faceset(output) as folder:
        keeper = _Keeper(folder, choice)
        for path in clips:
            with (
                Clip(path, reading) as clip,
                closing(watch(clip, settings or AnalysisSettings())) as sightings,
            ):
                for sighting, landmarks in sightings:
                    frame = sighting.frame
                    if ranges_s and _time_s(frame) >= max(end for _, end in ranges_s):
                        break
                    wanted = frame.index % every == 0 and _inside(_time_s(frame), ranges_s)
                    for face in sighting.faces[: 1 if largest_only else None] if wanted else ():
                        steady = replace(face.mesh, landmarks=landmarks[face.track])
                        keeper.add(*_cut(frame, steady, clip.info.display, path.name, len(keeper.records)))
                    yield ExtractionEvent(path, frame.index + 1, clip.frame_count, len(keeper.records))
        names = ", ".join(str(clip) for clip in clips)
        if not keeper.found:
            raise BadInputError(f"{names}: no face found: give a clip that shows the person's face")
        if not keeper.records:
            raise BadInputError(
                f"{names}: all {keeper.found} faces are softer than {choice.min_sharpness:g} lines a face "
                "height: lower --min-sharpness or film again"
            )
        kept = keeper.finish()
        yield FacesChosen(keeper.found, keeper.soft, keeper.repeated, kept)


class _Keeper:
    """Writes faces as they come, and at the end the index of those that stay.

    Attributes:
        records: of the faces written so far.
        found, soft, repeated: see `FacesChosen`.
    """

    def __init__(self, folder: Path, choice: FaceChoice) -> None:
        self._folder = folder
        self._choice = choice
        self._measured: list[PictureMeasures] = []
        self._gathering = Gathering()
        self.records: list[FaceRecord] = []
        self.found = self.soft = self.repeated = 0

    def add(self, record: FaceRecord, rgb: NDArray[np.uint8]) -> None:
        """Writes a face, unless it is too soft or a near-duplicate."""
        self.found += 1
        if self._choice.measures:
            measured = measure_face(rgb, record)
            if measured.sharpness < self._choice.min_sharpness:
                self.soft += 1
                return
            if self._choice.dedupe and self._repeats(record, measured):
                self.repeated += 1
                return
            self._measured.append(measured)
        write_png(self._folder / record.file, rgb)
        self.records.append(record)

    def _repeats(self, record: FaceRecord, measured: PictureMeasures) -> bool:
        pose = fit_pose(record.crop_landmarks()[None])
        return (
            self._gathering.add(measured.small, float(pose.yaw_deg[0]), float(pose.pitch_deg[0])) is not None
        )

    def finish(self) -> int:
        """Removes what does not stay, writes the index, and gives how many faces are in it."""
        chosen: Sequence[int] = range(len(self.records))
        if self._choice.keep is not None and self._choice.keep < len(self.records):
            chosen = choose(combine(self.records, self._measured), self.records, self._choice.keep)
            for n in set(range(len(self.records))).difference(chosen):
                (self._folder / self.records[n].file).unlink()
        with (self._folder / faceset.INDEX_NAME).open("w", encoding="utf-8") as lines:
            lines.write(faceset.header_line() + "\n")
            for n in chosen:
                lines.write(self.records[n].to_json() + "\n")
        return len(chosen)


@contextmanager
def _whole_faceset(output: Path) -> Iterator[Path]:
    """A folder to fill beside ``output``; what is in it takes its place there when all is written."""
    output = output.resolve()
    part = output.with_name(f".{output.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        (part / "faces").mkdir(parents=True)
        yield part
        output.mkdir(exist_ok=True)
        # Without its index a folder is no faceset, so the old index goes first and the new one comes last.
        (output / faceset.INDEX_NAME).unlink(missing_ok=True)
        if (output / "faces").exists():
            shutil.rmtree(output / "faces")
        for name in ("faces", faceset.INDEX_NAME):
            (part / name).rename(output / name)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror}): check the folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _cut(
    frame: Frame, face: Mesh, display: NDArray[np.float64], source: str, number: int
) -> tuple[FaceRecord, NDArray[np.uint8]]:
    """A face's record and its crop, RGB ``[SIZE_PX, SIZE_PX, 3]``."""
    transform = crop_to_frame(
        face.landmarks, size_px=faceset.SIZE_PX, coverage=faceset.COVERAGE, display=display
    )
    crop = kernels.crop(frame, transform[None], faceset.SIZE_PX)[0]
    # Codes beyond the nominal range, super-white for one, give values beyond 0..1.
    rgb = np.rint(crop.transpose(1, 2, 0).clip(0.0, 1.0) * 255.0).astype(np.uint8)
    record = FaceRecord(
        file=f"faces/{number:06d}.png",
        source=source,
        frame=frame.index,
        time_s=_time_s(frame),
        landmarks=face.landmarks.astype(np.float32),
        transform=transform,
        presence=face.presence,
        blur=_blur(rgb),
        yaw_deg=yaw_deg(face.landmarks @ display.T),
    )
    return record, rgb


def _time_s(frame: Frame) -> float:
    return float(frame.pts * frame.time_base)


def _inside(time_s: float, ranges_s: Sequence[TimeRange]) -> bool:
    return not ranges_s or any(start <= time_s < end for start, end in ranges_s)


def _blur(rgb: NDArray[np.uint8]) -> float:
    """Variance of the 4-neighbour Laplacian of Rec. 709 luma."""
    luma = rgb.astype(np.float32) @ LUMA
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    return float(laplacian.var())

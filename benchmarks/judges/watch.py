"""A source and what was made of it, side by side: what the judges see of the face in each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossface.engine.clip import Clip
from crossface.engine.errors import BadInputError
from crossface.engine.face.align import Points, apply, invert
from crossface.engine.face.detector import (
    Box,
    Detection,
    DetectionSettings,
    Detector,
    intersection_over_union,
)
from crossface.engine.frame import Frame
from crossface.engine.swap.mask import fill

from .look import MOST_DOUBT, Judges, Look, square_around
from .sharpness import detail, edges

# A box that overlaps the one before (or the source's) by less is another face.
_SAME_FACE = 0.3
# A face is sought where it is expected: in a picture of this size, then in a finer one at four times the
# cost.
_COARSE_PX, _FINE_PX = 320, 640
# Containers round times, at worst to milliseconds.
_SAME_TIME_S = 0.002
# The outline that sharpness is measured in: of the face without its edge, where skin meets the background.
_INSIDE = 0.85
_PICTURE_PX = (64, 512)
# What is around a face: between the outline so many times as large, and so many times. The outline ends at
# the brows, and no mask reaches twice as far.
_AROUND = (2.0, 2.5)
# The patch of the neck: how far below the chin, and how wide, in lengths from nose bridge to chin.
_BELOW_CHIN, _NECK_SIDE, _NECK_PX = 0.25, 0.2, 16


@dataclass(frozen=True)
class Seen:
    """A face in a frame.

    Attributes:
        look: its landmarks and eyes.
        edges: see `sharpness`; of source and result under the same mask, at the scale of the film.
        detail: as ``edges``.
        edges_around: the same of a ring around the face: hair, ears, neck and what is behind.
        colour: mean R'G'B' ``[3]`` under that mask, 0..1.
        colour_around: mean R'G'B' ``[3]`` of the ring.
        neck: mean R'G'B' ``[3]`` of a patch below the chin, where it is in the source.
        embedding: ``[128]``; None in frames where nobody asked.
    """

    look: Look
    edges: float
    detail: float
    edges_around: float
    colour: NDArray[np.float64]
    colour_around: NDArray[np.float64]
    neck: NDArray[np.float64]
    embedding: NDArray[np.float64] | None


@dataclass(frozen=True)
class Pair:
    """A frame of both clips; None where a clip has no face, or one that something hides.

    Without a source's face none is looked for in the result. ``changed`` is the share of the frame's luma
    samples that are not what they were.
    """

    index: int
    source: Seen | None
    result: Seen | None
    changed: float


class FaceFinder:
    """Follows one face: the largest at first, then the one that lies where it was."""

    def __init__(self, pixel_aspect: float) -> None:
        self._coarse, self._fine = (
            Detector(DetectionSettings(long_side_px=size, pixel_aspect=pixel_aspect), threads=1)
            for size in (_COARSE_PX, _FINE_PX)
        )
        self._last: Box | None = None

    def follow(self, frame: Frame) -> Box | None:
        """The face's box in the next frame, ``(x0, y0, x1, y1)`` in luma px."""
        same = None if self._last is None else self.at(frame, self._last)
        if same is None:
            largest = max((face.box for face in self._fine.search(frame)), key=_area, default=None)
            # As it would be found in a result, so that an untouched frame has the very same box.
            same = None if largest is None else self.at(frame, largest)
        self._last = same
        return same

    def at(self, frame: Frame, box: Box) -> Box | None:
        """The face that lies in a box."""
        return _nearest(self._coarse.search(frame), box) or _nearest(self._fine.search(frame), box)


def watch(source: Clip, result: Clip, *, embed_every: int = 5) -> Iterator[Pair]:
    """Looks at two clips frame by frame.

    Args:
        source: what was converted, or the range of it that was.
        result: what came out.
        embed_every: frames from one embedding to the next.

    Raises:
        BadInputError: the clips differ in the number, size or times of their frames.
        ConfigurationError: weights are missing.
    """
    if (source.info.width, source.info.height) != (result.info.width, result.info.height):
        raise BadInputError(f"{result.path}: its frames are of another size than those of {source.path}")
    judges = Judges(source.info.display)
    finder = FaceFinder(float(source.info.sample_aspect_ratio or 1))
    first: tuple[float, float] | None = None
    for index, frames in enumerate(zip_longest(source, result)):
        ours, theirs = frames
        if ours is None or theirs is None:
            short = source.path if ours is None else result.path
            raise BadInputError(f"{short}: ends before frame {index}: give the source of this very result")
        times = float(ours.pts * ours.time_base), float(theirs.pts * theirs.time_base)
        first = first or times
        if abs((times[0] - first[0]) - (times[1] - first[1])) > _SAME_TIME_S:
            raise BadInputError(
                f"{result.path}: frame {index} is not of the source's time: is it its source?"
            )
        yield _pair(index, ours, theirs, judges, finder, embed=index % embed_every == 0)


def embeddings(clip: Clip, *, every: int) -> NDArray[np.float64]:
    """Who is seen in a clip: embeddings ``[N, 128]`` of every so manieth frame with a face.

    Raises:
        BadInputError: there is no face in any of them.
    """
    judges, finder = Judges(clip.info.display), FaceFinder(float(clip.info.sample_aspect_ratio or 1))
    found = []
    for index, frame in enumerate(clip):
        if index % every or (box := finder.follow(frame)) is None:
            continue
        look = judges.look(frame, box)
        if look.doubt <= MOST_DOUBT:
            found.append(judges.embedding(frame, look.landmarks))
    if not found:
        raise BadInputError(f"{clip.path}: no plain face in it: give a clip of the model's person")
    return np.stack(found)


def _pair(index: int, ours: Frame, theirs: Frame, judges: Judges, finder: FaceFinder, *, embed: bool) -> Pair:
    changed = float(np.mean(ours.planes[0] != theirs.planes[0]))
    box = finder.follow(ours)
    if box is None:
        return Pair(index, None, None, changed)
    look = judges.look(ours, box)
    if look.doubt > MOST_DOUBT:
        return Pair(index, None, None, changed)
    source = _seen(ours, look, look.landmarks, judges, embed=embed)
    there = finder.at(theirs, box)
    made = None if there is None else judges.look(theirs, there)
    if made is None or made.doubt > MOST_DOUBT:
        return Pair(index, source, None, changed)
    return Pair(index, source, _seen(theirs, made, look.landmarks, judges, embed=embed), changed)


def _seen(frame: Frame, look: Look, outline: Points, judges: Judges, *, embed: bool) -> Seen:
    within = _framed(frame, outline, 1.0, judges)
    picture, mask = within.picture, within.mask(_INSIDE)
    around = _framed(frame, outline, _AROUND[1], judges)
    ring = around.mask(_AROUND[1]) - around.mask(_AROUND[0])
    embedding = judges.embedding(frame, look.landmarks) if embed else None
    # Below the chin, in the direction that the face's middle line points.
    brow, chin = outline[27], outline[8]
    length = float(np.hypot(*(chin - brow)))
    patch = square_around(chin + _BELOW_CHIN * (chin - brow), _NECK_SIDE * length, 0.0, _NECK_PX)
    return Seen(
        look,
        edges(picture, mask),
        detail(picture, mask),
        edges(around.picture, ring),
        _mean_colour(picture, mask),
        _mean_colour(around.picture, ring),
        judges.crop(frame, patch, _NECK_PX).mean(axis=(1, 2)),
        embedding,
    )


class _Framed(NamedTuple):
    """A square picture ``[3, S, S]`` at the scale of the film, and an outline in its px."""

    picture: NDArray[np.float32]
    outline: Points

    def mask(self, share: float) -> NDArray[np.float32]:
        """The outline, so many times as large: ``[S, S]``."""
        centre = self.outline.mean(axis=0)
        return fill(centre + share * (self.outline - centre), len(self.picture[0]))


def _framed(frame: Frame, outline: Points, margin: float, judges: Judges) -> _Framed:
    low, high = outline.min(axis=0), outline.max(axis=0)
    side = margin * float((high - low).max())
    size_px = round(min(max(side, _PICTURE_PX[0]), margin * _PICTURE_PX[1]))
    square = square_around((low + high) / 2, side, 0.0, size_px)
    return _Framed(judges.crop(frame, square, size_px), apply(invert(square), outline))


def _mean_colour(picture: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray((picture * mask).sum(axis=(1, 2)) / max(float(mask.sum()), 1.0), np.float64)


def _nearest(found: list[Detection], box: Box) -> Box | None:
    overlaps = {face.box: intersection_over_union(face.box, box) for face in found}
    best = max(overlaps, key=overlaps.__getitem__, default=None)
    return best if best is not None and overlaps[best] >= _SAME_FACE else None


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])

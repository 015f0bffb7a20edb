"""How large is the whole face by our landmarks, against the one by the points that it is defined by?

A face's 33 points (17 to 48, and 54 of 300-W's 68) are given in a file: by a person who marked them in a
frame, or by any detector of these points. DeepFaceLab's formula is fitted to them, and our template to our
landmarks of the same face, by Umeyama's method, which is not the product's code. The bias is the mean over
faces of what our crop is larger by. `whole_face_points.json` holds what our template's moves were measured
on; so that they are not judged by their own sources, each face is also looked at with moves of the others.

    python benchmarks/bench_whole_face.py --clips FOLDER [--points FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import write_result
from numpy.typing import NDArray

from crossface.engine.analyze import AnalysisSettings, watch
from crossface.engine.clip import Clip, ReadingSettings
from crossface.engine.face.align import Points, apply
from crossface.engine.swap.whole_face import (
    LANDMARK_OF,
    MEAN_FACE,
    WHOLE_FACE,
    WHOLE_FACE_CENTRE,
    WHOLE_FACE_COVERAGE,
)

ROOT = Path(__file__).parents[1]
INDICES = list(LANDMARK_OF)
MEAN = np.array([MEAN_FACE[point] for point in INDICES])
# Of the same point on the other side of a face.
_PAIRS = [*((17 + n, 26 - n) for n in range(10)), *((31 + n, 35 - n) for n in range(5)), (48, 54)]
_PAIRS += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), *((n, n) for n in (27, 28, 29, 30))]
_OTHER_SIDE = {**dict(_PAIRS), **{b: a for a, b in _PAIRS}}
MIRRORED = [INDICES.index(_OTHER_SIDE[point]) for point in INDICES]


@dataclass(frozen=True)
class Marked:
    """A face: its points, and the landmarks that stand for them, both ``[33, 2]`` in luma px."""

    name: str
    points: Points
    landmarks: Points


def fitted(source: Points, target: Points) -> NDArray[np.float64]:
    """Umeyama, IEEE PAMI 13(4), 1991, equations 38 to 42: ``[2, 3]``."""
    from_mean, to_mean = source.mean(0), target.mean(0)
    u, singular, vt = np.linalg.svd((target - to_mean).T @ (source - from_mean) / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    linear = (singular * signs).sum() / source.var(0).sum() * (u @ np.diag(signs) @ vt)
    return np.column_stack([linear, to_mean - linear @ from_mean])


def read_faces(points: Path, clips: Path) -> list[Marked]:
    faces = []
    for entry in json.loads(points.read_text()):
        marked = np.array([entry["points"][str(point)] for point in INDICES])
        mesh = _landmarks(clips / entry["clip"], entry["frame"], marked)
        faces.append(Marked(entry["clip"], marked, mesh[list(LANDMARK_OF.values())]))
    return faces


def _landmarks(clip: Path, number: int, near: Points) -> Points:
    """All landmarks, steady as for a conversion, of the face in a frame that lies nearest to its points."""
    with Clip(clip, ReadingSettings()) as source, closing(watch(source, AnalysisSettings())) as watched:
        for sighting, steady in watched:
            if sighting.frame.index == number:
                return min(steady.values(), key=lambda mesh: float(np.hypot(*(mesh.mean(0) - near.mean(0)))))
    raise SystemExit(f"{clip}: has no frame {number}")


def moves(faces: Sequence[Marked]) -> NDArray[np.float64]:
    """How far landmarks lie from their points in the aligned face, the same for both sides."""
    each = []
    for face in faces:
        aligned = fitted(face.points, MEAN)
        each.append(apply(aligned, face.landmarks) - apply(aligned, face.points))
    mean: NDArray[np.float64] = np.mean(each, axis=0)
    return (mean + mean[MIRRORED] * [-1, 1]) / 2


def compare(face: Marked, targets: Points) -> tuple[float, float, float]:
    """What our crop is larger by, turned by in degrees, and shifted by in its own sides."""
    theirs, ours = fitted(face.points, MEAN), fitted(face.landmarks, targets)
    scale = np.sqrt(np.linalg.det(theirs[:, :2]) / np.linalg.det(ours[:, :2]))
    turn = np.arctan2(ours[1, 0], ours[0, 0]) - np.arctan2(theirs[1, 0], theirs[0, 0])
    middle = face.points.mean(0)
    shift = np.hypot(*(apply(ours, middle) - apply(theirs, middle))) / WHOLE_FACE_COVERAGE
    return float(scale) - 1, float(np.degrees(turn)), float(shift)


def summary(found: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    larger, turned_deg, shifted = np.array(found).T
    return {
        "larger_by": round(float(larger.mean()), 4),
        "standard_error": round(float(larger.std(ddof=1) / np.sqrt(len(larger))), 4),
        "spread": round(float(larger.std(ddof=1)), 4),
        "turned_by_deg": round(float(turned_deg.mean()), 2),
        "shifted_by": round(float(shifted.mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=Path, default=ROOT / "build" / "clips")
    parser.add_argument("--points", type=Path, default=Path(__file__).with_name("whole_face_points.json"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    faces = read_faces(options.points, options.clips)
    ours = np.array(list(WHOLE_FACE.values())) + WHOLE_FACE_CENTRE
    without_own = [
        compare(face, MEAN + moves([other for other in faces if other is not face])) for face in faces
    ]
    figures = {
        "landmarks as they are": summary([compare(face, MEAN) for face in faces]),
        "moved as in the product": summary([compare(face, ours) for face in faces]),
        "moved as the other faces say": summary(without_own),
    }
    each = {
        face.name: {"as they are": round(compare(face, MEAN)[0], 4), "without own": round(found[0], 4)}
        for face, found in zip(faces, without_own, strict=True)
    }
    print(json.dumps({"faces": each, **figures}, indent=2))
    if options.json:
        write_result(options.json, "How large is the whole face?", ("av",), {"faces": each, **figures})


if __name__ == "__main__":
    main()

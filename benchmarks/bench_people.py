"""How well are the people of some clips told apart by pictures of their faces?

Every track is looked at each ``--every`` frames. Two measures, over looks of one person and of two:

    pairs       distance of two looks
    picture     distance of one look, as of a picture that somebody gives, from the mean of a person's others,
                or from another person's mean: what `--faces-of PICTURE` decides by
    auc         chance that two of one person are nearer than two of different people
    found       share of pictures nearer than the distance that is used to the person's own mean
    wrong       share of pictures that near to somebody else's

    python benchmarks/bench_people.py [NAME=CLIP[#TRACK]...] [--every 40] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from machine import write_result
from numpy.typing import NDArray
from scipy.stats import rankdata

from crossface.engine.analyze import AnalysisSettings, analyze
from crossface.engine.clip import Clip
from crossface.engine.errors import CrossfaceError, UsageError
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.face.looks import LookFinder
from crossface.engine.face.person import FOUND, unpacked

_CLIPS = Path(__file__).parents[1] / "build" / "clips"
_PEOPLE = (
    f"man={_CLIPS / 'single_face.mp4'}",
    f"man={_CLIPS / 'face_noface.mov'}",
    f"woman={_CLIPS / 'WolfgangLanger_Pexels.mp4'}",
)
Looks = NDArray[np.float64]


def looks_of(clip: Path, every: int) -> dict[int, list[Looks]]:
    """By track."""
    found: dict[int, list[Looks]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "shot.faces"
        for _ in analyze(clip, path, settings=AnalysisSettings(select="all"), device="cpu"):
            pass
        with Clip(clip) as frames:
            finder = LookFinder(display=frames.info.display)
            for frame, line in zip(frames, FacesFile(path), strict=True):
                for face in line.faces if frame.index % every == 0 else ():
                    found[face.track].append(unpacked(finder.look(frame, face.landmarks)))
    return found


def figures(people: dict[str, list[Looks]]) -> dict[str, object]:
    """Of looks by name, two at least for everybody."""
    within, between = [], []
    for looks in people.values():
        within += [float(np.linalg.norm(a - b)) for a, b in combinations(looks, 2)]
    for one, other in combinations(people.values(), 2):
        apart = np.array(one)[:, None] - np.array(other)[None]
        between += np.linalg.norm(apart, axis=2).ravel().tolist()
    own, others = [], []
    for name, looks in people.items():
        total = np.sum(looks, axis=0)
        own += [float(np.linalg.norm(look - (total - look) / (len(looks) - 1))) for look in looks]
        means = [np.mean(each, axis=0) for key, each in people.items() if key != name]
        others += [float(np.linalg.norm(look - mean)) for look in looks for mean in means]
    return {
        "people": {name: len(looks) for name, looks in people.items()},
        "pairs": {"same": len(within), "different": len(between), "auc": auc(within, between)},
        "picture": {
            "same": len(own),
            "different": len(others),
            "auc": auc(own, others),
            "within": FOUND,
            "found": round(float((np.array(own) < FOUND).mean()), 4),
            "wrong": round(float((np.array(others) < FOUND).mean()), 5),
            "largest_own": round(max(own), 3),
            "least_other": round(min(others), 3),
        },
    }


def auc(same: Iterable[float], different: Iterable[float]) -> float:
    """By ranks (Mann and Whitney 1947)."""
    near, far = list(same), list(different)
    ranks = rankdata([*near, *far])[: len(near)].sum()
    return round(float(1 - (ranks - len(near) * (len(near) + 1) / 2) / (len(near) * len(far))), 5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "people", nargs="*", metavar="NAME=CLIP[#TRACK]", help="man and woman of the demo without any"
    )
    parser.add_argument("--every", type=int, default=40, help="frames from one look to the next")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    clips: dict[str, dict[int, list[Looks]]] = {}
    people: dict[str, list[Looks]] = defaultdict(list)
    for text in options.people or _PEOPLE:
        name, equals, where = text.partition("=")
        clip, _, track = where.partition("#")
        if not (name and equals and clip):
            raise UsageError(f"{text}: give it as NAME=CLIP or NAME=CLIP#TRACK")
        if clip not in clips:
            clips[clip] = looks_of(Path(clip), options.every)
        people[name] += clips[clip][int(track or 0)]
    found = figures({name: looks for name, looks in people.items() if len(looks) > 1})
    for key, value in found.items():
        print(f"{key}: {value}")
    if options.json is not None:
        question = "how well people of the clips are told apart by pictures of their faces"
        write_result(options.json, question, ("av", "onnxruntime"), {"every_frames": options.every, **found})


if __name__ == "__main__":
    try:
        main()
    except CrossfaceError as error:
        print(f"bench_people: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

"""How likely a face without a mark reads as if it had one: `search` on unmarked clips, under many other keys.

A face's own detail under a random key is as good as another face: so one clip gives many trials. Prints the
likeness that the best of each search had; how often it would be over `LEAST_LIKENESS`, as Gumbel's law for
the largest of many has it with the same mean and deviation; and how often with the right version and check
bits as well, which one in 65536 arbitrary codes has.

    python benchmarks/bench_mark_alarms.py TRIALS CLIP...
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np

from crossface.engine.clip import Clip
from crossface.engine.face.detector import DetectionSettings, Detector
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.face.track import Tracker
from crossface.engine.provenance.mark import search
from crossface.engine.provenance.mark.find import LEAST_LIKENESS, WINDOW_FRAMES, AlignedTrack
from crossface.engine.provenance.mark.pattern import CHIPS_A_BIT
from crossface.engine.provenance.mark.payload import CODE_BITS


def details_of(path: Path) -> list[np.ndarray]:
    """Of the largest face of a clip's first window."""
    with Clip(path) as clip:
        display = clip.info.display
        track = AlignedTrack(display)
        tracker = Tracker(Detector(DetectionSettings()), LandmarkFinder(display=display))
        for sighting in tracker.follow(islice(iter(clip), WINDOW_FRAMES)):
            if sighting.faces:
                track.add(sighting.frame, sighting.faces[0])
    return track.details


def main(trials: int, clips: list[Path]) -> None:
    random = np.random.default_rng(7)
    details = [details_of(clip) for clip in clips]
    best, codes, payloads = [], 0, 0
    for trial in range(trials):
        signs = np.sign(random.standard_normal((CODE_BITS, CHIPS_A_BIT))).astype(np.float32)
        search.signs = lambda signs=signs: signs  # type: ignore[assignment]
        readings = search.candidates(details[trial % len(details)])
        best.append(max(reading.likeness for reading in readings))
        codes += len(readings)
        payloads += sum(reading.payload is not None for reading in readings)
        print(trial, f"best {best[-1]:.4f}", flush=True)
    mean, deviation = float(np.mean(best)), float(np.std(best))
    spread = deviation * np.sqrt(6) / np.pi
    over = -np.expm1(-np.exp(-(LEAST_LIKENESS - mean + np.euler_gamma * spread) / spread))
    print(
        f"{trials} searches, {codes} codes: the best of a search {mean:.4f} +- {deviation:.4f}, at most "
        f"{max(best):.4f}; over {LEAST_LIKENESS} in {over:.2g} of searches, and right in {over / 2**16:.1g}; "
        f"{payloads} codes with right version and check bits"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), [Path(each) for each in sys.argv[2:]])

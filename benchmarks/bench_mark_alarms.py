"""How likely a face without a mark reads as if it had one: `search` on every window of unmarked clips.

Windows begin `PART_FRAMES` after each other, and each is searched as it is and mirrored. Prints how many of
the searches had a code over `LEAST_CERTAINTY`, how often one with the right version and check bits as well is
to be expected, which one in 65536 arbitrary codes has, and how many really had. ``--keys random`` gives each
search a key of its own, under which a face's detail is as good as another face's.

    python benchmarks/bench_mark_alarms.py [--keys public|random] [--json FILE] CLIP[@HEIGHT_PX]...
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_mark import enlarged
from machine import write_result

from crossface.engine.clip import Clip
from crossface.engine.face.detector import DetectionSettings, Detector
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.face.track import Tracker
from crossface.engine.provenance.mark import search
from crossface.engine.provenance.mark.find import LEAST_CERTAINTY, PART_FRAMES, WINDOW_FRAMES, AlignedTrack
from crossface.engine.provenance.mark.pattern import CHIPS_A_BIT
from crossface.engine.provenance.mark.payload import CODE_BITS

# How fast the tail falls.
AROUND = (0.815, 0.82, LEAST_CERTAINTY, 0.83, 0.835)
WINDOW_PARTS = WINDOW_FRAMES // PART_FRAMES


def windows(path: Path) -> Iterator[list[np.ndarray]]:
    """Details of the faces of each window of a clip; of a shorter track all of them."""
    tracks: dict[int, AlignedTrack] = {}
    with Clip(path) as clip:
        display = clip.info.display
        tracker = Tracker(Detector(DetectionSettings()), LandmarkFinder(display=display))
        for sighting in tracker.follow(iter(clip)):
            for face in sighting.faces:
                tracks.setdefault(face.track, AlignedTrack(display)).add(sighting.frame, face)
    for track in tracks.values():
        # The last part may be cut short.
        parts = track.details[: track.faces // PART_FRAMES]
        if len(parts) < 2:
            continue
        for first in range(max(len(parts) - WINDOW_PARTS, 0) + 1):
            window = parts[first : first + WINDOW_PARTS]
            yield window
            yield [np.ascontiguousarray(part[:, ::-1]) for part in window]


def summary(certainties: list[float]) -> str:
    """In words."""
    if not certainties:
        return "no searches"
    mean, deviation = np.mean(certainties), np.std(certainties)
    return f"{len(certainties)} searches, best {mean:.4f} +- {deviation:.4f}, at most {max(certainties):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", metavar="CLIP[@HEIGHT_PX]")
    parser.add_argument("--keys", choices=("public", "random"), default="public")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    random = np.random.default_rng(7)
    best: dict[str, list[float]] = defaultdict(list)
    codes: list[float] = []
    payloads = 0
    for named in asked.clips:
        with tempfile.TemporaryDirectory() as folder:
            for window in windows(enlarged(named, Path(folder))):
                if asked.keys == "random":
                    signs = np.sign(random.standard_normal((CODE_BITS, CHIPS_A_BIT))).astype(np.float32)
                    search.signs = lambda signs=signs: signs  # type: ignore[assignment]
                readings = search.candidates(window)
                best[Path(named).name].append(max(reading.certainty for reading in readings))
                codes += [reading.certainty for reading in readings]
                payloads += sum(
                    reading.payload is not None and reading.certainty >= LEAST_CERTAINTY
                    for reading in readings
                )
        print(named, summary(best[Path(named).name]), flush=True)
    every = [certainty for found in best.values() for certainty in found]
    if not every:
        raise SystemExit("no face is seen for long enough")
    print(summary(every))
    over = {least: sum(code >= least for code in codes) for least in AROUND}
    chance = over[LEAST_CERTAINTY] / len(every) / 2**16
    passed = f"{over[LEAST_CERTAINTY]} codes over {LEAST_CERTAINTY}"
    print(f"{passed}: a mark by chance in {chance:.1g}; found {payloads}")
    if asked.json:
        figures = {
            "keys": asked.keys,
            "searches": {name: len(found) for name, found in best.items()},
            "mean": round(float(np.mean(every)), 4),
            "deviation": round(float(np.std(every)), 4),
            "largest": round(max(every), 4),
            "codes_over": over,
            "found": payloads,
        }
        write_result(
            asked.json, "How likely is a mark found where there is none?", ["av", "onnxruntime"], figures
        )


if __name__ == "__main__":
    main()

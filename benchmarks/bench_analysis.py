"""How much CPU time do detection and landmarks take a frame, and which part of them?

The clip is enlarged with x264 to each size. All threads of the process count, less what decoding alone takes.
The least of several rounds stands, because other work on a machine adds CPU time and never takes any away.
Parts come from one more round under a profiler, which adds a little to each. Loading the networks is timed
apart, in a process of its own.

    python benchmarks/bench_analysis.py [--clip FILE] [--frames N] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from enlarge import enlarge
from machine import cpu_model, write_result

from crossface.engine.face import cuts, track
from crossface.engine.face.detector import Detector
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.video.reader import Reader

ROOT = Path(__file__).parents[1]
HEIGHTS_PX = {"720p": 720, "1080p": 1080}
# Each counts all that it calls.
PARTS: dict[str, tuple[Callable[..., object], ...]] = {
    "follow": (track.Tracker._step,),
    "glance": (Detector.glance,),
    "search": (Detector.search,),
    "new faces": (LandmarkFinder.is_face, LandmarkFinder.find),
    "cuts": (cuts.thumbnail, cuts.is_cut),
}
LOAD = """
import time
started_s = time.monotonic()
from crossface.engine.face.detector import Detector
from crossface.engine.face.landmarks import LandmarkFinder
imported_s = time.monotonic()
Detector(), LandmarkFinder()
print(imported_s - started_s, time.monotonic() - imported_s)
"""


def decode(clip: Path) -> int:
    with Reader(clip, threads=1, trusted=True) as reader:
        return sum(1 for _ in reader)


def analyse(clip: Path) -> int:
    """Decoding included; gives the faces in all frames."""
    tracker = track.Tracker(Detector(), LandmarkFinder())
    with Reader(clip, threads=1, trusted=True) as reader:
        return sum(len(sighting.faces) for sighting in tracker.follow(reader))


def cpu_ms(work: Callable[[Path], int], clip: Path, rounds: int) -> float:
    taken_s = []
    for _ in range(rounds):
        started_s = time.process_time()
        work(clip)
        taken_s.append(time.process_time() - started_s)
    return 1000 * min(taken_s)


def parts(clip: Path) -> dict[str, float]:
    """CPU-ms by `PARTS`, of this thread, while another decodes: by default there are no more."""
    profile = cProfile.Profile(time.thread_time)
    profile.runcall(analyse, clip)
    cumulative_s = {key: entry[3] for key, entry in pstats.Stats(profile).stats.items()}
    return {
        name: sum(1000 * cumulative_s.get(_key(function), 0.0) for function in functions)
        for name, functions in PARTS.items()
    }


def _key(function: Callable[..., object]) -> tuple[str, int, str]:
    code = function.__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", type=Path, default=ROOT / "build/clips/WolfgangLanger_Pexels.mp4")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()

    results: dict[str, dict[str, float]] = {}
    print(f"{options.clip.name}, {cpu_model()}\n")
    print("CPU ms/frame" + "".join(f"{name:>11}" for name in ("all", *PARTS, "decoding")))
    with tempfile.TemporaryDirectory() as folder:
        for name, height in HEIGHTS_PX.items():
            clip = enlarge(options.clip, Path(folder) / f"{name}.mp4", height, options.frames)
            frames = decode(clip)
            decoding_ms = cpu_ms(decode, clip, options.rounds)
            figures = {
                "all": cpu_ms(analyse, clip, options.rounds) - decoding_ms,
                **parts(clip),
                "decoding": decoding_ms,
            }
            results[name] = {part: ms / frames for part, ms in figures.items()}
            print(f"{name:12}" + "".join(f"{ms:11.2f}" for ms in results[name].values()))
    done = subprocess.run([sys.executable, "-c", LOAD], check=True, capture_output=True, text=True)
    import_s, load_s = map(float, done.stdout.split())
    print(f"\nimport {1000 * import_s:.0f} ms, networks loaded in {1000 * load_s:.0f} ms (wall)")
    if options.json:
        write_result(
            options.json,
            "CPU time of detection and landmarks a frame, by part",
            ("av", "onnxruntime"),
            {
                "clip": options.clip.name,
                "frames": options.frames,
                "cpu_ms_per_frame": results,
                "import_ms": 1000 * import_s,
                "load_ms": 1000 * load_s,
            },
        )


if __name__ == "__main__":
    main()

"""Is a face found the right way up? Faces of clips in which all stand, shown turned, and shrunk.

Every ``--every``-th frame is shown in each of the ``--sizes`` and turned by each multiple of 30 degrees.
Counted are faces whose eyes are found more than 60 degrees off, and faces that are not found when turned.

    python benchmarks/bench_roll.py [--every FRAMES] [--sizes SHARE,...] [--json FILE] CLIP...
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import write_result

from crossface.engine.face.detector import Detector
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.face.mesh import LEAST_PRESENCE
from crossface.engine.frame import Frame
from crossface.engine.video.planes import planes_of
from crossface.engine.video.reader import Reader

TURNS_DEG = range(0, 360, 30)


def finder_turned(turn_deg: int) -> LandmarkFinder:
    """To which pictures are shown turned, clockwise."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    return LandmarkFinder(display=np.array([[c, -s], [s, c]]))


def sized(frame: Frame, share: float) -> Frame:
    assert frame.source is not None
    width, height = (2 * round(side * share / 2) for side in (frame.width, frame.height))
    picture = frame.source.reformat(width, height, interpolation="BICUBIC")
    return replace(frame, planes=planes_of(picture), source=picture)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=60)
    parser.add_argument("--sizes", default="1,0.5,0.25")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    detector, finders = Detector(), {turn: finder_turned(turn) for turn in TURNS_DEG}
    wrong, missed, spent_s = dict.fromkeys(TURNS_DEG, 0), dict.fromkeys(TURNS_DEG, 0), 0.0
    faces = 0
    for clip in asked.clips:
        before = faces, sum(wrong.values())
        with Reader(clip, trusted=True) as reader:
            for number, whole in enumerate(reader):
                if number % asked.every:
                    continue
                for share in map(float, asked.sizes.split(",")):
                    frame = sized(whole, share)
                    for detection in detector.search(frame):
                        (level,) = finders[0].find(frame, [detection])
                        if level.presence < LEAST_PRESENCE:
                            continue
                        faces += 1
                        for turn, finder in finders.items():
                            begun = time.process_time()
                            (mesh,) = finder.find(frame, [detection])
                            spent_s += time.process_time() - begun
                            across, down = finder.aims.eye_line(mesh.landmarks)
                            off_deg = (np.degrees(np.arctan2(down, across)) - turn + 180) % 360 - 180
                            found = mesh.presence >= LEAST_PRESENCE
                            missed[turn] += not found
                            wrong[turn] += bool(found and abs(off_deg) > 60)
        print(
            f"{clip.name}: {faces - before[0]} faces, {sum(wrong.values()) - before[1]} wrong in "
            f"{len(TURNS_DEG)} turns of each",
            flush=True,
        )
    for turn in TURNS_DEG:
        print(f"turned by {turn:3} degrees: {wrong[turn]} of {faces} wrong, {missed[turn]} not found")
    cpu_ms = 1000 * spent_s / max(faces * len(TURNS_DEG), 1)
    print(f"{cpu_ms:.0f} CPU-ms to find a face")
    if asked.json:
        figures = {"faces": faces, "wrong": wrong, "not_found": missed, "cpu_ms_a_face": round(cpu_ms, 1)}
        write_result(asked.json, "Is a face found the right way up?", ["av", "onnxruntime"], figures)


if __name__ == "__main__":
    main()

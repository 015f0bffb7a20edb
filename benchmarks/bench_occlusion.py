"""What does the occlusion network see before the faces of clips, and how steadily?

For each clip: how much of the faces' middle it says is covered, how much that flickers, frame by frame and
after `steady_cover`, and what it costs. A clip of bare faces should have near nothing. Flicker is how far a
map's pixels lie from the mean of the frames before and after. With --sheet some frames are drawn, each above
the same with what is covered in purple.

    python benchmarks/bench_occlusion.py [CLIP ...] [--every N] [--sheet FILE.png] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from machine import write_result
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.analyze import analyze
from crossface.engine.clip import Clip
from crossface.engine.face.align import crop_to_frame
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.on_device.frame import in_host
from crossface.engine.review.png import write_png
from crossface.engine.settings import AnalysisSettings
from crossface.engine.swap.occlusion import Occlusion
from crossface.engine.swap.steady_cover import HELD_FRAMES, steady_cover

ROOT = Path(__file__).parents[1]
CELL_PX, COLUMNS = 88, 8
COVERAGE = 1.2
PURPLE = np.array([0.75, 0.0, 0.75], np.float32)


def look(clip: Path, every: int) -> tuple[dict[str, float], list[NDArray[np.uint8]]]:
    """Figures of a clip, and pictures of some of its faces, one above the other."""
    occlusion = Occlusion(batch=8, threads=1)
    shares: dict[int, list[float]] = {}
    maps: dict[int, list[NDArray[np.uint8]]] = {}
    cells, cost_s, faces = [], 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shot.faces"
        for _ in analyze(clip, path, settings=AnalysisSettings(select="all"), device="cpu"):
            pass
        with Clip(clip) as opened:
            for decoded, line in islice(zip(opened, FacesFile(path), strict=False), 0, None, every):
                frame = in_host(decoded)
                for face in line.faces:
                    placed = crop_to_frame(
                        face.landmarks, size_px=CELL_PX, coverage=COVERAGE, display=opened.info.display
                    )
                    start = time.process_time()
                    seen = occlusion.look([(frame, placed)], CELL_PX)
                    cost_s, faces = cost_s + time.process_time() - start, faces + 1
                    shares.setdefault(face.track, []).append(float(seen.covered[0]))
                    maps.setdefault(face.track, []).append(np.round(seen.visible[0] * 255).astype(np.uint8))
                    rgb = kernels.crop(frame, placed[None], CELL_PX)[0].transpose(1, 2, 0)
                    hidden = np.ones((CELL_PX, CELL_PX), np.float32)
                    kernels.uncover(hidden, seen.visible[0])
                    covered = (1 - hidden[..., None]) * 0.7
                    both = np.concatenate([rgb, rgb * (1 - covered) + covered * PURPLE])
                    cells.append(np.round(np.clip(both, 0, 1) * 255).astype(np.uint8))
    every_share = np.concatenate([*shares.values(), [0.0]])[:-1]
    raw = [np.stack(each) / 255 for each in maps.values()]
    steady = [
        np.stack([steady_cover(each[max(n - HELD_FRAMES, 0) : n + 1]) for n in range(len(each))])
        for each in maps.values()
    ]
    figures = {
        "faces": faces,
        "covered, median": round(float(np.median(every_share)), 4) if faces else 0.0,
        "covered, most": round(float(every_share.max()), 4) if faces else 0.0,
        "covered, mean": round(float(every_share.mean()), 4) if faces else 0.0,
        "flicker, frame by frame": flicker(raw),
        "flicker, as drawn": flicker(steady),
        "CPU-ms a face, one at a time": round(1000 * cost_s / max(faces, 1), 2),
    }
    return figures, cells


def flicker(tracks: list[NDArray[np.floating]]) -> float:
    """Mean distance of pixels from the mean of the frames before and after."""
    ways = [np.abs(each[1:-1] - (each[:-2] + each[2:]) / 2).ravel() for each in tracks if len(each) > 2]
    return round(float(np.concatenate(ways).mean()), 4) if ways else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="*", default=[ROOT / "build" / "clips" / "single_face.mp4"])
    parser.add_argument("--every", type=int, default=1, help="look at every n-th frame")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures, rows = {}, []
    for clip in options.clips:
        figures[clip.name], cells = look(clip, options.every)
        if cells:
            chosen = np.linspace(0, len(cells) - 1, COLUMNS).astype(int)
            rows.append(np.concatenate([cells[n] for n in chosen], axis=1))
    print(json.dumps(figures, indent=2))
    if options.sheet and rows:
        write_png(options.sheet, np.ascontiguousarray(np.concatenate(rows)))
    if options.json:
        write_result(options.json, "What lies before faces?", ("av", "onnxruntime"), figures)


if __name__ == "__main__":
    main()

"""How steady are masks while a face is still, and what do the choices look like?

A mask that breathes shows as a rim that comes and goes. The change of its area in the film, in px, from one
frame to the next is told for frames in which the face is still: no point of its outline, chin included, moves
by more than 0.3 % of the face's height. With --sheet a picture of the choices is drawn.

    python benchmarks/bench_masks.py [CLIP MODEL] [--frames N] [--sheet FILE.png] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from machine import write_result
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.analyze import analyze
from crossface.engine.clip import Clip
from crossface.engine.face.align import CHIN, FACE_OVAL, FOREHEAD_TOP
from crossface.engine.face.faces_file import FacesFile, FrameFaces
from crossface.engine.frame import Frame
from crossface.engine.jobs.segment import batches
from crossface.engine.on_device.frame import in_host
from crossface.engine.review.measure import Recorder, read_records
from crossface.engine.review.png import write_png
from crossface.engine.swap.batch import BatchSwapper
from crossface.engine.swap.cast import Cast
from crossface.engine.swap.mask import MaskSettings
from crossface.engine.swap.model import Swappers, load_swappers
from crossface.engine.swap.steady_match import MatchSettings

ROOT = Path(__file__).parents[1]
STILL = 0.003
CELL_PX = 160
CHOICES: Mapping[str, MaskSettings] = {
    "the default": MaskSettings(),
    "--mask hull": MaskSettings(kind="hull"),
    "--mask learned": MaskSettings(kind="learned"),
    "--cover features": MaskSettings(cover="features"),
    "--mask hull --cover whole": MaskSettings(kind="hull", cover="whole"),
    "--erode 8": MaskSettings(erode_top=0.08, erode_right=0.08, erode_bottom=0.08, erode_left=0.08),
    "--feather 25": MaskSettings(feather=0.25),
}


def lines_of(clip: Path, scratch: Path) -> list[FrameFaces]:
    for _ in analyze(clip, scratch / "shot.faces", device="cpu"):
        pass
    return list(FacesFile(scratch / "shot.faces"))


def swapped(
    clip: Path, lines: Sequence[FrameFaces], swappers: Swappers, mask: MaskSettings, records: Path
) -> Iterator[Frame]:
    """The clip's first frames with new faces; what became of them is written to ``records``."""
    with Clip(clip) as opened, Recorder(records, opened.info) as recorder:
        swapper = BatchSwapper(
            swappers, opened.info.display, match=MatchSettings(), mask=mask, recorder=recorder
        )
        work = zip(islice(opened, len(lines)), lines, strict=True)
        for done in swapper.swapped(batches(work, 8)):
            for frame, line in done.frames:
                recorder.frame(frame.pts, line.shot, swapper.tracks_of(line))
                yield in_host(frame)


def motion(lines: Sequence[FrameFaces]) -> NDArray[np.float64]:
    """Of the face's outline from frame to frame, in face heights: the most of its points, ``[N-1]``."""
    points = np.stack([line.faces[0].landmarks for line in lines])
    heights_px = np.hypot(*(points[:, FOREHEAD_TOP] - points[:, CHIN]).T)
    outline = points[:, list(FACE_OVAL)]
    most: NDArray[np.float64] = np.hypot(*np.diff(outline, axis=0).transpose(2, 0, 1)).max(axis=1)
    return most / heights_px[1:]


def crop_areas(clip: Path, lines: Sequence[FrameFaces], swappers: Swappers) -> NDArray[np.float64]:
    """Of the crops that faces are drawn in, luma px: a crop that grows shows a smaller face. ``[N]``."""
    (swapper,) = swappers.values()
    with Clip(clip) as opened:
        cast = Cast({None: swapper.metadata}, opened.info.display, MaskSettings())
        placed = [cast.work_of([pair])[None][0].drawn_placed for pair in zip(opened, lines, strict=False)]
    side_px = swapper.metadata.output_px
    return np.array([abs(np.linalg.det(each[:, :2])) * side_px**2 for each in placed])


def steadiness(records: Path, still: NDArray[np.bool_], crops: NDArray[np.float64]) -> dict[str, float]:
    areas = crops * np.array([frame.faces[0].mask_area for frame in read_records([records])])
    changes = 100 * np.abs(np.diff(areas)) / areas[1:]
    calm = changes[still]
    found = {"median": np.median(calm), "95 of 100": np.percentile(calm, 95), "most": calm.max()}
    return {"still frames": int(still.sum()), **{key: round(float(each), 3) for key, each in found.items()}}


def cell(frame: Frame, line: FrameFaces) -> NDArray[np.uint8]:
    """The face of a frame: uint8 ``[CELL_PX, CELL_PX, 3]``."""
    x0, y0, x1, y1 = line.faces[0].box
    scale = 1.5 * max(x1 - x0, y1 - y0) / CELL_PX
    x, y = ((a + b) / 2 - scale * CELL_PX / 2 for a, b in ((x0, x1), (y0, y1)))
    rgb = kernels.crop(frame, np.array([[[scale, 0.0, x], [0.0, scale, y]]]), CELL_PX)[0]
    picture: NDArray[np.uint8] = np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?", default=ROOT / "build" / "clips" / "single_face.mp4")
    parser.add_argument("model", type=Path, nargs="?", default=ROOT / "samples" / "demo.onnx")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures, columns = {}, []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        lines = lines_of(options.clip, scratch)[: options.frames]
        swappers = load_swappers({None: options.model}, batch=8, threads=1)
        still, crops = motion(lines) < STILL, crop_areas(options.clip, lines, swappers)
        shown = len(lines) // 3
        with Clip(options.clip) as opened:
            source = in_host(next(islice(opened, shown, None)))
            columns.append(cell(source, lines[shown]))
        for name, mask in CHOICES.items():
            records = scratch / "records.jsonl"
            for number, frame in enumerate(swapped(options.clip, lines, swappers, mask, records)):
                if number == shown:
                    columns.append(cell(frame, lines[number]))
            figures[name] = steadiness(records, still, crops)
    print(json.dumps({"area change in %": figures}, indent=2))
    if options.sheet:
        half = len(columns) // 2
        rows = [np.concatenate(columns[n : n + half], axis=1) for n in (0, half)]
        write_png(options.sheet, np.ascontiguousarray(np.concatenate(rows)))
    if options.json:
        write_result(
            options.json, "How steady are masks?", ("av", "onnxruntime"), {"area change in %": figures}
        )


if __name__ == "__main__":
    main()

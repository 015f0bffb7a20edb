"""What the imperceptible mark survives, and how much it changes: films are converted, changed, and looked at.

Each window of a clip is converted several times, with other choices of colour, so that each time another
payload lies in another face; without loss, so that the change is all that the mark suffers. Of the first job
all changes are tried, of the others ``--often``. Prints how often the right payload was found, the likeness
of what was read, any wrong payload, and PSNR of marked against unmarked luma within the face's outline.
``--only-often`` is for many windows: the other changes and PSNR are left out. A clip whose faces are small is
enlarged to ``@HEIGHT_PX`` first.

    python benchmarks/bench_mark.py [--jobs N] [--often CHANGE] [--only-often] [--mask KIND] [--json FILE]
        MODEL CLIP[@HEIGHT_PX]:FIRST_S[,...]...
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import av.filter
import numpy as np
from machine import write_result

from crossface.engine import ConversionSettings, ReadingSettings, convert
from crossface.engine.face.align import CHIN, FACE_OVAL, FOREHEAD_TOP
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.jobs.plan import Plan
from crossface.engine.provenance.mark.find import FoundMark, find_mark
from crossface.engine.provenance.mark.payload import Payload
from crossface.engine.swap.mask import MaskSettings, hull_edges

WINDOW_S = 5
COLOURS = ("reinhard", "mean", "mkl", "none", "hist")
LOSSLESS = {"crf": "0", "preset": "ultrafast"}

# Filter, encoder, its options.
CHANGES = {
    "x264 crf 18": ("null", "libx264", {"crf": "18"}),
    "x264 crf 23": ("null", "libx264", {"crf": "23"}),
    "x264 crf 28": ("null", "libx264", {"crf": "28"}),
    "x264 crf 33": ("null", "libx264", {"crf": "33"}),
    "x265 crf 28": ("null", "libx265", {"crf": "28", "x265-params": "log-level=error:pools=1"}),
    "half size": ("scale=trunc(iw/4)*2:trunc(ih/4)*2:flags=bicubic", "libx264", {"crf": "18"}),
    "20 % crop": ("crop=floor(iw*0.4)*2:floor(ih*0.4)*2", "libx264", {"crf": "18"}),
    "5 degrees": ("rotate=5*PI/180", "libx264", {"crf": "18"}),
    "rate x 1.2": ("fps={fps}", "libx264", {"crf": "18"}),
}


def change(source: Path, target: Path, chain: str, encoder: str, options: dict[str, str]) -> None:
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        stream = film.streams.video[0]
        rate = Fraction(stream.average_rate or 25)
        graph, stamped = av.filter.Graph(), stream.time_base
        before = graph.add_buffer(template=stream, time_base=stamped)
        shown = rate * Fraction(6, 5) if "{fps}" in chain else rate
        name, _, arguments = chain.format(fps=shown).partition("=")
        graph.link_nodes(before, graph.add(name, arguments or None), graph.add("buffersink")).configure()
        encoded, count = None, 0

        def write(frames: list[av.VideoFrame]) -> None:
            nonlocal encoded, count
            for frame in frames:
                if encoded is None:
                    encoded = out.add_stream(encoder, rate=shown, options=options)
                    encoded.width, encoded.height = frame.width, frame.height
                    encoded.pix_fmt = "yuv420p"
                frame.pts, frame.time_base, frame.pict_type = (
                    count,
                    1 / shown,
                    av.video.frame.PictureType.NONE,
                )
                count += 1
                out.mux(encoded.encode(frame))

        def pulled() -> list[av.VideoFrame]:
            frames = []
            while True:
                try:
                    frames.append(graph.vpull())
                except (av.error.BlockingIOError, av.error.EOFError):
                    return frames

        for frame in film.decode(stream):
            graph.vpush(frame)
            write(pulled())
        graph.vpush(None)
        write(pulled())
        assert encoded is not None
        out.mux(encoded.encode())


def enlarged(named: str, folder: Path) -> Path:
    """The clip, or a copy in the folder of one that is named with a height, ``CLIP@HEIGHT_PX``."""
    name, at, height_px = named.partition("@")
    clip = Path(name)
    if not at:
        return clip
    copy = folder / f"{clip.stem}-{height_px}.mp4"
    change(clip, copy, f"scale=-2:{height_px}:flags=bicubic", "libx264", {"crf": "16", "preset": "veryfast"})
    return copy


def converted(model: Path, clip: Path, first_s: float, target: Path, settings: ConversionSettings) -> Plan:
    with av.open(str(clip)) as film:
        whole_s = float(film.duration or 0) / 1e6
    end = f"{first_s + WINDOW_S}s" if first_s + WINDOW_S < whole_s else None
    reading = ReadingSettings(start=f"{first_s}s", end=end)
    for _ in convert(
        clip, model, target, settings=settings, reading=reading, rights_stated=True, device="cpu"
    ):
        pass
    return Plan.read(target.with_name(target.name + ".job") / "plan.json")


def lumas(film: Path) -> list[np.ndarray]:
    with av.open(str(film)) as container:
        return [frame.to_ndarray()[: frame.height].astype(float) for frame in container.decode(video=0)]


def faces_of(film: Path) -> FacesFile:
    return FacesFile(film.with_name(film.name + ".job") / "shot.faces")


def face_height_px(film: Path) -> float:
    """The median of the film's first faces."""
    faces = [face.landmarks for line in faces_of(film) for face in line.faces[:1]]
    return float(np.median([np.linalg.norm(face[FOREHEAD_TOP] - face[CHIN]) for face in faces]))


def face_psnr_db(film: Path, unmarked: Path) -> float:
    """Of luma within the face's outline, over the film."""
    errors = []
    for one, other, line in zip(lumas(film), lumas(unmarked), faces_of(film), strict=False):
        for face in line.faces[:1]:
            edges = hull_edges(face.landmarks[list(FACE_OVAL)])
            rows, columns = np.indices(one.shape) + 0.5
            inside = np.ones(one.shape, bool)
            for across, down, offset in edges:
                inside &= across * columns + down * rows > offset
            errors.append(((one - other)[inside] ** 2).mean())
    return float(10 * np.log10(255**2 / np.mean(errors)))


def verdict(found: FoundMark, wanted: Payload | None) -> str:
    return "found" if found.payload == wanted else "wrong" if found.payload else "lost"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("windows", nargs="+", metavar="CLIP[@HEIGHT_PX]:FIRST_S[,...]")
    parser.add_argument("--jobs", type=int, default=2, choices=range(1, len(COLOURS) + 1))
    parser.add_argument("--often", default="x264 crf 28", choices=CHANGES)
    parser.add_argument("--only-often", action="store_true")
    parser.add_argument("--mask", default="hull", help="hull: all of a stranger's face is drawn")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    told: dict[str, list[dict[str, object]]] = defaultdict(list)
    psnrs = []
    for each in asked.windows:
        named, _, starts = each.rpartition(":")
        with tempfile.TemporaryDirectory() as folder:
            clip, changed = enlarged(named, Path(folder)), Path(folder) / "changed.mp4"
            for first_s, (job, colour) in product(
                map(float, starts.split(",")), enumerate(COLOURS[: asked.jobs])
            ):
                target = Path(folder) / f"{first_s:g}-{colour}.mp4"
                plain = Path(folder) / f"{first_s:g}-unmarked.mp4"
                settings = ConversionSettings(
                    colour=colour, mask=MaskSettings(kind=asked.mask), encoder_options=LOSSLESS
                )
                plan = converted(asked.model, clip, first_s, target, settings)
                tries_all = not job and not asked.only_often
                if not job:
                    height_px = face_height_px(target)
                    print(f"{clip.name} {first_s:g} s: face {height_px:.0f} px")
                if tries_all:
                    unmarked = replace(settings, unmarked_because="measuring the mark")
                    converted(asked.model, clip, first_s, plain, unmarked)
                    psnrs.append(face_psnr_db(target, plain))
                    print(f"  PSNR {psnrs[-1]:.2f} dB")
                for name in CHANGES if tries_all else [asked.often]:
                    change(target, changed, *CHANGES[name])
                    begun = time.process_time()
                    found = find_mark(changed)
                    result = {
                        "clip": clip.name,
                        "first_s": first_s,
                        "face_px": round(height_px),
                        "colour": colour,
                        "mask": asked.mask,
                        "result": verdict(found, plan.payload),
                        "likeness": round(found.likeness, 3),
                        "verify_cpu_s": round(time.process_time() - begun, 1),
                    }
                    told[name].append(result)
                    print(f"  {name:12} {result['result']:6} {found.likeness:.3f}", flush=True)
                for made in (target, plain):
                    made.unlink(missing_ok=True)
    for name, results in told.items():
        right = sum(result["result"] == "found" for result in results)
        print(f"{name:12} {right} of {len(results)}")
    if psnrs:
        print(f"PSNR in the face: {min(psnrs):.2f} to {max(psnrs):.2f} dB")
    if asked.json:
        figures = {"psnr_db": [round(each, 2) for each in psnrs], "trials": told}
        write_result(asked.json, "What does the imperceptible mark survive?", ["av", "onnxruntime"], figures)


if __name__ == "__main__":
    main()

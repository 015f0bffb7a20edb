"""How many frames a second does a whole conversion reach on a GPU, and how near is that to its slowest stage?

One face a frame, x264 ultrafast, `cross-256` in fp16 with random weights, which cost the same. Each
stage runs alone in as many processes as the conversion has workers, each on its share of the cores, side by
side: decoding; the first pass, with its decoding; swapping frames that wait in memory; encoding. The
conversion runs over a short and a long film: the difference is what a frame costs. ``efficiency`` is its
rate over that of the slowest: the encoder, decoding twice, or both passes one after the other, as workers do.
``gpu_ms`` is the time of the device a frame, by its events, with nothing else at work there.

    python benchmarks/gpu/bench_conversion.py [--size 1080p] [--workers 4] [--device cuda] [--json FILE]

``--device emulated`` plays the lane on the CPU, which only shows that the benchmark runs. Executed like that
alone: written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import cycle, islice, takewhile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
from enlarge import enlarge
from machine import write_result
from random_swapper import write_random_swapper

from crossface.engine.analyze import analyze
from crossface.engine.clip import Clip, ReadingSettings
from crossface.engine.convert import convert
from crossface.engine.device import Lane
from crossface.engine.errors import CrossfaceError
from crossface.engine.events import Finished
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.jobs.cores import available, share
from crossface.engine.jobs.plan import Segment
from crossface.engine.jobs.watching import Watcher
from crossface.engine.on_device.choice import choose_places
from crossface.engine.on_device.place import Place
from crossface.engine.on_device.swap import LaneSwapper
from crossface.engine.on_device.workbench import Workbench
from crossface.engine.settings import AnalysisSettings, ConversionSettings
from crossface.engine.video.part import PartWriter

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "build" / "clips" / "single_face.mp4"
SIZES = {"180p": 180, "1080p": 1080, "2160p": 2160}
SETTINGS = ConversionSettings(
    batch=16, encoder_options={"preset": "ultrafast", "crf": "20"}, encoder_threads=4, segment_s=4.0
)
NETWORK = "cross-256"
IN_MEMORY = 48


Figures = dict[str, float]


@dataclass(frozen=True)
class Work:
    """What a stage is given."""

    film: Path
    faces: Path
    model: Path
    device: str
    seconds: float
    workers: int

    def arguments(self) -> list[str]:
        return [str(getattr(self, each.name)) for each in fields(self)]

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Work:
        film, faces, model, device, seconds, workers = arguments
        return cls(Path(film), Path(faces), Path(model), device, float(seconds), int(workers))

    @property
    def place(self) -> Place:
        return place_of(self.device)


def place_of(device: str) -> Place:
    if device == "emulated":
        sys.path.append(str(ROOT / "tests"))
        from emulated_place import EmulatedPlace

        return EmulatedPlace()
    (place, *_) = choose_places(device).places
    return place


def decoding(work: Work) -> Figures:
    begun_s = time.monotonic()
    with Clip(work.film, ReadingSettings(), hardware=work.place.decoder()) as clip:
        frames = sum(1 for _ in clip.decoded(None, None))
    return {"frames": frames, "s": time.monotonic() - begun_s}


def analysis(work: Work) -> Figures:
    """From the first frame on: then the networks are loaded."""
    with Clip(work.film) as clip:
        whole = Segment(0, 0, clip.frame_count, None, None)
    place = work.place
    with place.lane() as lane:
        bench = Workbench(place, lane)
        watcher = Watcher(work.film, AnalysisSettings(), ReadingSettings(), bench=bench)
        frames, begun_s = -1, 0.0
        for _ in watcher.watch(whole):
            begun_s = begun_s or time.monotonic()
            frames += 1
        return {"frames": frames, "s": time.monotonic() - begun_s}


def swapping(work: Work) -> Figures:
    """Of frames that are in memory, again and again; a decoder's own stay on the device."""
    place = work.place
    with place.lane() as lane, Clip(work.film, hardware=place.decoder()) as clip:
        bench = Workbench(place, lane)
        frames = islice(clip.decoded(None, None), IN_MEMORY)
        matched = list(zip(frames, FacesFile(work.faces), strict=False))
        swapper = LaneSwapper(
            bench,
            bench.networks({None: work.model}, batch=SETTINGS.batch),
            clip.info.display,
            colour=SETTINGS.colour,
            mask=SETTINGS.mask,
            keep_on_device=True,
        )
        parts = [matched[n : n + SETTINGS.batch] for n in range(0, len(matched), SETTINGS.batch)]
        for _ in swapper.swapped(parts):
            pass  # all that grows has grown
        begun = lane.record(timed=True) if isinstance(lane, Lane) else None
        begun_s, count = time.monotonic(), 0
        in_time = takewhile(lambda _: time.monotonic() - begun_s < work.seconds, cycle(parts))
        for swapped in swapper.swapped(in_time):
            count += len(swapped.frames)
        figures = {"frames": count, "s": time.monotonic() - begun_s}
        if isinstance(lane, Lane) and begun is not None:
            figures["gpu_ms"] = lane.elapsed_ms(begun, lane.record(timed=True)) / count
        return figures


def encoding(work: Work) -> Figures:
    with Clip(work.film) as clip, tempfile.TemporaryDirectory() as folder:
        frames = list(islice(clip, IN_MEMORY))
        how = SETTINGS.encoding(clip.source, Path(folder) / "part.mp4")
        path, threads = Path(folder) / "part.mp4", SETTINGS.encoder_threads
        begun_s = time.monotonic()
        with PartWriter(path, clip.source, how, threads=threads) as writer:
            for count, frame in enumerate(cycle(frames)):
                if time.monotonic() - begun_s > work.seconds:
                    break
                writer.write(replace(frame, pts=count * frame.duration))
        return {"frames": count, "s": time.monotonic() - begun_s}


def converting(work: Work) -> Figures:
    """In this process and its workers."""
    device = work.device if work.workers > 1 or work.device != "emulated" else work.place
    with tempfile.TemporaryDirectory() as folder:
        begun_s = time.monotonic()
        output = Path(folder) / "out.mp4"
        for event in convert(
            work.film, work.model, output, settings=SETTINGS, device=device, workers=work.workers
        ):
            if isinstance(event, Finished):
                return {"frames": event.frames, "faces": event.faces, "s": time.monotonic() - begun_s}
    raise SystemExit("bench_conversion: a conversion ended without an end")


STAGES: dict[str, Callable[[Work], Figures]] = {
    "decode": decoding,
    "first pass": analysis,
    "swap": swapping,
    "encode": encoding,
    "convert": converting,
}


def side_by_side(stage: str, work: Work, processes: int) -> Figures:
    """A stage in so many processes: frames a second of all, and the largest of the other figures."""
    started = []
    for cores in share(available(), processes):
        command = [sys.executable, __file__, "--stage", stage, *work.arguments()]
        pin = ["taskset", "-c", ",".join(map(str, cores.ids))] if processes > 1 else []
        started.append(subprocess.Popen([*pin, *command], stdout=subprocess.PIPE, text=True))
    told: list[Figures] = []
    for process in started:
        answer, _ = process.communicate()
        if process.returncode:
            raise CrossfaceError(f"the stage {stage} ends with {process.returncode}")
        told.append(json.loads(answer.splitlines()[-1]))
    rate = sum(each["frames"] / each["s"] for each in told)
    others = {name: max(each[name] for each in told) for name in told[0] if name not in ("frames", "s")}
    return {"frames_per_s": rate, **others}


def measure(work: Work, films: tuple[Path, Path]) -> Figures:
    """All figures of one size; ``films`` are short and long."""
    rates: Figures = {}
    figures: Figures = {}
    for stage in ("decode", "first pass", "swap", "encode"):
        found = side_by_side(stage, replace(work, film=films[1]), work.workers)
        rates[stage] = found.pop("frames_per_s")
        figures |= found
    brief, whole = (apart("convert", replace(work, film=film)) for film in films)
    frames, taken_s = whole["frames"] - brief["frames"], whole["s"] - brief["s"]
    # Each pass decodes, swaps and encodes at once; a worker does one pass after the other.
    slowest = min(1 / (1 / rates["first pass"] + 1 / rates["swap"]), rates["encode"], rates["decode"] / 2)
    return {
        "frames_per_s": frames / taken_s,
        **{f"{name}_frames_per_s": rate for name, rate in rates.items()},
        **figures,
        "efficiency": frames / taken_s / slowest,
        "faces_per_frame": whole["faces"] / whole["frames"],
        "start_and_end_s": brief["s"] - brief["frames"] * taken_s / frames,
    }


def apart(stage: str, work: Work) -> Figures:
    """A stage in a process of its own, on all cores."""
    command = [sys.executable, __file__, "--stage", stage, *work.arguments()]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise CrossfaceError(f"the stage {stage} ends with {done.returncode}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", action="append", choices=SIZES, help="1080p and 2160p without it")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or emulated")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--frames", type=int, default=400, help="of the short film; the long one has more")
    parser.add_argument("--seconds", type=float, default=3, help="for each stage that has no end")
    parser.add_argument("--clip", type=Path, default=CLIP, help="a film with one face")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--stage", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage, *rest = options.stage
        print(json.dumps(STAGES[stage](Work.of(rest))))
        return
    runs: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / f"{NETWORK}.onnx"
        sizes = options.size or ["1080p", "2160p"]
        try:
            if not options.clip.is_file():
                raise CrossfaceError(f"no film with a face at {options.clip}: run samples/fetch_clips.py")
            write_random_swapper(model, NETWORK, "fp16")
            for size in sizes:
                lengths = options.frames, 3 * options.frames
                films = [enlarge(options.clip, folder / f"{n}.mp4", SIZES[size], n, gop=50) for n in lengths]
                work = Work(
                    films[0], folder / "shot.faces", model, options.device, options.seconds, options.workers
                )
                list(analyze(films[0], work.faces, device=place_of(options.device), overwrite=True))
                runs.append({"size": size, **measure(work, (films[0], films[1]))})
        except CrossfaceError as error:
            refused["whole conversion"] = str(error)
            print(f"bench_conversion: {error}", file=sys.stderr)
    for run in runs:
        for figure, value in run.items():
            print(f"{figure:28}{value if isinstance(value, str) else format(value, '12.2f'):>12}")
    if options.json:
        write_result(
            options.json,
            "frames a second of a whole conversion on a GPU, and of its stages alone",
            ("av", "onnxruntime", "tensorrt"),
            {"network": NETWORK, "workers": options.workers, "not_measured": refused, "runs": runs},
        )


if __name__ == "__main__":
    main()

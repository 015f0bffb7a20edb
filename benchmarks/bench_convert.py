"""What does a conversion cost a frame beyond decoding, networks and encoding, and how near the bound is it?

One face a frame, 720p and 1080p, x264 medium crf 23; each stage and each conversion in a process of its own.
A conversion runs twice, over a short and a long clip: the difference is what a frame costs, the rest is start
and end. ``overhead`` is what our own code takes in both passes, by the clocks of its threads, join, report
and kernels included; ``start_and_end_own`` what it takes once a film. ``rest`` is the overhead as difference
of large figures, and as uncertain as they are.
``efficiency`` is its frames a second over what cores and CPU time a frame allow. ``first frame`` is the time
from the start of the process until the encoder gets one.

    python benchmarks/bench_convert.py [--model NAME=FILE] [--workers N] [--frames N] [--json FILE]

Without ``--model`` it measures `original-64` with random weights (written by the training code, which needs
PyTorch) and the sample model of the demo, `fast-128`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from enlarge import enlarge
from machine import cpu_model, write_result
from random_swapper import write_random_swapper

ROOT = Path(__file__).parents[1]
SIZES = {"720p": 720, "1080p": 1080}
X264 = {"preset": "medium", "crf": "23"}


def cpu_s() -> float:
    """Of this process and of its children that have ended."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def peak_mb() -> float:
    """Of the largest process."""
    return max(resource.getrusage(who).ru_maxrss for who in (0, -1)) / 1024


def measured(work: Callable[[], int]) -> dict[str, float]:
    begun_s, cpu_begun_s = time.monotonic(), cpu_s()
    frames = work()
    return {
        "frames": frames,
        "cpu_s": cpu_s() - cpu_begun_s,
        "wall_s": time.monotonic() - begun_s,
        "peak_mb": peak_mb(),
    }


def decode(clip: Path) -> dict[str, float]:
    from crossface.engine.video.reader import Reader

    def work() -> int:
        with Reader(clip, trusted=True) as reader:
            return sum(1 for _ in reader)

    return measured(work)


def encode(clip: Path) -> dict[str, float]:
    """The encoder alone: frames wait in memory, as many as fit there."""
    from crossface.engine import ConversionSettings
    from crossface.engine.video.part import PartWriter
    from crossface.engine.video.reader import Reader
    from crossface.engine.video.writing.codecs import choose_encoding

    with Reader(clip, trusted=True) as reader, tempfile.TemporaryDirectory() as folder:
        frames = [frame for _, frame in zip(range(250), reader, strict=False)]
        encoding = choose_encoding("libx264", reader.info, clip, options=X264)
        threads = ConversionSettings().encoder_threads

        def work() -> int:
            with PartWriter(Path(folder) / "part.mp4", reader.info, encoding, threads=threads) as writer:
                for frame in frames:
                    writer.write(frame)
            return len(frames)

        return measured(work)


def inside(clip: Path, model: Path) -> dict[str, float]:
    """What the two threads that do our work spend, on one core, by their own clocks: networks, and the rest.

    Decoders and encoders have threads of their own. Exact where the difference of large sums is not: what
    runs beside a conversion changes the time of everything in it.
    """
    from crossface.engine import ConversionSettings, Progress, convert
    from crossface.engine.pipeline import Prefetch
    from crossface.engine.runtime.onnx import OnnxRunner

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    spent_s = {"swapper": 0.0, "analysis": 0.0, "gate": 0.0, "ours": 0.0}
    run, fetch = OnnxRunner.run, Prefetch._run

    def timed(self: OnnxRunner, *arguments: object) -> object:
        begun_s = time.thread_time()
        result = run(self, *arguments)  # type: ignore[arg-type]
        network = "gate" if self.outputs[0].name == "classes" else "analysis"
        spent_s["swapper" if self.input.name == "face" else network] += time.thread_time() - begun_s
        return result

    def fetched(self: Prefetch[object], source: object) -> None:
        begun_s = time.thread_time()
        fetch(self, source)  # type: ignore[arg-type]
        frame = getattr(source, "gi_code", None)
        if frame is not None and frame.co_filename.endswith("jobs/faces.py"):
            spent_s["ours"] += time.thread_time() - begun_s

    OnnxRunner.run = timed  # type: ignore[method-assign, assignment]
    Prefetch._run = fetched  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as folder:
        settings = ConversionSettings(encoder_options={"preset": "ultrafast"})
        begun_s = 0.0
        for event in convert(clip, model, Path(folder) / "out.mp4", settings=settings):
            if isinstance(event, Progress):
                begun_s = begun_s or time.thread_time()  # from the first frame on
            last = event
        spent_s["ours"] += time.thread_time() - begun_s
    frames = last.frames  # type: ignore[union-attr]
    spent_s["ours"] -= spent_s["swapper"] + spent_s["analysis"] + spent_s["gate"]
    return {"frames": frames, **{f"{name}_cpu_s": value for name, value in spent_s.items()}}


def conversion(clip: Path, model: Path, workers: int) -> dict[str, float]:
    """With its own imports and start-up."""
    begun_s = float(os.environ["BEGUN_S"])
    from crossface.engine import ConversionSettings, convert
    from crossface.engine.memory import return_large_blocks
    from crossface.engine.video.part import PartWriter

    return_large_blocks()  # as the command does
    first_s: list[float] = []
    write = PartWriter.write

    def noted(self: PartWriter, *arguments: object) -> None:
        first_s.append(time.monotonic() - begun_s)
        PartWriter.write = write  # type: ignore[method-assign]
        write(self, *arguments)  # type: ignore[arg-type]

    PartWriter.write = noted  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as folder:
        settings = ConversionSettings(encoder_options=X264)
        for event in convert(clip, model, Path(folder) / "out.mp4", settings=settings, workers=workers):
            last = event
    return {
        "frames": last.frames,  # type: ignore[union-attr]
        "faces": last.faces,  # type: ignore[union-attr]
        "cpu_s": cpu_s(),
        "wall_s": time.monotonic() - begun_s,
        "peak_mb": peak_mb(),
        "first_frame_s": first_s[0] if first_s else float("nan"),
    }


def apart(stage: str, *arguments: object) -> dict[str, float]:
    """A stage in a process of its own."""
    command = [sys.executable, __file__, "--stage", stage, *map(str, arguments)]
    environment = {**os.environ, "BEGUN_S": str(time.monotonic())}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def per_frame_ms(figures: dict[str, float], name: str = "cpu_s") -> float:
    return 1000 * figures[name] / figures["frames"]


def measure(clips: dict[int, Path], model: Path, workers: int) -> dict[str, float]:
    """All figures for one size and one model; ``clips`` by their length in frames."""
    short, long = (clips[length] for length in sorted(clips))
    decoding_ms = per_frame_ms(apart("decode", long))
    encoding_ms = per_frame_ms(apart("encode", long))
    inner, outer = apart("inside", short, model), apart("inside", long, model)
    frames = outer["frames"] - inner["frames"]
    swapper_ms, analysis_ms, gate_ms, overhead_ms = (
        1000 * (outer[f"{name}_cpu_s"] - inner[f"{name}_cpu_s"]) / frames
        for name in ("swapper", "analysis", "gate", "ours")
    )
    brief, whole = apart("convert", short, model, workers), apart("convert", long, model, workers)
    whole_ms = 1000 * (whole["cpu_s"] - brief["cpu_s"]) / frames
    fps = frames / (whole["wall_s"] - brief["wall_s"])
    cores = len(os.sched_getaffinity(0))
    return {
        "decode_ms": decoding_ms,
        "detect_and_landmarks_ms": analysis_ms,
        "gate_ms": gate_ms,
        "swapper_ms": swapper_ms,
        "encode_ms": encoding_ms,
        "whole_ms": whole_ms,
        "overhead_ms": overhead_ms,
        "start_and_end_own_cpu_s": inner["ours_cpu_s"] - inner["frames"] * overhead_ms / 1000,
        "rest_ms": whole_ms - 2 * decoding_ms - analysis_ms - gate_ms - swapper_ms - encoding_ms,
        "start_and_end_cpu_s": brief["cpu_s"] - brief["frames"] * whole_ms / 1000,
        "fps": fps,
        "efficiency": fps * whole_ms / 1000 / cores,
        "first_frame_s": statistics.median([brief["first_frame_s"], whole["first_frame_s"]]),
        "peak_mb": whole["peak_mb"],
        "faces_per_frame": whole["faces"] / whole["frames"],
    }


def original(path: Path) -> dict[str, float]:
    """In a process of its own: children count the memory of who forks them, and PyTorch takes much."""
    write_random_swapper(path, "original-64")
    return {}


STAGES: dict[str, Callable[..., dict[str, float]]] = {
    "original": lambda path: original(Path(path)),
    "decode": lambda clip: decode(Path(clip)),
    "encode": lambda clip: encode(Path(clip)),
    "inside": lambda clip, model: inside(Path(clip), Path(model)),
    "convert": lambda clip, model, workers: conversion(Path(clip), Path(model), int(workers)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", type=Path, default=ROOT / "build/clips/single_face.mp4")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--size", action="append", choices=SIZES, help="all without it")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--frames", type=int, default=500, help="of the short clip; the long one has twice as many"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--stage", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(STAGES[options.stage[0]](*options.stage[1:])))
        return

    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        models = {name: Path(path) for name, path in (each.split("=", 1) for each in options.model)}
        if not models:
            models["original-64"] = Path(scratch) / "original-64.onnx"
            apart("original", models["original-64"])
            models["fast-128"] = ROOT / "samples/demo.onnx"
        for size in options.size or SIZES:
            clips = {
                frames: enlarge(options.clip, Path(scratch) / f"{size}-{frames}.mp4", SIZES[size], frames)
                for frames in (options.frames, 2 * options.frames)
            }
            for name, model in models.items():
                results[f"{size} {name}"] = measure(clips, model, options.workers)

    print(
        f"{options.clip.name}, {cpu_model()}, {len(os.sched_getaffinity(0))} cores, {options.workers} workers"
    )
    names = list(results)
    print(f"{'':24}" + "".join(f"{name:>20}" for name in names))
    for figure in next(iter(results.values())):
        print(f"{figure:24}" + "".join(f"{results[name][figure]:20.2f}" for name in names))
    if options.json:
        write_result(
            options.json,
            "cost of a conversion a frame, by stage, and how near the bound it runs",
            ("av", "onnxruntime"),
            {
                "clip": options.clip.name,
                "frames": [options.frames, 2 * options.frames],
                "workers": options.workers,
                "figures": results,
            },
        )


if __name__ == "__main__":
    main()

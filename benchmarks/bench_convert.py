"""Where does the CPU time of a conversion go, and how much memory does it take?

Each stage runs alone over the same clip in a process of its own, so that CPU time and peak memory are
that stage's; a stage includes what must run before it (``convert`` decodes and encodes). ``network``
is the swapper alone on as many faces as the clip has frames.

    python benchmarks/bench_convert.py [--clip FILE] [--model FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import cpu_model, describe

from crossface.engine import ConversionSettings, analyze, convert
from crossface.engine.events import Event, Finished
from crossface.engine.swap.model import Swapper
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer

ROOT = Path(__file__).parents[1]


def decode(clip: Path, model: Path, folder: Path) -> int:
    with Reader(clip) as reader:
        return sum(1 for _ in reader)


def encode(clip: Path, model: Path, folder: Path) -> int:
    """Decoding and x264 as `convert` uses it, no face touched."""
    with Reader(clip) as reader, Writer(folder / "encode.mp4", reader.info) as writer:
        for frame in reader:
            writer.write(frame)
    return frame.index + 1


def analyse(clip: Path, model: Path, folder: Path) -> int:
    return _frames(list(analyze(clip, folder / "analyse.faces")))


def network(clip: Path, model: Path, folder: Path) -> int:
    swapper = Swapper(model)
    with Reader(clip) as reader:
        frames = reader.info.frame_count_declared
    size_px = swapper.metadata.size_px
    faces = np.random.default_rng(0).random((swapper.batch, 3, size_px, size_px), np.float32)
    for _ in range(-(-frames // swapper.batch)):
        swapper.swap(faces)
    return frames


def whole(clip: Path, model: Path, folder: Path) -> int:
    return _frames(list(convert(clip, model, folder / "whole.mp4", settings=ConversionSettings())))


STAGES: dict[str, Callable[[Path, Path, Path], int]] = {
    work.__name__: work for work in (decode, encode, analyse, network, whole)
}


def _frames(events: list[Event]) -> int:
    return next(event.frames for event in events if isinstance(event, Finished))


def measure(stage: str, clip: Path, model: Path) -> dict[str, float]:
    """One stage in this process."""
    with tempfile.TemporaryDirectory() as folder:
        started_s, cpu_started_s = time.monotonic(), time.process_time()
        frames = STAGES[stage](clip, model, Path(folder))
        wall_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_started_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_ms_per_frame": 1000 * cpu_s / frames, "fps": frames / wall_s, "peak_rss_mb": peak_mb}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", type=Path, default=ROOT / "build/clips/single_face.mp4")
    parser.add_argument("--model", type=Path, default=ROOT / "samples/demo.onnx")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(measure(options.stage, options.clip, options.model)))
        return

    with Reader(options.clip) as reader:
        size = f"{reader.info.width}x{reader.info.height}"
    results = {}
    print(f"{options.clip.name}, {size}, {options.model.name}, {cpu_model()}\n")
    print("stage      CPU ms/frame      fps   peak MB")
    for stage in STAGES:
        command = [
            sys.executable,
            __file__,
            "--clip",
            options.clip,
            "--model",
            options.model,
            "--stage",
            stage,
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = results[stage] = json.loads(done.stdout)
        print(
            f"{stage:10}{figures['cpu_ms_per_frame']:13.1f}"
            f"{figures['fps']:9.1f}{figures['peak_rss_mb']:10.0f}"
        )
    if options.json:
        record = {
            "question": "CPU time and memory of the stages of a conversion",
            **describe("av", "onnxruntime"),
            "clip": options.clip.name,
            "size": size,
            "model": options.model.name,
            "stages": results,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()

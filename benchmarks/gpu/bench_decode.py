"""How many frames of 1080p a second does the GPU's decoder give, for one film and for several at once?

One film keeps one unit of NVDEC busy; a card has from one to seven. The pictures stay on the device.

    python benchmarks/gpu/bench_decode.py [--device 0|cpu] [--frames N] [--films 1,2,4] [--json FILE]

Executed by the CPU's decoder only (``--device cpu``): written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
from film import ENCODERS, HEIGHT, WIDTH, NotOnDeviceError, decode, make_film

sys.path.append(str(Path(__file__).parents[1]))
from machine import write_result


def rate(path: Path, device: str, frames: int, films: int) -> float:
    """Frames a second of all films together; starting the decoders counts."""

    def read(_: int) -> int:
        return sum(1 for _ in decode(path, device))

    begun_s = time.perf_counter()
    with ThreadPoolExecutor(films) as threads:
        counts = list(threads.map(read, range(films)))
    taken_s = time.perf_counter() - begun_s
    if counts != [frames] * films:
        raise SystemExit(f"bench_decode: {counts} frames came of {frames} each")
    return sum(counts) / taken_s


def measure(device: str, frames: int, films: list[int], folder: Path) -> Iterator[dict[str, Any]]:
    where = "CPU" if device == "cpu" else "NVDEC"
    for codec in ENCODERS:
        path = make_film(folder / f"film.{codec}.mp4", codec, frames)
        for count in films:
            yield {
                "what": f"{codec}, {count} at once, {where}",
                "codec": codec,
                "films": count,
                "frames_per_s": rate(path, device, frames, count),
            }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="0", help="index of the GPU, or cpu")
    parser.add_argument("--frames", type=int, default=500, help="of each film")
    parser.add_argument("--films", default="1,2,4", help="at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    av.logging.set_level(av.logging.ERROR)
    results = []
    with tempfile.TemporaryDirectory() as name:
        films = [int(count) for count in options.films.split(",")]
        try:
            if options.device != "cpu":
                # Before the films are made, which takes longer.
                next(decode(make_film(Path(name) / "trial.mp4", "h264", 2), options.device))
            for row in measure(options.device, options.frames, films, Path(name)):
                results.append(row)
                print(f"{row['what']:28}{row['frames_per_s']:8.0f} frames/s", flush=True)
        except NotOnDeviceError as error:
            print(f"bench_decode: {error}", file=sys.stderr)
            sys.exit(69)
    if options.json:
        write_result(
            options.json,
            "frames a second of the decoder",
            ("av",),
            {
                "frame_px": [WIDTH, HEIGHT],
                "frames": options.frames,
                "runs": results,
            },
        )


if __name__ == "__main__":
    main()

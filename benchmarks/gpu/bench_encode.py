"""How many frames of 1080p a second does an encoder take: NVENC where it opens, else x264 on the CPU?

NVENC takes pictures that lie on the device, as its decoder gave them. On a card without it (A100, H100, H200)
x264 sets the pace of a conversion, so its quickest preset and its usual one are measured on all cores.

    python benchmarks/gpu/bench_encode.py [--device 0|cpu] [--seconds N] [--json FILE]

Executed with x264 only: written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any

import av
from film import FPS, HEIGHT, WIDTH, NotOnDeviceError, decode, make_film, pictures

sys.path.append(str(Path(__file__).parents[1]))
from machine import write_result

NVENC = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
X264 = ("ultrafast", "medium")


def rate(encoder: str, options: dict[str, str], shown: list[av.VideoFrame], seconds: float) -> float:
    """Frames a second, until the last packet is there."""
    codec: Any = av.CodecContext.create(encoder, "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, shown[0].format.name
    codec.framerate, codec.time_base, codec.options = FPS, Fraction(1, FPS), options
    begun_s, number, packets = time.perf_counter(), 0, 0
    for picture in cycle(shown):
        picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, FPS), 0
        packets += len(codec.encode(picture))
        number += 1
        if time.perf_counter() - begun_s >= seconds:
            break
    packets += len(codec.encode(None))
    taken_s = time.perf_counter() - begun_s
    if packets != number:
        raise SystemExit(f"bench_encode: {encoder} gave {packets} packets for {number} frames")
    return number / taken_s


def on_nvenc(device: str, seconds: float, refused: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What opens; puts into ``refused`` why the others do not."""
    with tempfile.TemporaryDirectory() as name:
        try:
            shown = list(decode(make_film(Path(name) / "film.mp4", "h264", 16), device))
        except NotOnDeviceError as error:
            refused["NVENC"] = str(error)
            return
    for encoder in NVENC:
        try:
            figure = rate(encoder, {}, shown, seconds)
        except (av.FFmpegError, RuntimeError) as error:
            refused[encoder] = f"does not open on GPU {device} ({error})"
        else:
            yield {"what": encoder, "frames_per_s": figure}


def on_cpu(seconds: float) -> Iterator[dict[str, Any]]:
    shown = pictures()
    for preset in X264:
        figure = rate("libx264", {"preset": preset, "crf": "20"}, shown, seconds)
        yield {"what": f"x264 {preset}, all cores of the CPU", "frames_per_s": figure}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="0", help="index of the GPU, or cpu")
    parser.add_argument("--seconds", type=float, default=4, help="for each encoder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    av.logging.set_level(av.logging.ERROR)
    refused: dict[str, str] = {}
    results: list[dict[str, Any]] = []
    if options.device != "cpu":
        results += on_nvenc(options.device, options.seconds, refused)
        for encoder, why in refused.items():
            print(f"bench_encode: {encoder}: {why}", file=sys.stderr)
    if not results:
        results += on_cpu(options.seconds)
    for row in results:
        print(f"{row['what']:36}{row['frames_per_s']:8.0f} frames/s")
    if options.json:
        write_result(
            options.json,
            "frames a second of the encoder",
            ("av",),
            {
                "frame_px": [WIDTH, HEIGHT],
                "not_measured": refused,
                "runs": results,
            },
        )


if __name__ == "__main__":
    main()

"""Does the memory of a conversion grow with the length of the film?

A film of 1080p is converted whole and, its packets ten times over, ten times as long; each in a process of
its own, whose peak of resident memory is shown. The encoder is quick (ultrafast), for its own memory does not
depend on the film; `bench_convert.py` shows the peak with x264 medium.

    python benchmarks/bench_memory.py --model FILE [--minutes N] [--times N] [--json FILE]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from enlarge import enlarge
from machine import cpu_model, write_result

ROOT = Path(__file__).parents[1]


def repeat(source: Path, target: Path, times: int) -> Path:
    """The packets of a film of whole GOPs, several times."""
    with av.open(str(target), "w") as new:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as old:
                film = old.streams.video[0]
                stream = stream or new.add_stream_from_template(film)
                end = 0
                for packet in old.demux(film):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + packet.duration)
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    new.mux(packet)
                offset += end
    return target


def peak_mb(clip: Path, model: Path) -> float:
    from crossface.engine import ConversionSettings, convert
    from crossface.engine.memory import return_large_blocks

    return_large_blocks()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        settings = ConversionSettings(encoder_options={"preset": "ultrafast", "crf": "30"})
        for _ in convert(clip, model, Path(folder) / "out.mp4", settings=settings):
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", type=Path, default=ROOT / "build/clips/single_face.mp4")
    parser.add_argument("--model", type=Path, default=ROOT / "samples/demo.onnx")
    parser.add_argument("--minutes", type=float, default=1.0, help="of the short film")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--convert", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        print(peak_mb(options.convert, options.model))
        return

    with tempfile.TemporaryDirectory() as scratch:
        short = enlarge(options.clip, Path(scratch) / "short.mp4", 1080, round(1500 * options.minutes))
        long = repeat(short, Path(scratch) / "long.mp4", options.times)
        peaks = {}
        for name, clip in (("short", short), ("long", long)):
            command = [sys.executable, __file__, "--convert", str(clip), "--model", str(options.model)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peaks[name] = float(done.stdout.splitlines()[-1])
            print(f"{name}: {peaks[name]:.0f} MB at most", flush=True)
    print(f"{options.times} times as long: {peaks['long'] / peaks['short'] - 1:+.1%}; {cpu_model()}")
    if options.json:
        write_result(
            options.json,
            "peak memory of a conversion by the length of the film",
            ("av", "onnxruntime"),
            {
                "minutes": [options.minutes, options.minutes * options.times],
                "model": options.model.name,
                "peak_mb": peaks,
            },
        )


if __name__ == "__main__":
    main()

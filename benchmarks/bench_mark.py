"""What the imperceptible mark survives: a converted film is changed in many ways, and looked at each time.

    python benchmarks/bench_mark.py FILM [CHANGE...]

FILM has its job beside it (FILM.job), which says what must be found.
"""

from __future__ import annotations

import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import av.filter

from crossface.engine.jobs.plan import Plan
from crossface.engine.provenance.mark.find import find_mark

# Filter, encoder, its options.
CHANGES = {
    "x264 crf 18": ("null", "libx264", {"crf": "18"}),
    "x264 crf 23": ("null", "libx264", {"crf": "23"}),
    "x264 crf 28": ("null", "libx264", {"crf": "28"}),
    "x264 crf 33": ("null", "libx264", {"crf": "33"}),
    "x265 crf 28": ("null", "libx265", {"crf": "28", "x265-params": "log-level=error:pools=1"}),
    "half size": ("scale=iw/2:ih/2:flags=bicubic", "libx264", {"crf": "18"}),
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


def main(film: Path, names: list[str]) -> None:
    payload = Plan.read(film.with_name(film.name + ".job") / "plan.json").payload
    with tempfile.TemporaryDirectory() as folder:
        for name in names or CHANGES:
            target = Path(folder) / "changed.mp4"
            change(film, target, *CHANGES[name])
            begun = time.process_time()
            found = find_mark(target)
            right = "found" if found.payload == payload else "WRONG" if found.payload else "lost"
            print(
                f"{name:12} {right:6} likeness {found.likeness:.3f}, {found.frames} frames, "
                f"{time.process_time() - begun:.1f} CPU s",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

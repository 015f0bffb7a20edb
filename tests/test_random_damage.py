"""Seeded random damage to many containers and codecs: nothing crashes, hangs or gets lost in silence.

Every file is read twice, in a process of its own: tolerating damage and not. A frame that is missing must
come with an error or a warning. Samples may change without anybody being able to notice, where a codec has no
checksum: how often is counted by codec, printed, and written to the file that ``DAMAGE_TABLE`` names.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from av.packet import Packet
from make_bad_input import remuxed, with_payload
from make_clips import make_clip

FRAMES = 24
_LONG_FILES, _SHORT_FILES = 500, 20
_MOST_SECONDS_A_FILE = 60
_HEVC = "log-level=none:keyint=8:bframes=2"
_ENCODERS: dict[str, tuple[str, str, dict[str, str], tuple[str, ...]]] = {
    "h264": (
        "libx264", "yuv420p",
        {"preset": "fast", "x264-params": "keyint=8:bframes=2:b-adapt=0"}, (".mp4", ".mov", ".mkv", ".ts"),
    ),
    "hevc": ("libx265", "yuv420p", {"preset": "ultrafast", "x265-params": _HEVC}, (".mp4", ".mkv", ".ts")),
    "hevc + hash": (
        "libx265", "yuv420p", {"preset": "ultrafast", "x265-params": f"{_HEVC}:hash=1"}, (".mp4", ".mkv"),
    ),
    "mpeg2": ("mpeg2video", "yuv420p", {"g": "8", "bf": "2", "b": "2000000"}, (".ts", ".mkv")),
    "prores": ("prores_ks", "yuv422p10le", {}, (".mov", ".mkv")),
    "vp9": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "g": "8"}, (".webm", ".mp4")),
    "av1": ("libsvtav1", "yuv420p", {"preset": "12", "g": "8", "svtav1-params": "lp=1"}, (".webm", ".mp4")),
    "ffv1": ("ffv1", "yuv420p", {"level": "3", "slicecrc": "1"}, (".mkv", ".avi")),
    "mjpeg": ("mjpeg", "yuvj420p", {}, (".mov", ".mkv")),
}  # fmt: skip
_KINDS = ("bits", "run", "cut", "header", "dropped", "doubled", "swapped", "spoilt")


@dataclass(frozen=True)
class Case:
    """One damaged file."""

    seed: int
    codec: str
    suffix: str
    kind: str

    def __str__(self) -> str:
        return f"{self.seed}-{self.codec}{self.suffix}-{self.kind}"


def cases(count: int) -> Iterator[Case]:
    sorts = [(codec, suffix) for codec, entry in _ENCODERS.items() for suffix in entry[3]]
    for seed in range(count):
        # Every sort and every kind comes up equally often, in another pairing each time.
        codec, suffix = sorts[seed % len(sorts)]
        yield Case(seed, codec, suffix, _KINDS[(seed + seed // len(sorts)) % len(_KINDS)])


def make_whole(folder: Path, case: Case) -> Path:
    path = folder / f"whole-{case.codec.replace(' ', '')}{case.suffix}"
    if not path.exists():
        encoder, pix_fmt, options, _ = _ENCODERS[case.codec]
        make_clip(
            path, codec=encoder, pix_fmt=pix_fmt, options=options, durations=(1,) * FRAMES,
            time_base=Fraction(1, 25),
        )  # fmt: skip
    return path


def damage(whole: Path, target: Path, case: Case) -> None:
    rng = np.random.default_rng(case.seed)
    if case.kind in ("dropped", "doubled", "swapped", "spoilt"):
        remuxed(whole, target, lambda packets: _changed(packets, case.kind, rng))
        return
    data = bytearray(whole.read_bytes())
    if case.kind == "cut":
        # An MPEG-TS file that ends with a whole packet is a shorter recording, and nobody can say otherwise.
        length = int(rng.integers(1, len(data)))
        data = data[: length + (length % 188 == 0)]
    elif case.kind == "run":
        start = int(rng.integers(len(data)))
        length = min(int(rng.integers(1, 65)), len(data) - start)
        data[start : start + length] = rng.bytes(length)
    else:
        end = min(1024, len(data)) if case.kind == "header" else len(data)
        for position in rng.integers(0, end, int(rng.integers(1, 9))):
            data[position] ^= 1 << int(rng.integers(8))
    target.write_bytes(data)


def _changed(packets: list[Packet], kind: str, rng: np.random.Generator) -> Iterator[Packet]:
    # A film that lacks its first or last packets is a shorter film.
    hit = set(rng.integers(1, len(packets) - 1, int(rng.integers(1, 4))).tolist())
    for number, packet in enumerate(packets):
        if number not in hit:
            yield packet
        elif kind == "doubled":
            yield packet
            yield with_payload(packet, bytes(packet))
        elif kind == "swapped":
            yield with_payload(packet, bytes(packets[number - 1]))
        elif kind == "spoilt":
            payload = bytearray(bytes(packet))
            payload[int(rng.integers(len(payload)))] ^= int(rng.integers(1, 256))
            yield with_payload(packet, bytes(payload))


class Reading:
    """A process that reads files; a new one where it dies or hangs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> dict[str, dict[str, object]] | str:
        """What came out of a file, or how the process ended over it."""
        if self._process is None:
            script = Path(__file__).with_name("read_damaged.py")
            self._process = subprocess.Popen(
                [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        source, sink = self._process.stdin, self._process.stdout
        assert source is not None and sink is not None
        source.write(json.dumps(str(path)) + "\n")
        source.flush()
        if not _has_line(sink):
            self.close()
            return "hung"
        line = sink.readline()
        if not line:
            code = self._process.wait()
            self._process = None
            return f"ended with {code}"
        answer: dict[str, dict[str, object]] = json.loads(line)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _has_line(stream: IO[str]) -> bool:
    return bool(select.select([stream], [], [], _MOST_SECONDS_A_FILE)[0])


def complaints(
    case: Case, answer: dict[str, dict[str, object]] | str, original: list[list[object]]
) -> list[str]:
    """What the reader did wrong."""
    if isinstance(answer, str):
        return [f"{case}: the process {answer}"]
    wrong = []
    for choice, result in answer.items():
        if "untyped" in result:
            wrong.append(f"{case}, {choice}: {result['untyped']}")
        message = str(result.get("error", ""))
        if "\n" in message:
            wrong.append(f"{case}, {choice}: several lines: {message}")
        told = "error" in result or result.get("warnings")
        count = len(result["frames"])  # type: ignore[arg-type]
        if count < len(original) and not told:
            wrong.append(f"{case}, {choice}: {count} of {len(original)} frames, and nothing said")
    return wrong


def run(folder: Path, count: int) -> tuple[list[str], dict[str, Counter[str]]]:
    """Damage files, read them, and compare them with the whole ones."""
    wrong: list[str] = []
    table: dict[str, Counter[str]] = defaultdict(Counter)
    originals: dict[Path, list[list[object]]] = {}
    reading = Reading()
    for case in cases(count):
        whole, target = make_whole(folder, case), folder / f"damaged{case.suffix}"
        if whole not in originals:
            answer = reading.read(whole)
            assert not isinstance(answer, str) and not answer["strict"].get("warnings"), (whole, answer)
            originals[whole] = answer["strict"]["frames"]  # type: ignore[assignment]
            assert len(originals[whole]) == FRAMES, (whole, answer)
        damage(whole, target, case)
        answer = reading.read(target)
        wrong += complaints(case, answer, originals[whole])
        if not isinstance(answer, str):
            table[case.codec].update(_counted(answer["tolerant"], originals[whole]))
    reading.close()
    return wrong, table


def _counted(result: dict[str, object], original: list[list[object]]) -> Counter[str]:
    """What happened to one file."""
    frames: list[list[object]] = result["frames"]  # type: ignore[assignment]
    told = "error" in result or bool(result.get("warnings"))
    expected = {time: digest for time, digest in original}
    changed = sum(expected.get(time) != digest for time, digest in frames)
    lost = max(0, len(original) - len(frames))
    hurt = bool(changed or lost)
    return Counter(
        {
            "files": 1,
            "files hurt": hurt,
            "told": hurt and told,
            "not told": hurt and not told,
            "frames changed, not told": 0 if told else changed,
            "told, yet nothing changed": told and not hurt,
        }
    )


def drawn(table: dict[str, Counter[str]]) -> str:
    columns = list(next(iter(table.values())))
    lines = ["| codec | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for codec, counts in table.items():
        lines.append(f"| {codec} | " + " | ".join(str(counts[column]) for column in columns) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "count", [_SHORT_FILES, pytest.param(_LONG_FILES, marks=pytest.mark.long)], ids=["sample", "all"]
)
def test_no_damage_crashes_hangs_or_loses_a_frame_in_silence(tmp_path: Path, count: int) -> None:
    wrong, table = run(tmp_path, count)
    print("\n" + drawn(table))
    if target := os.environ.get("DAMAGE_TABLE"):
        Path(target).write_text(drawn(table))
    assert not wrong, "\n".join(wrong)

"""How near do the CUDA kernels come to the speed of the GPU's memory?

Batches of 64 faces of 512 px, each in a 1080p frame of its own, so that nothing is in a cache from the batch
before. Times are of CUDA events on the lane, records' copies included, while the host is ahead. GB/s counts
what a kernel cannot but read or write: where the mask is 0, the mask alone. The ceiling is a large copy from
device to device on the same card, read and written, in between. `host us` is how long a call keeps the
thread busy.

    python benchmarks/gpu/bench_kernels.py [--device cuda:0] [--json FILE]

Never executed: written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossface.engine.device import Lane, choose
from crossface.engine.device_kernels import DeviceKernels
from crossface.engine.device_memory import DeviceFrame, DeviceTensor
from crossface.engine.device_records import STATISTICS
from crossface.engine.errors import CrossfaceError
from crossface.engine.frame import ColourDescription, Matrix, Siting, Transfer

sys.path.append(str(Path(__file__).parents[1]))
from machine import describe

FACES = 64
FACE_PX = 512
WIDTH, HEIGHT, PITCH_SAMPLES = 1920, 1080, 2048
DETECTOR_PX = (640, 384)
COPY_BYTES = 1 << 30
ROUNDS = 9
CALLS = 8  # of a round: fewer than may be under way
TARGET_SHARE = 0.7


@dataclass(frozen=True)
class Kind:
    """Of frames and tensors."""

    pixel_format: str
    transfer: Transfer
    dtype: np.dtype[Any]

    @property
    def colour(self) -> ColourDescription:
        if self.pixel_format == "nv12":
            return ColourDescription(Matrix.BT709, False, Siting.LEFT, 8, 1, 1)
        return ColourDescription(
            Matrix.BT2020_NCL, False, Siting.TOP_LEFT, 10, 1, 1, padding_bits=6, transfer=self.transfer
        )

    @property
    def sample_bytes(self) -> int:
        return 1 if self.pixel_format == "nv12" else 2


KINDS = [
    Kind(pixel_format, transfer, np.dtype(dtype))
    for pixel_format, transfer in (
        ("nv12", Transfer.SDR),
        ("p010le", Transfer.SDR),
        ("p010le", Transfer.PQ),
    )
    for dtype in (np.float16, np.float32)
]


def affine() -> np.ndarray[Any, np.dtype[np.float64]]:
    """A face in the middle of the frame, of its very size, turned by 12 degrees."""
    turn = np.radians(12)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, np.array([WIDTH / 2, HEIGHT / 2]) - linear @ np.full(2, FACE_PX / 2)])


class Bench:
    """A batch on the device.

    Args:
        lane: to measure.
        torch: PyTorch, for memory, copies and events on the lane's stream.
    """

    def __init__(self, lane: Lane, torch: Any) -> None:
        self._torch = torch
        self._where = torch.device("cuda", lane.device.index)
        self._stream = torch.cuda.ExternalStream(lane.handle, device=self._where)
        self._kernels = DeviceKernels(lane)
        self._copy = [
            torch.empty(COPY_BYTES, dtype=torch.uint8, device=self._where).fill_(1) for _ in range(2)
        ]
        side = (torch.arange(FACE_PX, device=self._where) + 0.5) / (FACE_PX / 2) - 1
        self._oval = ((0.95 - torch.hypot(side * 1.2, side[:, None])) * 8).clamp(0, 1)
        self._fillers = 4

    def copy(self) -> None:
        with self._torch.cuda.stream(self._stream):
            self._copy[0].copy_(self._copy[1])

    def ms(self, work: Callable[[], object]) -> float:
        """Of one call on the device: the median of rounds."""
        work()
        rounds: list[float] = []
        while len(rounds) < ROUNDS:
            begin, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
            for _ in range(self._fillers):
                self.copy()
            begin.record(self._stream)
            for _ in range(CALLS):
                work()
            end.record(self._stream)
            ahead = not begin.query()
            end.synchronize()
            if ahead:
                rounds.append(begin.elapsed_time(end) / CALLS)
            elif self._fillers >= 1024:
                raise SystemExit("bench_kernels: the host does not get ahead of the device: end other work")
            else:
                self._fillers *= 2
        return statistics.median(rounds)

    def host_us(self, work: Callable[[], object]) -> float:
        """Of one call, on the host: the median."""
        taken_us = []
        for _ in range(30):
            begun_s = time.perf_counter()
            work()
            taken_us.append(1e6 * (time.perf_counter() - begun_s))
            self._stream.synchronize()
        return statistics.median(taken_us)

    def measure(self, kind: Kind) -> list[dict[str, Any]]:
        """Figures of each kernel."""
        torch, held = self._torch, []

        def tensor(values: Any) -> DeviceTensor:
            held.append(values)
            return DeviceTensor(values.data_ptr(), tuple(values.shape), kind.dtype)

        frames = self._frames(kind, held)
        texel = getattr(torch, kind.dtype.name)
        shape = FACES, 3, FACE_PX, FACE_PX
        faces = tensor(torch.rand(shape, dtype=texel, device=self._where))
        crops = tensor(torch.empty(shape, dtype=texel, device=self._where))
        masks = tensor(self._oval.to(texel).expand(FACES, -1, -1).contiguous())
        detector_shape = FACES, 3, DETECTOR_PX[1], DETECTOR_PX[0]
        small = tensor(torch.empty(detector_shape, dtype=texel, device=self._where))
        flags = torch.empty(FACES, dtype=torch.int32, device=self._where)
        touched = DeviceTensor(flags.data_ptr(), (FACES,), np.dtype(np.int32))
        sums = torch.empty(FACES * STATISTICS.itemsize, dtype=torch.uint8, device=self._where)
        statistics_of = DeviceTensor(sums.data_ptr(), (FACES,), STATISTICS)
        torch.cuda.synchronize(self._where)

        matrices, numbers = np.tile(affine(), (FACES, 1, 1)), np.arange(FACES)
        colours = np.tile(np.eye(3, 4), (FACES, 1, 1))
        works = {
            "crop": lambda: self._kernels.crop(frames, numbers, matrices, crops),
            "blend": lambda: self._kernels.blend(frames, numbers, matrices, faces, masks, colours, touched),
            "stats": lambda: self._kernels.stats(faces, masks, statistics_of),
            "resize": lambda: self._kernels.resize(frames, small),
        }
        moved = self._moved_bytes(kind)
        results = []
        for name, work in works.items():
            copy_gb_s = 2 * COPY_BYTES / 1e6 / self.ms(self.copy)
            taken_ms = self.ms(work)
            gb_s = FACES * moved[name] / 1e6 / taken_ms
            results.append(
                {
                    "kernel": name,
                    "frames": kind.pixel_format,
                    "transfer": kind.transfer.name,
                    "faces": kind.dtype.name,
                    "ms": taken_ms,
                    "us_per_face": 1000 * taken_ms / FACES,
                    "host_us": self.host_us(work),
                    "gb_s": gb_s,
                    "copy_gb_s": copy_gb_s,
                    "share": gb_s / copy_gb_s,
                }
            )
        if not bool(flags.all()):
            raise SystemExit("bench_kernels: not every face was laid: what was measured is not the work")
        return results

    def _frames(self, kind: Kind, held: list[Any]) -> list[DeviceFrame]:
        """Noise, as a decoder would lay it out."""
        torch = self._torch
        shape = FACES, HEIGHT * 3 // 2, PITCH_SAMPLES
        if kind.sample_bytes == 1:
            memory = torch.randint(16, 236, shape, dtype=torch.uint8, device=self._where)
        else:  # as bits; the highest one stays 0
            memory = torch.randint(64, 512, shape, dtype=torch.int16, device=self._where) << 6
        held.append(memory)
        pitch_bytes = PITCH_SAMPLES * kind.sample_bytes
        frames = []
        for number in range(FACES):
            luma = memory[number].data_ptr()
            planes = [luma, luma + HEIGHT * pitch_bytes]
            frames.append(
                DeviceFrame.in_memory(
                    kind.pixel_format, (WIDTH, HEIGHT), planes, [pitch_bytes] * 2, kind.colour
                )
            )
        return frames

    def _moved_bytes(self, kind: Kind) -> dict[str, float]:
        """For each face or frame."""
        share = float((self._oval > 0).float().mean())
        mask = FACE_PX**2 * kind.dtype.itemsize
        under_face = 1.5 * FACE_PX**2 * kind.sample_bytes
        whole = 1.5 * WIDTH * HEIGHT * kind.sample_bytes
        return {
            "crop": under_face + 3 * mask,
            "blend": mask + share * (3 * mask + 2 * under_face),
            "stats": mask + share * 3 * mask,
            "resize": whole + 3 * DETECTOR_PX[0] * DETECTOR_PX[1] * kind.dtype.itemsize,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    try:
        chosen = choose(options.device).devices
        if not chosen:
            parser.error("--device: cuda or cuda:N")
        import torch

        with Lane(chosen[0]) as lane:
            card = lane.device.name
            print(f"{card}, {FACES} faces of {FACE_PX} px in {WIDTH} x {HEIGHT}, oval masks\n")
            print("kernel  frames  transfer  faces        ms  us/face  host us     GB/s  of a copy")
            results = []
            bench = Bench(lane, torch)
            for kind in KINDS:
                for row in bench.measure(kind):
                    results.append(row)
                    missed = row["kernel"] in ("crop", "blend") and row["share"] < TARGET_SHARE
                    print(
                        f"{row['kernel']:7} {row['frames']:7} {row['transfer']:9} {row['faces']:8}"
                        f"{row['ms']:7.3f}{row['us_per_face']:9.2f}{row['host_us']:9.0f}{row['gb_s']:9.0f}"
                        f"{row['share']:11.0%}{f'  below {TARGET_SHARE:.0%}' if missed else ''}",
                        flush=True,
                    )
    except ImportError as error:
        sys.exit(f"bench_kernels: {error}: it needs PyTorch with CUDA")
    except CrossfaceError as error:
        print(f"bench_kernels: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if options.json:
        record = {
            "question": "rate of the CUDA kernels, and its share of a copy's in the device's memory",
            **describe("torch", "pycuda"),
            "gpu": card,
            "faces": FACES,
            "face_px": FACE_PX,
            "frame_px": [WIDTH, HEIGHT],
            "target_share": TARGET_SHARE,
            "runs": results,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()

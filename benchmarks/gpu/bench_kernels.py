"""How near do the CUDA kernels come to the speed of the GPU's memory?

Batches of 64 faces of 512 px, each in a 1080p frame of its own, so that nothing is in a cache from the batch
before. Times are of CUDA events on the lane, records' copies included, while the host is ahead. GB/s counts
what a kernel cannot but read or write: where the mask is 0, the mask alone. The ceiling is a large copy from
device to device on the same card, read and written, in between. `host us` is how long a call keeps the
thread busy. Kernels over masks and tensors alone are measured once for each type of these; `follow` is one
frame of a chain, crop and aim, and `mark` has one block a face, for which no bandwidth is the limit.

    python benchmarks/gpu/bench_kernels.py [--device cuda:0] [--json FILE]

Never executed: written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossface.engine.device import DeviceBuffer, Lane
from crossface.engine.device_choice import choose
from crossface.engine.errors import CrossfaceError
from crossface.engine.frame import ColourDescription, Matrix, Siting, Transfer
from crossface.engine.on_device.kernels.marks import MarkKernels
from crossface.engine.on_device.kernels.masks import MaskKernels
from crossface.engine.on_device.kernels.mesh_chain import FollowRule, MeshChain
from crossface.engine.on_device.kernels.pictures import DeviceKernels
from crossface.engine.on_device.kernels.records import FOUND_MESH, STATISTICS
from crossface.engine.on_device.kernels.values import ValueKernels
from crossface.engine.on_device.memory import DeviceFrame, DeviceTensor
from crossface.engine.provenance.mark.pattern import SIDE, signs

sys.path.append(str(Path(__file__).parents[1]))
from machine import write_result

FACES = 64
FACE_PX = 512
WIDTH, HEIGHT, PITCH_SAMPLES = 1920, 1080, 2048
DETECTOR_PX = (640, 384)
MESH = FollowRule(size_px=192, margin=1.5, eyes=(33, 263), least_presence=0.5, least_span=1.3)
OUTLINE_EDGES = 36
FEATHER_PX = 0.06 * FACE_PX
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


def affine() -> NDArray[np.float64]:
    """A face in the middle of the frame, of its very size, turned by 12 degrees."""
    turn = np.radians(12)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, np.array([WIDTH / 2, HEIGHT / 2]) - linear @ np.full(2, FACE_PX / 2)])


def oval_mask() -> NDArray[np.float64]:
    side = (np.arange(FACE_PX) + 0.5) / (FACE_PX / 2) - 1
    mask: NDArray[np.float64] = np.clip((0.95 - np.hypot(side * 1.2, side[:, None])) * 8, 0, 1)
    return mask


Works = dict[str, Callable[[], object]]


class Bench:
    """A batch on the device.

    Args:
        lane: to measure.
        kind: of the batch.
    """

    def __init__(self, lane: Lane, kind: Kind) -> None:
        self._lane = lane
        self._kind = kind
        self._kernels = DeviceKernels(lane)
        self._copies = [lane.device_buffer(COPY_BYTES) for _ in range(2)]
        self._fillers = 4

    def measure(self) -> list[dict[str, Any]]:
        """Figures of each kernel."""
        rng, texel = np.random.default_rng(0), self._kind.dtype
        frames = self._frames(rng)
        faces = self._tensor(rng.random((3, FACE_PX, FACE_PX), np.float32).astype(texel))
        masks = self._tensor(oval_mask().astype(texel))
        touched = self._one_each(np.dtype(np.int32))
        works = self._over_frames(frames, faces, masks, touched)
        if self._kind.pixel_format == "nv12":
            works |= self._over_tensors(faces, masks) | self._of_a_chain(frames)
            # Of floats alone, as all that is drawn becomes.
            works |= self._of_marks(faces, masks) if texel == np.float32 else {}
        moved = self._moved_bytes()
        results = []
        for name, work in works.items():
            copy_gb_s = 2 * COPY_BYTES / 1e6 / self._ms(self._copy)
            taken_ms = self._ms(work)
            gb_s = FACES * moved[name] / 1e6 / taken_ms
            results.append(
                {
                    "kernel": name,
                    "frames": self._kind.pixel_format,
                    "transfer": self._kind.transfer.name,
                    "faces": texel.name,
                    "ms": taken_ms,
                    "us_per_face": 1000 * taken_ms / FACES,
                    "host_us": self._host_us(work),
                    "gb_s": gb_s,
                    "copy_gb_s": copy_gb_s,
                    "share": gb_s / copy_gb_s,
                }
            )
        flags = self._lane.pinned(FACES, np.int32)
        self._lane.download(flags, DeviceBuffer(touched.address, touched.bytes))
        self._lane.synchronize()
        if not flags.all():
            raise SystemExit("bench_kernels: not every face was laid: what was measured is not the work")
        return results

    def _over_frames(
        self, frames: list[DeviceFrame], faces: DeviceTensor, masks: DeviceTensor, touched: DeviceTensor
    ) -> Works:
        texel, kernels = self._kind.dtype, self._kernels
        crops = self._tensor(np.zeros((3, FACE_PX, FACE_PX), texel))
        small = self._tensor(np.zeros((3, DETECTOR_PX[1], DETECTOR_PX[0]), texel))
        thumbnails = self._tensor(np.zeros((18, 32), np.float32))
        sums = self._one_each(STATISTICS)
        matrices, numbers = np.tile(affine(), (FACES, 1, 1)), np.arange(FACES)
        colours = np.tile(np.eye(3, 4), (FACES, 1, 1))
        return {
            "crop": lambda: kernels.crop(frames, numbers, matrices, crops),
            "blend": lambda: kernels.blend(frames, numbers, matrices, faces, masks, colours, touched),
            "stats": lambda: kernels.stats(faces, masks, sums),
            "resize": lambda: kernels.resize(frames, small),
            "thumbnails": lambda: kernels.thumbnails(frames, thumbnails),
        }

    def _over_tensors(self, faces: DeviceTensor, masks: DeviceTensor) -> Works:
        masked, values = MaskKernels(self._lane), ValueKernels(self._lane)
        other = self._tensor(np.zeros(faces.shape[1:], faces.dtype))
        soft = self._tensor(np.ones(masks.shape[1:], masks.dtype))
        angles = np.linspace(0, 2 * np.pi, OUTLINE_EDGES, endpoint=False)
        normals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        offsets = normals.sum(1) * FACE_PX / 2 - 0.45 * FACE_PX
        edges = [np.column_stack([normals, offsets]).astype(np.float32)] * FACES
        radius = int(np.ceil(2.5 * FEATHER_PX / 2))
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (FEATHER_PX / 2)) ** 2)
        taps = (taps / taps.sum()).astype(np.float32)
        areas, flags = self._one_each(np.dtype(np.float64)), self._one_each(np.dtype(np.int32))
        return {
            "outline": lambda: masked.outline(soft, edges),
            "soften": lambda: masked.soften(masks, taps, 20.0, soft, areas=areas),
            "prepare": lambda: values.prepare(faces, other, low=0.0, high=1.0),
            "finite": lambda: values.finite([faces, masks], flags),
        }

    def _of_marks(self, faces: DeviceTensor, masks: DeviceTensor) -> Works:
        marks, out = MarkKernels(self._lane), self._tensor(np.zeros((SIDE, SIDE), np.float32))
        lumas = np.tile([46.6, 156.6, 15.8, 0.0], (FACES, 1))
        scale = 0.6 * FACE_PX / SIDE
        to_face = np.tile([[scale, 0.0, 0.2 * FACE_PX], [0.0, scale, 0.2 * FACE_PX]], (FACES, 1, 1))
        return {"mark": lambda: marks.make(faces, masks, lumas, to_face, signs(), out)}

    def _of_a_chain(self, frames: list[DeviceFrame]) -> Works:
        """One frame of it, with 64 faces; the network is not run."""
        chain = MeshChain(self._lane, MESH, FACES)
        crops = self._tensor(np.zeros((3, MESH.size_px, MESH.size_px), np.float32))
        points = np.random.default_rng(1).uniform(20, 170, (468, 3)).astype(np.float32)
        placed, presences = self._tensor(points), self._tensor(np.ones(1, np.float32))
        found = self._one_each(FOUND_MESH)
        shrink = FACE_PX / MESH.size_px
        regions = np.tile(affine() * [shrink, shrink, 1.0], (FACES, 1, 1))

        def follow() -> None:
            chain.begin(frames[:1], regions)
            chain.crop(crops)
            chain.follow(placed, presences, found)

        return {"follow": follow}

    def _one_each(self, dtype: np.dtype[Any]) -> DeviceTensor:
        at = self._on_device(np.zeros(dtype.itemsize, np.uint8)).address
        return DeviceTensor(at, (FACES,), dtype)

    def _copy(self) -> None:
        self._lane.copy(*self._copies)

    def _ms(self, work: Callable[[], object]) -> float:
        """Of one call on the device: the median of rounds."""
        work()
        rounds: list[float] = []
        while len(rounds) < ROUNDS:
            # What comes first keeps the device busy until the host has given all that is timed.
            for _ in range(self._fillers):
                self._copy()
            begin = self._lane.record(timed=True)
            for _ in range(CALLS):
                work()
            ahead = not self._lane.is_over(begin)
            taken_ms = self._lane.elapsed_ms(begin, self._lane.record(timed=True))
            if ahead:
                rounds.append(taken_ms / CALLS)
            elif self._fillers >= 1024:
                raise SystemExit("bench_kernels: the host does not get ahead of the device: end other work")
            else:
                self._fillers *= 2
        return statistics.median(rounds)

    def _host_us(self, work: Callable[[], object]) -> float:
        """Of one call, on the host: the median."""
        taken_us = []
        for _ in range(30):
            begun_s = time.perf_counter()
            work()
            taken_us.append(1e6 * (time.perf_counter() - begun_s))
            self._lane.synchronize()
        return statistics.median(taken_us)

    def _on_device(self, values: NDArray[Any]) -> DeviceBuffer:
        """``values`` as often as there are faces."""
        pinned = self._lane.pinned(values.shape, values.dtype)
        pinned[...] = values
        one = self._lane.device_buffer(values.nbytes)
        self._lane.upload(one, pinned)
        batch = self._lane.device_buffer(FACES * values.nbytes)
        for number in range(FACES):
            self._lane.copy(DeviceBuffer(batch.address + number * one.bytes, one.bytes), one)
        return batch

    def _tensor(self, values: NDArray[Any]) -> DeviceTensor:
        return DeviceTensor(self._on_device(values).address, (FACES, *values.shape), values.dtype)

    def _frames(self, rng: np.random.Generator) -> list[DeviceFrame]:
        """Noise without highlights, where faces would fade, laid out as by a decoder."""
        kind = self._kind
        codes = rng.integers(16, 128, (HEIGHT * 3 // 2, PITCH_SAMPLES))
        samples = (codes << 8).astype(np.uint16) if kind.sample_bytes == 2 else codes.astype(np.uint8)
        memory = self._on_device(samples)
        pitch_bytes = PITCH_SAMPLES * kind.sample_bytes
        frames = []
        for number in range(FACES):
            luma = memory.address + number * samples.nbytes
            planes = [luma, luma + HEIGHT * pitch_bytes]
            frames.append(
                DeviceFrame.in_memory(
                    kind.pixel_format, (WIDTH, HEIGHT), planes, [pitch_bytes] * 2, kind.colour
                )
            )
        return frames

    def _moved_bytes(self) -> dict[str, float]:
        """For each face or frame."""
        kind, share = self._kind, float((oval_mask() > 0).mean())
        mask = FACE_PX**2 * kind.dtype.itemsize
        under_face = 1.5 * FACE_PX**2 * kind.sample_bytes
        whole = 1.5 * WIDTH * HEIGHT * kind.sample_bytes
        return {
            "crop": under_face + 3 * mask,
            "blend": mask + share * (3 * mask + 2 * under_face),
            "stats": mask + share * 3 * mask,
            "resize": whole + 3 * DETECTOR_PX[0] * DETECTOR_PX[1] * kind.dtype.itemsize,
            "thumbnails": 18 * 32 * (16 * kind.sample_bytes + 4),
            "outline": 2 * mask,
            "soften": 2 * mask + 2 * 4 * FACE_PX**2,
            "prepare": 6 * mask,
            "finite": 4 * mask,
            "mark": 4 * mask,
            "follow": 1.5 * FACE_PX**2 * kind.sample_bytes + 3 * 4 * MESH.size_px**2,
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
        card = chosen[0].name
        print(f"{card}, {FACES} faces of {FACE_PX} px in {WIDTH} x {HEIGHT}, oval masks\n")
        print("kernel      frames  transfer  faces        ms  us/face  host us     GB/s  of a copy")
        results = []
        for kind in KINDS:
            # Each with a lane of its own, whose end frees the memory.
            with Lane(chosen[0]) as lane:
                rows = Bench(lane, kind).measure()
            for row in rows:
                missed = row["kernel"] in ("crop", "blend") and row["share"] < TARGET_SHARE
                print(
                    f"{row['kernel']:11} {row['frames']:7} {row['transfer']:9} {row['faces']:8}"
                    f"{row['ms']:7.3f}{row['us_per_face']:9.2f}{row['host_us']:9.0f}{row['gb_s']:9.0f}"
                    f"{row['share']:11.0%}{f'  below {TARGET_SHARE:.0%}' if missed else ''}",
                    flush=True,
                )
            results += rows
    except CrossfaceError as error:
        print(f"bench_kernels: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if options.json:
        write_result(
            options.json,
            "rate of the CUDA kernels, and its share of a copy's in the device's memory",
            ("pycuda",),
            {
                "gpu": card,
                "faces": FACES,
                "face_px": FACE_PX,
                "frame_px": [WIDTH, HEIGHT],
                "target_share": TARGET_SHARE,
                "runs": results,
            },
        )


if __name__ == "__main__":
    main()

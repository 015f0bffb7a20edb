"""How much CPU time do the kernels take for one face, and does the frame's size matter?

Beside them, in the same run, two ways with OpenCV, if it is installed: that of most face swappers, which
turn the whole frame into float RGB, warp the face over it and blend everything; and the best one, which
warps and blends the box of the face alone, in 8 bits, of a frame that is RGB already.

Each kind of frame has processes of its own, as a film has: what else a process has allocated decides how
often OpenCV's large pictures come from the system anew. They take turns, and medians over them are shown;
``least`` is the least that was seen of crop + stats + blend, while nobody used the other half of the core.

    python benchmarks/bench_kernels.py [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its idle threads spin, on our clock

import av
import numpy as np
from machine import cpu_model, write_result
from numpy.typing import NDArray

from crossface.engine import _native, kernels
from crossface.engine.face.align import compose, invert
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting, Transfer
from crossface.engine.provenance.mark.pattern import SIDE, chips, signs_of
from crossface.engine.provenance.mark.payload import Payload
from crossface.engine.swap.mark import luma_row
from crossface.engine.video.planes import PIXEL_LAYOUTS, planes_of

FRAME_SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
FORMATS = {
    "p010le": Transfer.SDR,
    "yuv422p10le": Transfer.SDR,
    "yuv420p10le": Transfer.PQ,
    "gbrpf32le": Transfer.SDR,
}
FACE_PX = 300
CROP_PX = 256
DETECTOR_PX = (640, 384)
ROUNDS = 24
TURNS = 3
Key = TypeVar("Key")

PARTS = ("crop", "stats", "blend")
KERNELS = ("crop", "stats", "blend", "face", "resize")


@dataclass(frozen=True)
class Work:
    """Something to be timed.

    Attributes:
        run: once.
        clock_ns: CPU time of the process (all threads), or the clock on the wall.
        every: rounds from one timing to the next.
    """

    run: Callable[[], object]
    clock_ns: Callable[[], int] = time.process_time_ns
    every: int = 1


def times_ms(works: Mapping[Key, Work], rounds: int = ROUNDS) -> dict[Key, list[float]]:
    """Times everything in turn, round after round, so that a busy neighbour slows all alike.

    Each timing follows a run that brings its data back into the caches.
    """
    times: dict[Key, list[float]] = {key: [] for key in works}
    for number in range(rounds):
        for key, work in works.items():
            if number % work.every == 0:
                work.run()
                start_ns = work.clock_ns()
                work.run()
                times[key].append((work.clock_ns() - start_ns) / 1e6)
    return times


def copy_gb_s() -> float:
    """Memory that a plain copy reads and writes in a second, on one core, far beyond the caches."""
    source, target = np.ones(2**27, np.uint8), np.empty(2**27, np.uint8)
    work = Work(lambda: np.copyto(target, source))
    return 2 * source.nbytes / 1e6 / statistics.median(times_ms({"copy": work}, rounds=9)["copy"])


def noise_frame(name: str, width: int, height: int, transfer: Transfer) -> Frame:
    """Random samples, in the memory that a decoder would have given."""
    layout, rng = PIXEL_LAYOUTS[name], np.random.default_rng(0)
    planes = planes_of(av.VideoFrame(width, height, name))
    for plane in planes:
        if layout.bits == 32:
            plane[:] = rng.random(plane.shape, np.float32)
        else:
            codes = rng.integers(16 << (layout.bits - 8), 236 << (layout.bits - 8), plane.shape)
            plane[:] = codes << layout.padding_bits
    colour = ColourDescription(
        Matrix.RGB if layout.rgb else Matrix.BT709,
        layout.rgb,
        Siting.LEFT,
        layout.bits,
        layout.chroma_shift_x,
        layout.chroma_shift_y,
        layout.padding_bits,
        transfer,
    )
    return Frame(0, 0, 1, Fraction(1, 25), planes, colour, None)


def placement(width: int, height: int, square_px: int = CROP_PX) -> NDArray[np.float64]:
    """A face in the middle, turned by 12 degrees, from a square of so many pixels."""
    scale, turn = FACE_PX / square_px, np.radians(12)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, np.array([width / 2, height / 2]) - linear @ np.full(2, square_px / 2)])


def oval_mask() -> NDArray[np.float32]:
    y, x = (np.mgrid[:CROP_PX, :CROP_PX] + 0.5) / (CROP_PX / 2) - 1
    mask: NDArray[np.float32] = np.clip((0.95 - np.hypot(x * 1.2, y)) * 8, 0, 1).astype(np.float32)
    return mask


def full_frame_opencv(
    frame: Frame, matrix: NDArray[np.float64], mask: NDArray[np.float32]
) -> Callable[[], object]:
    """Decode to float RGB, crop, warp face and mask over the frame, blend, and encode to YUV again."""
    height, width = frame.height, frame.width
    stacked = np.concatenate([plane.reshape(-1, width) for plane in frame.planes])
    centred = pixel_centred(matrix)

    def work() -> object:
        picture = cv2.cvtColor(stacked, cv2.COLOR_YUV2RGB_I420).astype(np.float32) / 255
        size = (CROP_PX, CROP_PX)
        face = cv2.warpAffine(picture, centred, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        laid = cv2.warpAffine(face, centred, (width, height), flags=cv2.INTER_CUBIC)
        weight = cv2.warpAffine(mask, centred, (width, height), flags=cv2.INTER_LINEAR)[..., None]
        mixed = picture * (1 - weight) + laid * weight
        return cv2.cvtColor((np.clip(mixed, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2YUV_I420)

    return work


def box_opencv(
    picture: NDArray[np.uint8], matrix: NDArray[np.float64], mask: NDArray[np.float32]
) -> Callable[[], object]:
    """Crop for a network, statistics, warp of face and mask to the box, and an 8-bit blend of the box."""
    centred, size = pixel_centred(matrix), (CROP_PX, CROP_PX)
    corners = centred @ np.array([[0, CROP_PX, 0, CROP_PX], [0, 0, CROP_PX, CROP_PX], [1, 1, 1, 1]])
    (x0, y0), (x1, y1) = np.floor(corners.min(1)).astype(int), np.ceil(corners.max(1)).astype(int)
    to_box = centred - [[0, 0, x0], [0, 0, y0]]
    mask8 = (mask * 255).astype(np.uint8)

    def work() -> object:
        box = picture[y0:y1, x0:x1]
        face = cv2.warpAffine(picture, centred, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        seen = cv2.dnn.blobFromImage(face, 1 / 255)
        moments = cv2.meanStdDev(face, mask=mask8)
        laid = cv2.warpAffine(face, to_box, (x1 - x0, y1 - y0), flags=cv2.INTER_CUBIC)
        weight = cv2.merge([cv2.warpAffine(mask8, to_box, (x1 - x0, y1 - y0))] * 3)
        kept = cv2.multiply(box, cv2.bitwise_not(weight), scale=1 / 255)
        picture[y0:y1, x0:x1] = cv2.add(cv2.multiply(laid, weight, scale=1 / 255), kept)
        return seen, moments

    return work


def pixel_centred(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """OpenCV puts sample centres at whole numbers."""
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5
    return centred


def touched_mb(frame: Frame, mask: NDArray[np.float32]) -> dict[str, float]:
    """Memory that a kernel cannot but read or write, in MB."""
    frame_mb = sum(plane.size * plane.itemsize for plane in frame.planes) / 1e6
    face_mb = frame_mb * FACE_PX**2 / (frame.width * frame.height)
    picture_mb, mask_mb = 3 * CROP_PX**2 * 4 / 1e6, CROP_PX**2 * 4 / 1e6
    megabytes = {
        "crop": face_mb + picture_mb,
        "stats": picture_mb + mask_mb,
        "blend": picture_mb + mask_mb + 2 * face_mb * float((mask > 0).mean()),
    }
    megabytes["face"] = sum(megabytes.values())
    megabytes["resize"] = frame_mb + 3 * DETECTOR_PX[0] * DETECTOR_PX[1] * 4 / 1e6
    return megabytes


def works_of(frame: Frame, mask: NDArray[np.float32], *, opencv: bool) -> dict[str, Work]:
    matrix = placement(frame.width, frame.height)
    face = kernels.crop(frame, matrix[None], CROP_PX)[0]
    batch = np.empty((1, 3, CROP_PX, CROP_PX), np.float32)
    unchanged = np.eye(3, 4)
    to_luma = placement(frame.width, frame.height, SIDE)
    to_face, signs = compose(invert(matrix), to_luma), signs_of(Payload(0))
    luma = luma_row(frame.colour, unchanged)

    def mark() -> kernels.Mark:
        made = kernels.mark(face, mask, luma, to_face, chips(), signs)
        return kernels.Mark(made, invert(to_luma))

    marked = mark()

    def one_face() -> None:
        kernels.crop(frame, matrix[None], CROP_PX, out=batch)
        kernels.stats(face, mask)
        kernels.blend(frame, matrix, face, mask, unchanged)

    works = {
        "crop": Work(lambda: kernels.crop(frame, matrix[None], CROP_PX, out=batch, threads=1)),
        "stats": Work(lambda: kernels.stats(face, mask)),
        "blend": Work(lambda: kernels.blend(frame, matrix, face, mask, unchanged, threads=1)),
        "mark": Work(mark),
        "blend_mark": Work(
            lambda: kernels.blend(frame, matrix, face, mask, unchanged, mark=marked, threads=1)
        ),
        "resize": Work(lambda: kernels.resize(frame, *DETECTOR_PX, threads=1)),
        "face_wall": Work(one_face, time.perf_counter_ns),
    }
    if opencv:
        cv2.setNumThreads(1)
        picture = np.random.default_rng(0).integers(0, 256, (frame.height, frame.width, 3), np.uint8)
        works["opencv_frame"] = Work(full_frame_opencv(frame, matrix, mask), every=3)
        works["opencv_box"] = Work(box_opencv(picture, matrix, mask))
    return works


def kinds() -> dict[str, tuple[str, tuple[int, int], Transfer]]:
    """Pixel format, size and transfer of the frames, by what they are called."""
    found = {f"{label} yuv420p": ("yuv420p", size, Transfer.SDR) for label, size in FRAME_SIZES.items()}
    for name, transfer in FORMATS.items():
        label = f"1080p {name}" + ("" if transfer == Transfer.SDR else f" {transfer.name}")
        found[label] = name, FRAME_SIZES["1080p"], transfer
    return found


def timed(label: str) -> dict[str, list[float]]:
    """Of one kind of frame, in this process."""
    name, size, transfer = kinds()[label]
    opencv = cv2 is not None and name == "yuv420p" and transfer == Transfer.SDR
    return times_ms(works_of(noise_frame(name, *size, transfer), oval_mask(), opencv=opencv))


def measured() -> dict[str, dict[str, float]]:
    """Times in ms and rates in GB/s, by frame and kernel."""
    times: dict[str, dict[str, list[float]]] = {label: {} for label in kinds()}
    for _ in range(TURNS):
        for label in times:
            command = [sys.executable, __file__, "--frame", label]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            for work, taken in json.loads(done.stdout).items():
                times[label].setdefault(work, []).extend(taken)
    results = {}
    for label, (name, size, transfer) in kinds().items():
        figures = {work: statistics.median(taken) for work, taken in times[label].items()}
        figures["face"] = sum(figures[kernel] for kernel in PARTS)
        figures["least"] = sum(min(times[label][kernel]) for kernel in PARTS)
        for kernel, megabytes in touched_mb(noise_frame(name, *size, transfer), oval_mask()).items():
            figures[f"{kernel}_gb_s"] = megabytes / figures[kernel]
        results[label] = figures
    return results


cv2: Any = importlib.import_module("cv2") if importlib.util.find_spec("cv2") else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--frame", choices=kinds(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.frame:
        print(json.dumps(timed(options.frame)))
        return

    copied_gb_s = copy_gb_s()
    results = measured()

    print(f"{FACE_PX} px face, {CROP_PX} px crop, {_native.isa_variants()[-1]}, {cpu_model()}")
    print("CPU time on one thread; two threads of one core slow each other. face = crop + stats + blend;")
    print("face_wall is its time on the clock with all threads. OpenCV: frame = the same over a full float")
    print("RGB frame; box = the same over the face's box in 8 bits, of a frame that is RGB already.")
    print("mark is made by itself, and blend_mark lays it with the face.\n")
    columns = [*KERNELS, "mark", "blend_mark", "least", "face_wall", "opencv_frame", "opencv_box"]
    print(f"{'ms':24}" + "".join(f"{column:>14}" for column in columns))
    for label, figures in results.items():
        print(f"{label:24}" + "".join(f"{figures[c]:14.2f}" if c in figures else "" for c in columns))
    print(f"\n{'GB/s (share of copying)':24}" + "".join(f"{kernel:>14}" for kernel in KERNELS))
    for label, figures in results.items():
        rates = [figures[f"{kernel}_gb_s"] for kernel in KERNELS]
        print(f"{label:24}" + "".join(f"{rate:7.1f} {rate / copied_gb_s:5.0%} " for rate in rates))
    print(f"\nA copy moves {copied_gb_s:.1f} GB/s, read and written, on one core.")
    if cv2 is not None:
        for label in list(results)[: len(FRAME_SIZES)]:
            figures = results[label]
            frame, box = (figures[way] / figures["face"] for way in ("opencv_frame", "opencv_box"))
            print(f"{label}: {frame:.1f} times as fast as OpenCV on the frame, {box:.2f} as on the box")

    if options.json:
        write_result(
            options.json,
            "time of the kernels for one face, by frame size and pixel format",
            ("opencv-python-headless",),
            {
                "face_px": FACE_PX,
                "crop_px": CROP_PX,
                "detector_px": DETECTOR_PX,
                "copy_gb_s": copied_gb_s,
                "ms": {
                    label: {key: value for key, value in figures.items() if not key.endswith("gb_s")}
                    for label, figures in results.items()
                },
                "gb_s": {
                    label: {kernel: figures[f"{kernel}_gb_s"] for kernel in KERNELS}
                    for label, figures in results.items()
                },
            },
        )


if __name__ == "__main__":
    main()

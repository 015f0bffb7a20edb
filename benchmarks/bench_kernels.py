"""How much CPU time do the kernels take for one face, and does the frame's size matter?

Beside them, in the same run: the way of most face swappers, which turn the whole frame into float RGB,
warp the face over it and blend everything (OpenCV, if it is installed).

    python benchmarks/bench_kernels.py [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from machine import cpu_model, describe
from numpy.typing import NDArray

from crossface.engine import _native, kernels
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting

cv2: Any = importlib.import_module("cv2") if importlib.util.find_spec("cv2") else None

FRAME_SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
FACE_PX = 300
CROP_PX = 256
DETECTOR_PX = (640, 384)
RUNS = 25


def cpu_ms(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median CPU time of the process (all threads) for one call, after one call to warm up."""
    work()
    times_ms = []
    for _ in range(runs):
        start_ns = time.process_time_ns()
        work()
        times_ms.append((time.process_time_ns() - start_ns) / 1e6)
    return statistics.median(times_ms)


def noise_frame(width: int, height: int) -> Frame:
    rng = np.random.default_rng(0)
    planes = tuple(rng.integers(16, 236, (height >> shift, width >> shift), np.uint8) for shift in (0, 1, 1))
    colour = ColourDescription(Matrix.BT709, False, Siting.LEFT, 8, 1, 1)
    return Frame(0, 0, 1, Fraction(1, 25), cast(Any, planes), colour, cast(av.VideoFrame, None))


def placement(width: int, height: int) -> NDArray[np.float64]:
    """A face in the middle, turned by 12 degrees."""
    scale, turn = FACE_PX / CROP_PX, np.radians(12)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, np.array([width / 2, height / 2]) - linear @ np.full(2, CROP_PX / 2)])


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
    # OpenCV puts sample centres at whole numbers.
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5

    def work() -> object:
        picture = cv2.cvtColor(stacked, cv2.COLOR_YUV2RGB_I420).astype(np.float32) / 255
        size = (CROP_PX, CROP_PX)
        face = cv2.warpAffine(picture, centred, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        laid = cv2.warpAffine(face, centred, (width, height), flags=cv2.INTER_CUBIC)
        weight = cv2.warpAffine(mask, centred, (width, height), flags=cv2.INTER_LINEAR)[..., None]
        mixed = picture * (1 - weight) + laid * weight
        return cv2.cvtColor((np.clip(mixed, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2YUV_I420)

    return work


def measure(width: int, height: int) -> dict[str, float]:
    frame, matrix, mask = noise_frame(width, height), placement(width, height), oval_mask()
    face = kernels.crop(frame, matrix[None], CROP_PX)[0]
    batch = np.empty((1, 3, CROP_PX, CROP_PX), np.float32)
    unchanged = np.eye(3, 4)
    times_ms = {
        "crop": cpu_ms(lambda: kernels.crop(frame, matrix[None], CROP_PX, out=batch)),
        "stats": cpu_ms(lambda: kernels.stats(face, mask)),
        "blend": cpu_ms(lambda: kernels.blend(frame, matrix, face, mask, unchanged)),
    }
    times_ms["face"] = sum(times_ms.values())
    times_ms["resize"] = cpu_ms(lambda: kernels.resize(frame, *DETECTOR_PX))
    if cv2 is not None:
        cv2.setNumThreads(1)
        times_ms["opencv"] = cpu_ms(full_frame_opencv(frame, matrix, mask), runs=5)
    return times_ms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()

    results = {name: measure(*size) for name, size in FRAME_SIZES.items()}
    columns = list(next(iter(results.values())))
    print(f"CPU ms, {FACE_PX} px face, {CROP_PX} px crop, {_native.isa_variants()[-1]}, {cpu_model()}")
    print("face = crop + stats + blend; opencv = the same over a full float RGB frame\n")
    print("frame   " + "".join(f"{column:>9}" for column in columns))
    for name, times_ms in results.items():
        print(f"{name:8}" + "".join(f"{times_ms[column]:9.2f}" for column in columns))

    if options.json:
        record = {
            "question": "CPU time of the kernels for one face, by frame size",
            **describe("opencv-python-headless"),
            "face_px": FACE_PX,
            "crop_px": CROP_PX,
            "detector_px": DETECTOR_PX,
            "cpu_ms": results,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A faceset of drawn faces: a skin-coloured oval on grey, two white eyes, a red mouth that opens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossface.engine.face.align import FACE_OVAL, LEFT_EYE, LIPS, RIGHT_EYE
from crossface.engine.review.png import write_png
from crossface.training.faceset import FaceRecord, header_line
from crossface.training.presets import Preset

HEADER = json.loads(header_line())
SIZE_PX: int = HEADER["size_px"]
COVERAGE: float = HEADER["coverage"]

# All that a network has, in a size that trains in no time.
TINY = Preset(
    name="tiny-32",
    size_px=32,
    encoder_widths=(16, 24, 32),
    encoder_kernel=3,
    latent=32,
    bottom_px=4,
    bottom_channels=32,
    inter_channels=24,
    decoder_widths=(24, 16),
    residual_stages=1,
    output_kernel=3,
    coverage=1.2,
    batch=2,
    learning_rate=1e-3,
)

Colour = tuple[int, int, int]


def make_faceset(folder: Path, count: int, skin: Colour, *, seed: int = 0) -> Path:
    """Write ``count`` faces of one skin colour; their mouths differ."""
    random = np.random.default_rng(seed)
    (folder / "faces").mkdir(parents=True)
    lines = [header_line()]
    for index in range(count):
        landmarks = _landmarks(mouth=0.02 + 0.06 * random.random())
        file = f"faces/{index:05d}.png"
        write_png(folder / file, _picture(landmarks, skin))
        # The clip's frame is twice the crop, and shifted.
        transform = np.array([[2.0, 0.0, 30.0], [0.0, 2.0, -10.0]])
        in_frame = (landmarks * 2 + [30, -10]).astype(np.float32)
        record = FaceRecord(file, "drawn", index, index / 25, in_frame, transform, 1.0, 100.0, 0.0)
        lines.append(record.to_json())
    (folder / "faceset.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _ellipse(count: int, x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([x + width / 2 * np.sin(angle), y - height / 2 * np.cos(angle)], axis=1)


def _landmarks(mouth: float) -> NDArray[np.float64]:
    """`[468, 2]` in px of the crop; what is not drawn lies in the middle."""
    points = np.zeros((468, 2))
    points[list(FACE_OVAL)] = _ellipse(len(FACE_OVAL), 0, 0, 0.84, 1)
    points[list(RIGHT_EYE)] = _ellipse(len(RIGHT_EYE), -0.19, -0.15, 0.17, 0.06)
    points[list(LEFT_EYE)] = _ellipse(len(LEFT_EYE), 0.19, -0.15, 0.17, 0.06)
    points[list(LIPS)] = _ellipse(len(LIPS), 0, 0.25, 0.3, mouth)
    return (points / COVERAGE + 0.5) * SIZE_PX


def _picture(landmarks: NDArray[np.float64], skin: Colour) -> NDArray[np.uint8]:
    picture = np.full((SIZE_PX, SIZE_PX, 3), 70, np.uint8)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    white, red = (250, 250, 250), (190, 40, 40)
    for region, colour in ((FACE_OVAL, skin), (RIGHT_EYE, white), (LEFT_EYE, white), (LIPS, red)):
        points = landmarks[list(region)]
        centre, half = points.mean(axis=0), np.ptp(points, axis=0) / 2
        picture[((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 <= 1] = colour
    return picture

"""What the judges see of one face: 68 landmarks, both eyes' lids, and who it is.

Points are in px of the picture as it is shown (square pixels, upright). Landmarks follow the scheme of 300-W
(Sagonas et al., IMAVIS 2016): jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67; the first eye is
the one on the left of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.errors import ConfigurationError
from crossface.engine.face.align import Affine, Points, apply
from crossface.engine.face.detector import Box
from crossface.engine.frame import Frame
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.weights import tflite

from .fetch import EYES
from .networks import IDENTITY_CROP_PX, LANDMARK_CROP_PX, identity_network, landmark_network
from .tfjs_weights import Weights, read_weights

FOLDER = Path(__file__).parents[2] / "build" / "judges"

EYE_CORNERS = ((36, 39), (42, 45))
LID_POINTS = 16
# Plain faces of our clips reach 0.05, hidden ones begin at 0.13.
MOST_DOUBT = 0.08
_EYE_CROP_PX = 64
# As MediaPipe cuts the eye's picture: this many times as wide as the eye.
_EYE_MARGIN = 2.3
_BOX_MARGIN = 1.1
# Of the detector's box, that the landmarks of a face span.
_LEAST_SHARE = 0.6
# Crops that landmarks are the mean of: side over the face's own, shift upwards in sides, mirrored or not.
# The mean shakes less than one crop's landmarks, by a fifth on the clips.
_VIEWS = ((1.2, 0.0, False), (1.2, 0.0, True), (1.35, 0.08, False), (1.35, 0.08, True))
# dlib's picture of a face: eyes and mouth lie this high in it, and this far apart.
_IDENTITY_HEIGHT, _IDENTITY_SCALE = 0.43, 0.45


@dataclass(frozen=True)
class Look:
    """One face in one frame.

    Attributes:
        landmarks: float64 ``[68, 2]``, px as shown.
        lids: float64 ``[2, 16, 2]``, px as shown: the outline of either eye. Points 0 and 8 are its corners,
            0 the inner one; 1 to 7 are the lower lid between them, 9 to 15 the upper one.
        irises: float64 ``[2, 2]``: their centres, px as shown.
        doubt: how far the landmarks of four slightly different crops lie apart, in eye distances. Above
            `MOST_DOUBT` something hides the face, or it is none.
    """

    landmarks: Points
    lids: NDArray[np.float64]
    irises: Points
    doubt: float


class Judges:
    """The three networks. Nothing is smoothed or remembered from one frame to the next.

    Args:
        display: of `VideoInfo.display`.
        folder: that `fetch` filled.

    Raises:
        ConfigurationError: the weights are not there.
    """

    def __init__(self, display: NDArray[np.float64] | None = None, *, folder: Path = FOLDER) -> None:
        self._display = np.eye(2) if display is None else display
        self._undisplay = np.linalg.inv(self._display)
        self._landmarks = _runner(
            folder, "landmarks", landmark_network(_weights(folder, "face_landmark_68_model"))
        )
        self._identity = _runner(
            folder, "identity", identity_network(_weights(folder, "face_recognition_model"))
        )
        outputs = [
            tflite.Output("output_eyes_contours_and_brows", "lids", (71, 3)),
            tflite.Output("output_iris", "iris", (5, 3)),
        ]
        self._eyes = _runner(folder, "eyes", tflite.convert(_read(folder, EYES), "eyes", outputs))

    def look(self, frame: Frame, box: Box) -> Look:
        """Landmarks of the face in a box ``(x0, y0, x1, y1)``, luma px of the coded frame."""
        x0, y0, x1, y1 = box
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ self._display.T
        (first,) = self._seen(frame, [(corners, 0.0, _BOX_MARGIN, 0.0, False)])
        if np.ptp(first, axis=0).max() < _LEAST_SHARE * np.ptp(corners, axis=0).max():
            # Landmarks have gathered on what hides the face: crops around them would show less and less.
            first = corners
            tilt = 0.0
        else:
            tilt = _tilt(first)
        views = self._seen(frame, [(first, tilt, *view) for view in _VIEWS])
        landmarks = views.mean(axis=0)
        apart = np.hypot(*(views - landmarks).T).mean() / max(np.hypot(*(landmarks[45] - landmarks[36])), 1.0)
        lids, irises = zip(
            *(self._eye(frame, landmarks, side, mirrored=side == 0) for side in (0, 1)), strict=True
        )
        return Look(landmarks, np.stack(lids), np.stack(irises), float(apart))

    def embedding(self, frame: Frame, landmarks: Points) -> NDArray[np.float64]:
        """Who it is, as ``[128]`` numbers: above a distance of 0.6 it is somebody else."""
        eyes, mouth = _eye_centres(landmarks), landmarks[48:68].mean(axis=0)
        tilt = _tilt(landmarks)
        side = float(np.hypot(*(eyes - mouth).T).mean()) / _IDENTITY_SCALE
        down = np.array([-np.sin(tilt), np.cos(tilt)])
        centre = np.mean([*eyes, mouth], axis=0) + (0.5 - _IDENTITY_HEIGHT) * side * down
        crop = self.crop(frame, square_around(centre, side, tilt, IDENTITY_CROP_PX), IDENTITY_CROP_PX)
        (embedding,) = self._identity.run(crop[None])
        return np.asarray(embedding[0], np.float64)

    def crop(self, frame: Frame, square: Affine, size_px: int) -> NDArray[np.float32]:
        """A picture ``[3, size_px, size_px]``, RGB 0..1, by an affine from its px to px as shown."""
        matrix = self._undisplay @ square
        return np.asarray(np.clip(kernels.crop(frame, matrix[None], size_px, threads=1)[0], 0.0, 1.0))

    def _seen(
        self, frame: Frame, views: list[tuple[Points, float, float, float, bool]]
    ) -> NDArray[np.float64]:
        """Landmarks ``[N, 68, 2]`` by N crops around points: tilt, margin, shift upwards, mirrored."""
        squares, crops = [], []
        for points, tilt, margin, rise, mirrored in views:
            low, high = points.min(axis=0), points.max(axis=0)
            side = float((high - low).max())
            up = np.array([np.sin(tilt), -np.cos(tilt)])
            squares.append(
                square_around((low + high) / 2 + rise * side * up, margin * side, tilt, LANDMARK_CROP_PX)
            )
            crop = self.crop(frame, squares[-1], LANDMARK_CROP_PX)
            crops.append(crop[..., ::-1] if mirrored else crop)
        (shares,) = self._landmarks.run(np.ascontiguousarray(crops, np.float32))
        found = []
        for square, share, (*_, mirrored) in zip(squares, shares.astype(np.float64), views, strict=True):
            if mirrored:
                share = (share * [-1.0, 1.0] + [1.0, 0.0])[_MIRRORED]
            found.append(apply(square, share * LANDMARK_CROP_PX))
        return np.stack(found)

    def _eye(
        self, frame: Frame, landmarks: Points, side: int, *, mirrored: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Outline and iris. The network knows one eye only, so that the other is shown mirrored."""
        left, right = landmarks[list(EYE_CORNERS[side])]
        along = right - left
        square = square_around(
            (left + right) / 2,
            _EYE_MARGIN * float(np.hypot(*along)),
            float(np.arctan2(along[1], along[0])),
            _EYE_CROP_PX,
        )
        crop = self.crop(frame, square, _EYE_CROP_PX)
        lids, iris = self._eyes.run(np.ascontiguousarray(crop[None, ..., ::-1] if mirrored else crop[None]))
        points = np.concatenate([lids[0, :LID_POINTS, :2], iris[0, :1, :2]]).astype(np.float64)
        if mirrored:
            points = points * [-1.0, 1.0] + [_EYE_CROP_PX, 0.0]
        shown = apply(square, points)
        return shown[:LID_POINTS], shown[LID_POINTS]


def square_around(centre: NDArray[np.float64], side: float, tilt: float, size_px: int) -> Affine:
    """From px of a crop to px as shown.

    Args:
        centre: of the square, px as shown.
        side: its length, px as shown.
        tilt: how far it is turned, radians, clockwise on the screen.
        size_px: of the crop.
    """
    scale = max(side, 1.0) / size_px
    cos, sin = scale * np.cos(tilt), scale * np.sin(tilt)
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, centre - turn @ [size_px / 2, size_px / 2]])


def _eye_centres(landmarks: Points) -> Points:
    return np.stack([landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)])


def _tilt(landmarks: Points) -> float:
    """Of the line between the eyes, radians, clockwise on the screen."""
    left, right = _eye_centres(landmarks)
    return float(np.arctan2(right[1] - left[1], right[0] - left[0]))


def _mirror_order() -> NDArray[np.intp]:
    """Which landmark of a mirrored face is each of the 68."""
    order = np.arange(68)
    pairs = [
        *((n, 16 - n) for n in range(8)),
        *((17 + n, 26 - n) for n in range(5)),
        *((31, 35), (32, 34)),
        *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
        *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56)),
        *((60, 64), (61, 63), (67, 65)),
    ]
    for a, b in pairs:
        order[a], order[b] = b, a
    return order


_MIRRORED = _mirror_order()


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f'{folder / name}: cannot be read ({error.strerror}); run "make judges"'
        ) from error


def _weights(folder: Path, name: str) -> Weights:
    shards = {f"{name}.bin": _read(folder, f"{name}.bin")}
    return read_weights(_read(folder, f"{name}-weights_manifest.json"), shards)


def _runner(folder: Path, name: str, model: onnx.ModelProto) -> OnnxRunner:
    return OnnxRunner(model.SerializeToString(), name=f"{folder}: {name}", threads=1)

"""Every face of a faceset, measured: what the audit and the choice of diverse faces go by."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import BadInputError
from ...engine.face.eyes import eye_contrast
from ...engine.swap.mask import hull
from ..faceset import FaceRecord, Faceset
from .expression import brow_raise, eye_open, mouth_open, mouth_width
from .patch import COLUMNS, ROWS, face_patch, texture
from .picture import LUMA, exposure, sharpness
from .pose import Pose, fit_pose, frontal

_ENOUGH_NAMES = 3
# A side, of the surroundings.
_BLOCKS = 16


@dataclass(frozen=True)
class FaceAudited:
    """A face of a faceset has been measured.

    Attributes:
        faceset: its folder.
        face: faces measured so far.
        of: faces in it.
    """

    faceset: Path
    face: int
    of: int


@dataclass(frozen=True)
class PictureMeasures:
    """What the pixels of one face tell.

    Attributes:
        sharpness: line widths a face height at which half the contrast is kept; see `picture.sharpness`.
        luma: mean over the face, 8-bit code.
        burnt: share of the face's px that are burnt out.
        black: share of the face's px that are black.
        side_light_stops: how much brighter the face's left half in the picture is than its right, turned to
            the front; stops (powers of two of code values, not of light).
        cast: red over green and blue over green of the face's median colour, natural logarithms.
        eye_contrast: of `engine.face.eyes.eye_contrast`.
        texture: float32 ``[7, 6, 8]`` of `patch.texture`.
        small: float32 ``[28, 24]``, luma codes of the face turned to the front.
        surroundings: float32 ``[176, 3]``, RGB codes of what is around the face: blocks of the crop.
    """

    sharpness: float
    luma: float
    burnt: float
    black: float
    side_light_stops: float
    cast: tuple[float, float]
    eye_contrast: float
    texture: NDArray[np.float32]
    small: NDArray[np.float32]
    surroundings: NDArray[np.float32]


@dataclass(frozen=True)
class FaceMeasures:
    """All faces of a faceset, in the order of its records: arrays of ``[N]``, or as said.

    Attributes:
        yaw_deg: positive where the nose points to the picture's right.
        pitch_deg: positive where it points up.
        residual: of the rigid fit, face heights.
        face_px: height of the face in its clip, px of the clip.
        presence: of the mesh network, 0..1.
        mouth_open: face heights.
        mouth_width: distances of the eyes' outer corners.
        brow_raise: face heights above this person's median.
        eye_open: 0 closed to 1 open, relative to this person's open eyes.
        sharpness, luma, burnt, black, side_light_stops: see `PictureMeasures`.
        cast: ``[N, 2]``.
        texture: ``[N, 7, 6, 8]``.
        small: ``[N, 28, 24]``.
        surroundings: ``[N, 176, 3]``.
    """

    yaw_deg: NDArray[np.float64]
    pitch_deg: NDArray[np.float64]
    residual: NDArray[np.float64]
    face_px: NDArray[np.float64]
    presence: NDArray[np.float64]
    mouth_open: NDArray[np.float64]
    mouth_width: NDArray[np.float64]
    brow_raise: NDArray[np.float64]
    eye_open: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    luma: NDArray[np.float64]
    burnt: NDArray[np.float64]
    black: NDArray[np.float64]
    side_light_stops: NDArray[np.float64]
    cast: NDArray[np.float64]
    texture: NDArray[np.float32]
    small: NDArray[np.float32]
    surroundings: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.yaw_deg)


def measure(faceset: Faceset) -> Generator[FaceAudited, None, FaceMeasures]:
    """Measures all faces.

    Raises:
        InputMissingError: a picture is missing.
        BadInputError: pictures are damaged or of another size than the faceset says; names all of them
            by their number and the first ones by their path.
    """
    landmarks, pose = _posed(faceset.records)
    pictures: list[PictureMeasures] = []
    faults: list[str] = []
    for number, record in enumerate(faceset.records):
        try:
            rgb = faceset.picture(record)
        except BadInputError as error:
            faults.append(str(error))
        else:
            pictures.append(
                measure_picture(rgb, landmarks[number], pose, number, _source_px(record, pose, number))
            )
        yield FaceAudited(faceset.folder, number + 1, len(faceset.records))
    if faults:
        more = f"; {len(faults) - _ENOUGH_NAMES} more" if len(faults) > _ENOUGH_NAMES else ""
        raise BadInputError(
            f"{'; '.join(faults[:_ENOUGH_NAMES])}{more}: or delete these pictures and their lines"
        )
    return combine(faceset.records, pictures)


def combine(records: Sequence[FaceRecord], pictures: Sequence[PictureMeasures]) -> FaceMeasures:
    """The measures of faces of one person whose pictures have been measured."""
    landmarks, pose = _posed(records)
    ahead = frontal(landmarks, pose)

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(picture, name) for picture in pictures], np.float64)

    return FaceMeasures(
        yaw_deg=pose.yaw_deg,
        pitch_deg=pose.pitch_deg,
        residual=pose.residual,
        face_px=np.array([_source_px(record, pose, n) for n, record in enumerate(records)]),
        presence=np.array([record.presence for record in records]),
        mouth_open=mouth_open(ahead),
        mouth_width=mouth_width(ahead),
        brow_raise=brow_raise(ahead),
        eye_open=eye_open(column("eye_contrast")),
        sharpness=column("sharpness"),
        luma=column("luma"),
        burnt=column("burnt"),
        black=column("black"),
        side_light_stops=column("side_light_stops"),
        cast=column("cast"),
        texture=np.stack([picture.texture for picture in pictures]),
        small=np.stack([picture.small for picture in pictures]),
        surroundings=np.stack([picture.surroundings for picture in pictures]),
    )


def measure_face(rgb: NDArray[np.uint8], record: FaceRecord) -> PictureMeasures:
    """Measures one crop, uint8 RGB ``[size, size, 3]``, by its record."""
    landmarks, pose = _posed([record])
    return measure_picture(rgb, landmarks[0], pose, 0, _source_px(record, pose, 0))


def measure_picture(
    rgb: NDArray[np.uint8], landmarks: NDArray[np.floating], pose: Pose, number: int, source_px: float
) -> PictureMeasures:
    """Measures a crop.

    Args:
        rgb: uint8 ``[size, size, 3]``.
        landmarks: ``[468, 2]``, px of the crop.
        pose: of many faces, in px of their crops.
        number: of this face among them.
        source_px: height of the face in its clip: what was enlarged does not show more for it.
    """
    mask = hull(landmarks, rgb.shape[0]) > 0.5
    luma, burnt, black = exposure(rgb, mask) if mask.any() else (0.0, 0.0, 1.0)
    rows, columns = np.nonzero(mask)
    # The derivatives need some px around the face.
    box = (
        (slice(max(rows.min() - 8, 0), rows.max() + 9), slice(max(columns.min() - 8, 0), columns.max() + 9))
        if mask.any()
        else (slice(None), slice(None))
    )
    grey = rgb[box].astype(np.float32) @ LUMA
    patch = face_patch(rgb, pose, number)
    patch_luma = patch @ LUMA
    left, right = (half.mean() + 1.0 for half in np.split(patch_luma, 2, axis=1))
    red, green, blue = np.median(patch.reshape(-1, 3), axis=0) + 1.0
    return PictureMeasures(
        sharpness=min(sharpness(grey, mask[box], float(pose.scale[number])), 0.75 * source_px),
        luma=luma,
        burnt=burnt,
        black=black,
        side_light_stops=float(np.log2(left / right)),
        cast=(float(np.log(red / green)), float(np.log(blue / green))),
        eye_contrast=eye_contrast(rgb, landmarks),
        texture=texture(patch_luma),
        small=patch_luma.reshape(ROWS // 2, 2, COLUMNS // 2, 2).mean(axis=(1, 3)),
        surroundings=_surroundings(rgb),
    )


def _surroundings(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of blocks of a crop, without those in the middle where the face is."""
    edges = np.linspace(0, rgb.shape[0], _BLOCKS + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(rgb.astype(np.float32), edges, axis=0), edges, axis=1)
    blocks = sums * (_BLOCKS / rgb.shape[0]) ** 2
    around = np.ones((_BLOCKS, _BLOCKS), bool)
    around[3:13, 4:12] = False
    outside: NDArray[np.float32] = blocks[around]
    return outside


def _posed(records: Sequence[FaceRecord]) -> tuple[NDArray[np.float32], Pose]:
    landmarks = np.stack([record.crop_landmarks() for record in records])
    return landmarks, fit_pose(landmarks)


def _source_px(record: FaceRecord, pose: Pose, number: int) -> float:
    enlarged = np.sqrt(abs(np.linalg.det(record.transform[:, :2])))
    return float(pose.scale[number] * enlarged)

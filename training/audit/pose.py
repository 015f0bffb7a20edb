"""How a head is held, from its landmarks: a rigid face of our own fitted to them, and undone.

The shape is the mean over nine people of our own test footage, as the mesh network sees them in space, laid
over each other by least squares, made symmetric, and turned until its plane view is `align.TEMPLATE`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...engine.face.align import TEMPLATE

# x to the picture's right, y down, z away from the viewer, in face heights. The slope between x and z of one
# clip's best fit alone is uncertain by a tenth, which is a degree or two of yaw and pitch.
# fmt: off
SHAPE: Mapping[int, tuple[float, float, float]] = {
    0: (0.000, 0.195, -0.053), 1: (0.000, 0.065, -0.141), 2: (0.000, 0.108, -0.051),
    4: (0.000, 0.025, -0.152), 5: (0.000, -0.026, -0.135), 6: (0.000, -0.145, -0.029),
    9: (0.000, -0.285, -0.003), 10: (0.000, -0.473, 0.048), 13: (0.000, 0.234, -0.022),
    14: (0.000, 0.266, -0.012), 17: (0.000, 0.326, -0.024), 18: (0.000, 0.366, 0.010),
    21: (-0.391, -0.284, 0.301), 33: (-0.270, -0.153, 0.131), 50: (-0.293, 0.037, 0.083),
    54: (-0.354, -0.355, 0.232), 55: (-0.074, -0.241, 0.012), 58: (-0.372, 0.249, 0.382),
    61: (-0.159, 0.244, 0.066), 63: (-0.301, -0.279, 0.094), 66: (-0.169, -0.300, 0.018),
    67: (-0.207, -0.451, 0.095), 70: (-0.339, -0.242, 0.141), 78: (-0.144, 0.243, 0.058),
    93: (-0.409, 0.056, 0.445), 98: (-0.107, 0.097, -0.001), 103: (-0.296, -0.412, 0.158),
    105: (-0.243, -0.300, 0.054), 107: (-0.086, -0.292, 0.001), 109: (-0.112, -0.469, 0.057),
    127: (-0.417, -0.118, 0.427), 129: (-0.129, 0.057, 0.024), 133: (-0.105, -0.149, 0.099),
    136: (-0.291, 0.383, 0.250), 144: (-0.221, -0.136, 0.097), 145: (-0.189, -0.133, 0.088),
    148: (-0.077, 0.523, 0.076), 151: (0.000, -0.381, 0.020), 152: (0.000, 0.531, 0.065),
    153: (-0.159, -0.135, 0.086), 158: (-0.165, -0.177, 0.081), 159: (-0.196, -0.179, 0.083),
    160: (-0.227, -0.173, 0.091), 168: (0.000, -0.189, 0.000), 172: (-0.334, 0.326, 0.318),
    187: (-0.323, 0.125, 0.118), 195: (0.000, -0.066, -0.098), 197: (0.000, -0.104, -0.062),
    199: (0.000, 0.459, 0.006), 200: (0.000, 0.409, 0.008), 205: (-0.242, 0.086, 0.048),
    234: (-0.413, -0.031, 0.448), 251: (0.391, -0.284, 0.301), 263: (0.270, -0.153, 0.131),
    280: (0.293, 0.037, 0.083), 284: (0.354, -0.355, 0.232), 285: (0.074, -0.241, 0.012),
    288: (0.372, 0.249, 0.382), 291: (0.159, 0.244, 0.066), 293: (0.301, -0.279, 0.094),
    296: (0.169, -0.300, 0.018), 297: (0.207, -0.451, 0.095), 300: (0.339, -0.242, 0.141),
    308: (0.144, 0.243, 0.058), 323: (0.409, 0.056, 0.445), 327: (0.107, 0.097, -0.001),
    332: (0.296, -0.412, 0.158), 334: (0.243, -0.300, 0.054), 336: (0.086, -0.292, 0.001),
    338: (0.112, -0.469, 0.057), 356: (0.417, -0.118, 0.427), 358: (0.129, 0.057, 0.024),
    362: (0.105, -0.149, 0.099), 365: (0.291, 0.383, 0.250), 373: (0.221, -0.136, 0.097),
    374: (0.189, -0.133, 0.088), 377: (0.077, 0.523, 0.076), 380: (0.159, -0.135, 0.086),
    385: (0.165, -0.177, 0.081), 386: (0.196, -0.179, 0.083), 387: (0.227, -0.173, 0.091),
    397: (0.334, 0.326, 0.318), 411: (0.323, 0.125, 0.118), 425: (0.242, 0.086, 0.048),
    454: (0.413, -0.031, 0.448),}
# fmt: on

# Each turn of the fit brings the depths nearer to those of the least squares solution.
_TURNS = 15


@dataclass(frozen=True)
class Pose:
    """How ``N`` heads are held: ``points = scale * (rotation @ shape)[:2] + shift``.

    Attributes:
        rotation: float64 ``[N, 3, 3]``, from the shape's axes to the picture's.
        scale: float64 ``[N]``, px a face height.
        shift: float64 ``[N, 2]``, px.
        residual: float64 ``[N]``, root mean square distance of the rigid points from the fit, face heights.
    """

    rotation: NDArray[np.float64]
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    residual: NDArray[np.float64]

    @property
    def yaw_deg(self) -> NDArray[np.float64]:
        """``[N]``, positive where the nose points to the picture's right."""
        across, away = self.rotation[:, 0, 2], self.rotation[:, 2, 2]
        yaw: NDArray[np.float64] = np.degrees(np.arctan2(-across, away))
        return yaw

    @property
    def pitch_deg(self) -> NDArray[np.float64]:
        """``[N]``, positive where the nose points up."""
        pitch: NDArray[np.float64] = np.degrees(np.arcsin(np.clip(self.rotation[:, 1, 2], -1.0, 1.0)))
        return pitch


def fit_pose(landmarks: NDArray[np.floating]) -> Pose:
    """Fits the rigid part of `SHAPE` to landmarks, seen from afar (scaled orthography).

    The plane's points lack a depth. It is taken from the last fit, then shape and points are laid over each
    other in space (Umeyama, IEEE PAMI 13(4), 1991), and so on: each turn lowers the squared error.

    Args:
        landmarks: ``[N, 468, 2]``, px of square pixels.
    """
    rigid, model = _rigid()
    centre = model.mean(axis=0)
    centred = model - centre
    spread = float((centred**2).sum())
    points = np.asarray(landmarks, np.float64)[:, rigid]
    middle = points.mean(axis=1)
    points = points - middle[:, None]
    affine = np.einsum("nki,jk->nij", points, np.linalg.pinv(centred))
    left, widths, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)
    scale = widths.mean(axis=1)
    for _ in range(_TURNS):
        depth = scale[:, None] * np.einsum("nj,kj->nk", rotation[:, 2], centred)
        solid = np.concatenate([points, depth[..., None]], axis=2)
        left, widths, right = np.linalg.svd(np.einsum("nki,kj->nij", solid, centred))
        signs = np.ones_like(widths)
        signs[:, 2] = np.sign(np.linalg.det(left @ right))
        rotation = (left * signs[:, None]) @ right
        scale = (widths * signs).sum(axis=1) / spread
    off = points - scale[:, None, None] * np.einsum("nij,kj->nki", rotation[:, :2], centred)
    residual = np.sqrt((off**2).sum(axis=2).mean(axis=1)) / scale
    shift = middle - scale[:, None] * (rotation[:, :2] @ centre)
    return Pose(rotation, scale, shift, residual)


def frontal(landmarks: NDArray[np.floating], pose: Pose) -> Mapping[int, NDArray[np.float64]]:
    """The landmarks of `SHAPE` as the face would show them looking straight ahead.

    Each is taken to have the shape's depth; what is left is the person's own form and expression.

    Returns:
        Index to ``[N, 2]``, face heights, in the plane of `SHAPE`.
    """
    indices = list(SHAPE)
    depth = np.array([SHAPE[n][2] for n in indices])
    points = np.asarray(landmarks, np.float64)[:, indices]
    plane = (points - pose.shift[:, None]) / pose.scale[:, None, None]
    plane = plane - pose.rotation[:, None, :2, 2] * depth[None, :, None]
    # Seen from the very side, the plane has no width left; the pseudo-inverse bears that.
    ahead = np.einsum("nij,nkj->nki", np.linalg.pinv(pose.rotation[:, :2, :2]), plane)
    return {index: ahead[:, n] for n, index in enumerate(indices)}


@functools.cache
def _rigid() -> tuple[list[int], NDArray[np.float64]]:
    """Indices of the points that expression hardly moves, and their places ``[K, 3]``."""
    indices = list(TEMPLATE)
    return indices, np.array([SHAPE[n] for n in indices])

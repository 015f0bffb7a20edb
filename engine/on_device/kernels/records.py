"""The records that the CUDA kernels are given, as kernels/common/jobs.h documents them.

A launch gets an array of frames and an array of jobs, a job for each face (or picture): `frame` counts in
the first, `item` in the batch of tensors that it reads or fills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._native import device as native
from ...frame import ColourDescription
from ...kernels import Grain, native_colour
from ..memory import DeviceFrame

Records = NDArray[np.void]

PLANE = np.dtype(
    [("base", "u8"), ("pitch_bytes", "i8"), ("step", "i8"), ("width", "i4"), ("height", "i4")], align=True
)
COLOUR = np.dtype(
    [
        ("matrix", "i4"),
        ("full_range", "u1"),
        ("siting", "i4"),
        ("bits", "i4"),
        ("chroma_shift_x", "i4"),
        ("chroma_shift_y", "i4"),
        ("padding_bits", "i4"),
        ("transfer", "i4"),
    ],
    align=True,
)
CURVE = np.dtype(
    [
        ("to_display", "u8"),
        ("to_signal", "u8"),
        ("cells_per_display", "f4"),
        ("fade_begin", "f4"),
        ("fade_end", "f4"),
    ],
    align=True,
)
FRAME = np.dtype(
    [("planes", PLANE, 3), ("colour", COLOUR), ("format", "i4", 30), ("curve", CURVE)], align=True
)
RESIZE_JOB = np.dtype([("scale", "f8", 2), ("frame", "i4"), ("item", "i4")], align=True)
CROP_JOB = np.dtype([("crop_to_luma", "f8", (2, 3)), ("frame", "i4"), ("item", "i4")], align=True)
BLEND_JOB = np.dtype(
    [
        ("luma_to_face", "f8", (2, 3)),
        ("colour", "f4", (3, 4)),
        ("box", "i4", 4),
        ("frame", "i4"),
        ("item", "i4"),
        ("grain", [("sigma", "f4"), ("centre", "f4"), ("side", "f4"), ("seed", "u4")]),
        ("luma_to_mark", "f8", (2, 3)),
    ],
    align=True,
)
MARK_JOB = np.dtype([("mark_to_face", "f8", (2, 3)), ("luma", "f4", 4), ("item", "i4")], align=True)
OUTLINE_JOB = np.dtype([("first", "i4"), ("count", "i4"), ("item", "i4")], align=True)
SOFTEN_JOB = np.dtype([("share", "f4"), ("item", "i4")], align=True)
SHARPEN_JOB = np.dtype(
    [("amount", "f4"), ("radius", "i4"), ("item", "i4"), ("taps", "f4", native.MOST_SHARPEN_RADIUS + 1)],
    align=True,
)
# Of kernels/common/follow_face.h.
FOLLOW_RULE = np.dtype(
    [
        ("display", "f8", (2, 2)),
        ("undisplay", "f8", (2, 2)),
        ("margin", "f8"),
        ("least_presence", "f8"),
        ("least_span", "f8"),
        ("size_px", "i4"),
        ("right_eye", "i4"),
        ("left_eye", "i4"),
    ],
    align=True,
)
AIM = np.dtype([("crop_to_luma", "f8", (2, 3)), ("lost", "i4")], align=True)
# A face in a frame, as `MeshChain` gives it: landmarks in luma px.
FOUND_MESH = np.dtype(
    [("landmarks", "f8", (native.MESH_POINTS, 2)), ("presence", "f4"), ("lost", "i4")], align=True
)
# Of one face, as `stats` gives them: mean, covariance, weight.
STATISTICS = np.dtype([("mean", "f8", 3), ("covariance", "f8", (3, 3)), ("weight", "f8")])


class Curve(NamedTuple):
    """An HDR transfer's tables (see kernels/common/curve.h), by their addresses; all 0 for SDR."""

    to_display: int = 0
    to_signal: int = 0
    cells_per_display: float = 0.0
    fade_begin: float = 0.0
    fade_end: float = 0.0


def colour_record(colour: ColourDescription, curve: Curve) -> bytes:
    """A frame's record without its planes: alike for all frames of a stream."""
    record = np.zeros((), FRAME)
    record["colour"] = tuple(getattr(colour, name) for name in COLOUR.names or ())
    record["format"] = np.frombuffer(native.pixel_format(native_colour(colour)), np.int32)
    record["curve"] = curve
    return record.tobytes()


def frame_records(frames: Sequence[DeviceFrame], colours: Mapping[ColourDescription, bytes]) -> Records:
    """Records ``[frames]``; ``colours`` has a `colour_record` for each."""
    # As bytes, for to stack records takes NumPy 20 us each.
    records = np.frombuffer(bytearray().join(colours[frame.colour] for frame in frames), FRAME)
    records["planes"] = np.array([list(frame.planes) for frame in frames], PLANE)
    return records


def resize_jobs(scales: NDArray[np.float64]) -> Records:
    """Of all frames in order, from luma px to result px, x and y: ``scales`` ``[frames, 2]``."""
    jobs = np.zeros(len(scales), RESIZE_JOB)
    jobs["scale"] = scales
    jobs["frame"] = jobs["item"] = np.arange(len(scales))
    return jobs


def crop_jobs(
    crop_to_luma: NDArray[np.float64], frame_of: NDArray[np.intp], items: NDArray[np.intp]
) -> Records:
    """One for each of the ``[N, 2, 3]`` affines."""
    jobs = np.zeros(len(items), CROP_JOB)
    jobs["crop_to_luma"], jobs["frame"], jobs["item"] = crop_to_luma, frame_of, items
    return jobs


def blend_jobs(
    face_to_luma: NDArray[np.float64],
    frame_of: NDArray[np.intp],
    items: NDArray[np.intp],
    colours: NDArray[np.float64],
    grains: Sequence[Grain],
    marks_to_luma: NDArray[np.float64] | None,
    size_px: int,
    frame_sizes_px: NDArray[np.int64],
) -> Records:
    """One for each face that its frame may show.

    Args:
        face_to_luma: float64 ``[N, 2, 3]``.
        frame_of: ``[N]``.
        items: ``[N]``.
        colours: float64 ``[N, 3, 4]``.
        grains: ``[N]``.
        marks_to_luma: float64 ``[N, 2, 3]``, chips to luma px; None without marks.
        size_px: side of the faces and masks.
        frame_sizes_px: ``[N, 2]``, width and height of each one's frame.
    """
    reached = boxes(face_to_luma, size_px, frame_sizes_px)
    seen = (reached[:, :2] < reached[:, 2:]).all(1)
    jobs = np.zeros(int(seen.sum()), BLEND_JOB)
    jobs["luma_to_face"], jobs["colour"], jobs["box"] = (
        _inverse(face_to_luma[seen]),
        colours[seen],
        reached[seen],
    )
    jobs["frame"], jobs["item"] = frame_of[seen], items[seen]
    jobs["grain"] = np.array([tuple(each) for each in grains], BLEND_JOB["grain"])[seen]
    if marks_to_luma is not None:
        jobs["luma_to_mark"] = _inverse(marks_to_luma[seen])
    return jobs


def mark_jobs(
    mark_to_face: NDArray[np.float64], lumas: NDArray[np.float64], items: NDArray[np.intp]
) -> Records:
    """One for each of the ``[N, 2, 3]`` affines, and of ``lumas`` ``[N, 4]``."""
    jobs = np.zeros(len(items), MARK_JOB)
    jobs["mark_to_face"], jobs["luma"], jobs["item"] = mark_to_face, lumas, items
    return jobs


def outline_jobs(counts: NDArray[np.intp], items: NDArray[np.intp]) -> Records:
    """One for each of some polygons, whose edges follow each other: ``counts`` ``[N]``."""
    jobs = np.zeros(len(items), OUTLINE_JOB)
    jobs["first"], jobs["count"], jobs["item"] = np.cumsum(counts) - counts, counts, items
    return jobs


def sharpen_jobs(
    taps: Sequence[NDArray[np.float32]], amounts: NDArray[np.float64], items: NDArray[np.intp]
) -> Records:
    """One for each of the ``[N]`` amounts; of taps ``[2 r + 1]`` the latter half.

    Raises:
        ValueError: taps of a radius that kernels do not have.
    """
    jobs = np.zeros(len(items), SHARPEN_JOB)
    jobs["amount"], jobs["item"] = amounts, items
    for job, each in zip(jobs, taps, strict=True):
        radius = len(each) // 2
        if len(each) % 2 == 0 or radius > native.MOST_SHARPEN_RADIUS:
            raise ValueError(f"taps: must be an odd number up to {2 * native.MOST_SHARPEN_RADIUS + 1}")
        job["radius"] = radius
        job["taps"][: radius + 1] = each[radius:]
    return jobs


def soften_jobs(shares: NDArray[np.float32], items: NDArray[np.intp]) -> Records:
    """One for each of the ``[N]`` shares."""
    jobs = np.zeros(len(items), SOFTEN_JOB)
    jobs["share"], jobs["item"] = shares, items
    return jobs


def boxes(
    face_to_luma: NDArray[np.float64], size_px: int, frame_sizes_px: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Luma samples ``[N, 4]`` (x0, y0, x1, y1, half open) that masks may reach, cut to the frames.

    A mask fades to 0 over half a pixel beyond its picture.
    """
    ends = -0.5, size_px + 0.5
    corners = np.array([[x, y, 1.0] for x in ends for y in ends]) @ face_to_luma.transpose(0, 2, 1)
    boxes = np.concatenate([np.floor(corners.min(1)), np.ceil(corners.max(1))], axis=1)
    clipped: NDArray[np.int64] = np.clip(boxes, 0, np.tile(frame_sizes_px, 2)).astype(np.int64)
    return clipped


def _inverse(affines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of ``[N, 2, 3]`` affines that have one."""
    linear = np.linalg.inv(affines[:, :, :2])
    return np.concatenate([linear, -linear @ affines[:, :, 2:]], axis=2)

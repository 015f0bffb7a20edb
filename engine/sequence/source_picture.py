"""The picture that a frame of a sequence was made from, and what a change of the frame means for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frame import LUMA_SHARES, Matrix, Plane
from .display_curves import DisplayTransform
from .picture import FLOAT_BITS, Picture, Samples, Window

_GREATEST_HALF = 65504.0
# BT.709.
_LUMA = np.array(LUMA_SHARES[Matrix.RGB], np.float32)
_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class SourcePicture:
    """The picture that a frame was made from, and how.

    Attributes:
        picture: as the file holds it.
        transform: to the frame's display-like values.
        window: of the frame.
    """

    picture: Picture
    transform: DisplayTransform
    window: Window

    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Fresh planes G, B, R of the frame: black where the picture has no data; not a number is 0."""
        shown = self._shown()
        planes = []
        for channel in (1, 2, 0):
            plane = np.zeros((self.window.height, self.window.width), shown.dtype)
            rows, columns = self._place
            plane[rows, columns] = shown[self._overlap][..., channel]
            planes.append(plane)
        return planes[0], planes[1], planes[2]

    def changes(self, planes: tuple[Plane, Plane, Plane]) -> tuple[Samples, NDArray[np.bool_]]:
        """What blending into the planes means for the file.

        Returns:
            As ``picture.rgb`` with only the changed samples replaced, and where: bool ``[height, width]``.
        """
        picture, transform = self.picture, self.transform
        shown = self._shown()[self._overlap]
        drawn = [planes[n][self._place] for n in (2, 0, 1)]
        changed = np.zeros(picture.rgb.shape[:2], bool)
        inside = changed[self._overlap]
        for channel, plane in enumerate(drawn):
            inside |= plane != shown[..., channel]
        rgb = picture.rgb.copy()
        where = np.nonzero(inside)
        if not where[0].size:
            return rgb, changed
        before, after = shown[where], np.stack([plane[where] for plane in drawn], axis=-1)
        share = _share(before, transform)[:, None]
        values: Samples
        if picture.bits == FLOAT_BITS or self.is_mapped:
            values = transform.from_display(before + share * (after - before))
        else:
            values = after
        differs = before != after if transform.separable else np.full(after.shape, True)
        own = rgb[self._overlap]
        own[where] = np.where(differs & (share > 0), self._stored(values), own[where])
        return rgb, changed

    @property
    def is_mapped(self) -> bool:
        """The frame shows other values than the file holds."""
        return self.transform.name != "display"

    def share(self) -> NDArray[np.float32]:
        """How much of a blend the file takes, float32 ``[height, width]``: less than 1 in highlights."""
        share = np.ones((self.window.height, self.window.width), np.float32)
        share[self._place] = _share(self._shown()[self._overlap].astype(np.float32), self.transform)
        return share

    def values(self, planes: tuple[Plane, Plane, Plane]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The file's own R, G, B before and after blending, for the whole frame.

        Returns:
            Float32 ``[height, width, 3]`` each; integers as 0..1, 0 where there is no data.
        """
        rgb, _ = self.changes(planes)
        white = 1 if self.picture.bits == FLOAT_BITS else (1 << self.picture.bits) - 1
        rows, columns = self._place
        pair = []
        for samples in (self.picture.rgb, rgb):
            whole = np.zeros((self.window.height, self.window.width, 3), np.float32)
            whole[rows, columns] = np.nan_to_num(samples[self._overlap].astype(np.float32)) / white
            pair.append(whole)
        return pair[0], pair[1]

    @property
    def _overlap(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that lie in the frame."""
        data, window = self.picture.data_window, self.window
        return (
            _common(window.y - data.y, window.height, data.height),
            _common(window.x - data.x, window.width, data.width),
        )

    @property
    def _place(self) -> tuple[slice, slice]:
        """Rows and columns of the frame where the picture lies."""
        data, window = self.picture.data_window, self.window
        return (
            _common(data.y - window.y, data.height, window.height),
            _common(data.x - window.x, data.width, window.width),
        )

    def _shown(self) -> NDArray[Any]:
        """``[height, width, 3]`` of the data window, as the frame shows it."""
        rgb = self.picture.rgb
        if self.picture.bits != FLOAT_BITS and not self.is_mapped:
            return rgb
        if self.transform.separable and rgb.dtype.itemsize <= 2:
            # As many values as codes: a table is faster than the curve, and the same.
            codes = np.arange(1 << min(16, self.picture.bits), dtype=rgb.dtype.str.replace("f", "u"))
            table = self._of_values(codes.view(rgb.dtype).reshape(-1, 256)).reshape(-1)
            return table[rgb.view(codes.dtype)]
        return self._of_values(rgb)

    def _of_values(self, values: Samples) -> NDArray[np.float32]:
        shown = np.empty(values.shape, np.float32)
        # A few rows at a time stay in the cache from one step of the curve to the next.
        for start in range(0, len(values), _ROWS_AT_ONCE):
            some = values[start : start + _ROWS_AT_ONCE].astype(np.float32)
            if self.picture.bits != FLOAT_BITS:
                some /= np.float32((1 << self.picture.bits) - 1)
            elif not np.isfinite(some).all():
                some = np.nan_to_num(some, nan=0.0, posinf=_GREATEST_HALF, neginf=-_GREATEST_HALF)
            shown[start : start + _ROWS_AT_ONCE] = self.transform.to_display(some)
        return shown

    def _stored(self, values: NDArray[Any]) -> Samples:
        kind = self.picture.rgb.dtype
        if self.picture.bits == FLOAT_BITS:
            limit = np.finfo(kind).max
            values = np.clip(values, -limit, limit)
        elif self.is_mapped:
            white = (1 << self.picture.bits) - 1
            values = np.rint(np.clip(values.astype(np.float64), 0.0, 1.0) * white)
        return values.astype(kind)


def _share(shown: NDArray[np.float32], transform: DisplayTransform) -> NDArray[np.float32]:
    """How much of a blend is taken, without the last axis: all but for highlights of the source."""
    if transform.highlights is None:
        return np.ones(shown.shape[:-1], np.float32)
    begin, end = (np.float32(value) for value in transform.highlights)
    x = np.clip((shown @ _LUMA - begin) / (end - begin), 0.0, 1.0)
    share: NDArray[np.float32] = 1.0 - x * x * (3.0 - 2.0 * x)
    return share


def _common(offset: int, length: int, room: int) -> slice:
    """The part of ``[offset, offset + length)`` that lies in ``[0, room)``."""
    return slice(min(max(offset, 0), room), max(0, min(offset + length, room)))

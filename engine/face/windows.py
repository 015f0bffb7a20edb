"""Frames in windows of a few: what a tracker goes by, before any face is known.

Only thumbnails decide where a window ends, so that who works on a device can begin one before the faces of
the one before are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..frame import Timed
from .cuts import Thumbnail, is_cut

WINDOWS_A_SEARCH = 8

# Wherever its samples lie.
AnyFrame = TypeVar("AnyFrame", bound=Timed)


@dataclass(frozen=True)
class Window(Generic[AnyFrame]):
    """Successive frames of one shot, at the last of which the detector looks.

    Attributes:
        frames: one at least.
        thumbnails: one a frame.
        shot: number of the shot, from 0.
        number: of the window in its shot, from 0.
        last: whether it is the shot's last.
    """

    frames: list[AnyFrame]
    thumbnails: list[Thumbnail]
    shot: int
    number: int
    last: bool

    @property
    def thorough(self) -> bool:
        """Whether the detector searches, or only glances."""
        return self.last or self.number % WINDOWS_A_SEARCH == 0


def in_windows(frames: Iterable[tuple[AnyFrame, Thumbnail]], every: int) -> Iterator[Window[AnyFrame]]:
    """Sorts frames with their thumbnails into windows.

    A shot's first window is its first frame alone, the others have ``every`` frames, the last one may have
    fewer.
    """
    shot = number = 0
    window: list[AnyFrame] = []
    thumbnails: list[Thumbnail] = []
    for frame, small in frames:
        cut = bool(thumbnails) and is_cut(thumbnails[-1], small)
        # Only now is it known whether the window's last frame is the shot's.
        if cut or len(window) == (every if number else 1):
            yield Window(window, thumbnails, shot, number, last=cut)
            window, thumbnails, number = [], [], number + 1
        if cut:
            shot, number = shot + 1, 0
        window.append(frame)
        thumbnails.append(small)
    if window:
        yield Window(window, thumbnails, shot, number, last=True)

"""What becomes of the faces that are drawn: their colours, and what the report says of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..review.measure import Kept, Recorder
from .cast import AnyFrame, Work
from .colour_match import Method, Statistics
from .steady_match import Match, Measured, SteadyMatch
from .texture import Texture


class Account:
    """Follows the faces of consecutive frames.

    Args:
        colour: how a face takes the shot's colours.
        recorder: is told of every face.
        measured: of the frames before the first one: `colours` of whoever had them.

    Attributes:
        faces: how many were blended so far.
        frames_changed: in how many frames.
    """

    def __init__(
        self, colour: Method, *, recorder: Recorder | None = None, measured: Sequence[Measured] = ()
    ) -> None:
        self.faces = self.frames_changed = 0
        self._last_changed: int | None = None
        self._match = SteadyMatch(colour)
        self._recorder = recorder
        for each in measured:
            self._match.update(each)

    @property
    def colours(self) -> Sequence[Measured]:
        """What was measured in the last frames."""
        return tuple(self._match.recent)

    def match(
        self,
        work: Work[AnyFrame],
        drawn: Statistics,
        source: Statistics,
        texture: Texture | None,
        visible: NDArray[np.float32] | None,
    ) -> Match:
        """What fits a face to the plate; in the order of `Work.order`, frame after frame."""
        seen = None if visible is None else np.round(visible * 255).astype(np.uint8)
        return self._match.update(
            Measured(
                work.frame.index,
                work.shot,
                work.face.track,
                drawn,
                source,
                texture,
                seen,
                work.drawn_placed,
            )
        )

    def keep(self, work: Work[AnyFrame], reason: Kept) -> None:
        """The source's face stays."""
        if self._recorder is not None:
            self._recorder.kept(work.frame.pts, work.face, reason)

    def swap(
        self,
        work: Work[AnyFrame],
        drawn: Statistics,
        source: Statistics,
        match: Match,
        *,
        mask_area: float,
        covered: float,
        redrawn: bool,
    ) -> None:
        """A face was blended; see `Recorder.swapped`."""
        self.faces += 1
        # Faces come frame after frame.
        self.frames_changed += work.frame.index != self._last_changed
        self._last_changed = work.frame.index
        if self._recorder is not None:
            self._recorder.swapped(
                work.frame.pts,
                work.face,
                mask_area=mask_area,
                drawn_mean=drawn.mean,
                source_mean=source.mean,
                colour=match.shown,
                share=work.share,
                covered=covered,
                retried=redrawn,
            )


def unseen(work: Work[AnyFrame], covered: float) -> Kept:
    """Why a face that was drawn shows nowhere.

    Args:
        work: of the face.
        covered: share of it that something lies before.
    """
    if not work.share:
        return "turned away"
    return "covered" if covered > 0.5 else "no mask"


def no_number(work: Work[AnyFrame]) -> str:
    """What the user is told of a face that cannot be drawn."""
    return f"frame {work.frame.index}: the network gave no number; the face stays as it was"

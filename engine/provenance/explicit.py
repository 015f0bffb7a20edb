"""How explicit frames look: NSFWJS' MobileNetV2Mid, shown a few frames of each shot.

The score is the share that it gives to explicit photographs and explicit drawings together.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.windows import AnyFrame
from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from .gate import NETWORK

# Side of the picture that the network sees. A frame fills it, whatever its own shape: so it was trained.
SIZE_PX = 224
# Of drawings, explicit drawings, neutral, explicit and suggestive photographs.
_EXPLICIT = [1, 3]
# From one sample to the next: to a shot's first, its second and its third one, and to all others.
_GAPS_S = (Fraction(1, 5), Fraction(1, 3), Fraction(1, 3), Fraction(1))


class Scorer:
    """The network, on the CPU.

    Args:
        display: of `display_matrix`: it must see pictures as a player shows them.
        threads: 0 for one.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, display: NDArray[np.float64], *, threads: int = 0) -> None:
        self._runner = OnnxRunner(locate(NETWORK), threads=threads or 1)
        self._display = display
        self._threads = threads or 1

    def score(self, frame: Frame) -> float:
        """0..1, how explicit the frame looks."""
        picture, _ = kernels.resize(
            frame, SIZE_PX, SIZE_PX, self._threads, pixel_aspect=frame.height / frame.width
        )
        return self.score_picture(picture)

    def score_picture(self, picture: NDArray[np.float32]) -> float:
        """The same of a whole frame that was resized, ``[3, 224, 224]``."""
        shown = np.ascontiguousarray(_upright(np.clip(picture, 0.0, 1.0), self._display))
        (classes,) = self._runner.run(shown[None])
        return round(float(classes[0, _EXPLICIT].sum()), 4)


def _upright(picture: NDArray[np.float32], display: NDArray[np.float64]) -> NDArray[np.float32]:
    """A square picture as a player turns or mirrors it."""
    if abs(display[0, 1]) > abs(display[0, 0]):
        picture, display = picture.transpose(0, 2, 1), display[:, ::-1]
    if display[0, 0] < 0:
        picture = picture[:, :, ::-1]
    return picture[:, ::-1] if display[1, 1] < 0 else picture


class Sampler:
    """Says which frames of a part are looked at: three of each shot's first second, then one a second.

    Shots of less than a fifth of a second may be passed over.
    """

    def __init__(self) -> None:
        self._last: Fraction | None = None
        self._in_shot = 0

    def wants(self, time_s: Fraction, *, cut: bool) -> bool:
        """Whether to look at the next frame.

        Args:
            time_s: of the frame.
            cut: a shot begins with it.
        """
        if cut:
            self._in_shot = 0
        gap = _GAPS_S[min(self._in_shot, len(_GAPS_S) - 1)]
        if self._last is not None and self._last <= time_s < self._last + gap:
            return False
        self._last, self._in_shot = time_s, self._in_shot + 1
        return True


class FrameScores(Generic[AnyFrame]):
    """Scores some frames of a part, wherever they lie.

    Args:
        look: scores one.
    """

    def __init__(self, look: Callable[[AnyFrame], float]) -> None:
        self._sampler, self._look = Sampler(), look

    def score(self, frame: AnyFrame, *, cut: bool) -> float | None:
        """Of the part's next frame; None where it is not looked at."""
        wanted = self._sampler.wants(frame.pts * frame.time_base, cut=cut)
        return self._look(frame) if wanted else None

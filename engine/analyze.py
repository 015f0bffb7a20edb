"""Pass 1: packets to faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .face.align import display_matrix
from .face.detector import Detector
from .face.landmarks import LandmarkFinder
from .face.smooth import SteadySighting, smooth
from .face.track import Tracker
from .video.reader import Reader


@dataclass(frozen=True)
class AnalysisSettings:
    """What changes the result of an analysis.

    Attributes:
        detect_every: frames from one search by the detector to the next.
        detector_px: long side of the picture that the detector sees.
    """

    detect_every: int = 5
    detector_px: int = 640


def watch(reader: Reader, settings: AnalysisSettings) -> Iterator[SteadySighting]:
    """Every frame of a clip with its faces, tracked and steady; streaming.

    Raises:
        ConfigurationError: face models are missing.
        BadInputError: from the reader, while iterating.
    """
    info = reader.info
    display = display_matrix(float(info.sample_aspect_ratio or 1), info.rotation)
    tracker = Tracker(
        Detector(long_side_px=settings.detector_px),
        LandmarkFinder(display=display),
        every=settings.detect_every,
    )
    yield from smooth(tracker.follow(reader))

"""Crossface's engine: everything that a render node needs. Never imports PyTorch."""

from .analyze import AnalysisSettings, analyze
from .clip import ReadingSettings
from .convert import CompositorPaths, ConversionSettings, convert
from .errors import CrossfaceError
from .events import Event, Finished, Progress, Warned
from .review.sheet import sheet

__all__ = [
    "AnalysisSettings",
    "CompositorPaths",
    "ConversionSettings",
    "CrossfaceError",
    "Event",
    "Finished",
    "Progress",
    "ReadingSettings",
    "Warned",
    "analyze",
    "convert",
    "sheet",
]

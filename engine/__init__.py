"""Crossface's engine: everything that a render node needs. Never imports PyTorch."""

from .analyze import AnalysisSettings, analyze
from .convert import ConversionSettings, convert
from .errors import CrossfaceError
from .events import Event, Finished, Progress, Warned
from .review.sheet import sheet

__all__ = [
    "AnalysisSettings",
    "ConversionSettings",
    "CrossfaceError",
    "Event",
    "Finished",
    "Progress",
    "Warned",
    "analyze",
    "convert",
    "sheet",
]

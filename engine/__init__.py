"""Crossface's engine: everything that a render node needs. Never imports PyTorch."""

from .analyze import AnalysisSettings, analyze
from .clip import ReadingSettings
from .convert import CompositorPaths, ConversionSettings, convert
from .errors import CrossfaceError
from .events import Event, Finished, Progress, Warned
from .provenance.credentials import Signing
from .provenance.identity import Identity
from .provenance.verify import verify
from .review.sheet import sheet

__all__ = [
    "AnalysisSettings",
    "CompositorPaths",
    "ConversionSettings",
    "CrossfaceError",
    "Event",
    "Finished",
    "Identity",
    "Progress",
    "ReadingSettings",
    "Signing",
    "Warned",
    "analyze",
    "convert",
    "sheet",
    "verify",
]

"""The networks beside the swapper: where they lie, and how they get there."""

from .face_models import FACE_MODELS, GATE_MODELS, PEOPLE_MODELS, fetch, is_there, locate
from .own import locate_own

__all__ = ["FACE_MODELS", "GATE_MODELS", "PEOPLE_MODELS", "fetch", "is_there", "locate", "locate_own"]

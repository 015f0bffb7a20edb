"""The networks that find faces: where they lie, and how they get there."""

from .face_models import FACE_MODELS, PEOPLE_MODELS, fetch, locate
from .own import locate_own

__all__ = ["FACE_MODELS", "PEOPLE_MODELS", "fetch", "locate", "locate_own"]

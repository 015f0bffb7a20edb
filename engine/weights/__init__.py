"""The networks that find faces: where they lie, and how they get there."""

from .face_models import FACE_MODELS, PEOPLE_MODELS, fetch, locate

__all__ = ["FACE_MODELS", "PEOPLE_MODELS", "fetch", "locate"]

"""What every output says of itself in plain words, in the container's or the picture's comment."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..swap.dfm import is_dfm

if TYPE_CHECKING:
    from ..jobs.plan import PlannedModel

# By it `verify` finds them again.
OPENING = "Contains AI-generated imagery: faces replaced by Crossface"


def disclosure(models: Sequence[PlannedModel], *, unsigned_because: str | None = None) -> str:
    """One line.

    Args:
        models: who is drawn.
        unsigned_because: why there are no content credentials; None where there are.
    """
    people = "; ".join(map(_person, models))
    unsigned = "" if unsigned_because is None else f"; without content credentials: {unsigned_because}"
    return f"{OPENING} {version('crossface')}, {people}{unsigned}"


def _person(model: PlannedModel) -> str:
    text = f"identity {model.identity}, {'DFM' if is_dfm(model.path) else 'model'} {model.sha256[:16]}"
    if model.consent is not None:
        return f"{text}, consent {model.consent.reference}"
    return f"{text}, rights stated by the user" if model.rights_stated else text

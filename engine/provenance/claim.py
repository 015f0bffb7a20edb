"""What content credentials say of a conversion, in the terms of C2PA (specification 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .c2pa_file import Ingredient, mime_of

if TYPE_CHECKING:
    from ..jobs.plan import PlannedModel

# IPTC's word for real footage with something drawn by a trained model in it.
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
# C2PA asks for a name space of one's own around what it does not define.
OWN = "org.crossface."
# Label of what `unhashed` finds.
UNHASHED = f"{OWN}unhashed"
_SOURCE = "source"


@dataclass(frozen=True)
class Claim:
    """A conversion, as far as its output shows it. No path, clock or host is in it.

    Attributes:
        source: the clip.
        source_hash: of its packets or pictures.
        models: who is drawn.
        frames: of the output.
        frames_changed: in how many of them a face was replaced.
        faces: replaced in all.
    """

    source: Path
    source_hash: str
    models: Sequence[PlannedModel]
    frames: int
    frames_changed: int
    faces: int

    def manifest(self, unhashed_sha256: str | None = None) -> dict[str, Any]:
        """The definition of a manifest; its only ingredient is `ingredient`.

        Args:
            unhashed_sha256: of an MP4 or MOV file, see `unhashed`.
        """
        # C2PA wants the first action to say what was opened.
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_SOURCE]}}
        assertions = [{"label": "c2pa.actions.v2", "data": {"actions": [opened, self._done()]}}]
        if unhashed_sha256 is not None:
            assertions.append({"label": UNHASHED, "data": {"sha256": unhashed_sha256}})
        return {"claim_generator_info": [_software()], "assertions": assertions}

    def ingredient(self) -> Ingredient:
        """The clip; its own credentials are carried on where it is a file."""
        fields = {
            "title": "source",
            "format": mime_of(self.source),
            "relationship": "parentOf",
            "instance_id": f"sha256:{self.source_hash}",
            "label": _SOURCE,
        }
        return Ingredient(fields, self.source if self.source.is_file() else None)

    def _done(self) -> dict[str, Any]:
        if not self.frames_changed:
            return {"action": "c2pa.transcoded", "softwareAgent": _software()}
        return {
            "action": "c2pa.edited",
            "description": f"Faces replaced in {self.frames_changed} of {self.frames} frames.",
            "digitalSourceType": COMPOSITE,
            "softwareAgent": _software(),
            "parameters": {
                f"{OWN}frames": self.frames,
                f"{OWN}frames_changed": self.frames_changed,
                f"{OWN}faces": self.faces,
                f"{OWN}source_sha256": self.source_hash,
                f"{OWN}models": [_drawn(model) for model in self.models],
            },
        }


def _software() -> dict[str, str]:
    return {"name": "Crossface", "version": version("crossface")}


def _drawn(model: PlannedModel) -> dict[str, Any]:
    """Who is drawn; of the consent only its reference, for the film goes out into the world."""
    fields: dict[str, Any] = {"identity": model.identity, "sha256": model.sha256}
    if model.consent is not None:
        fields["consent"] = model.consent.reference
    if model.rights_stated:
        fields["rights_stated_by_user"] = True
    return fields

"""What a user chose for a conversion, as hashes take it: no path, clock or machine enters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clip import ReadingSettings
from ..file_state import file_sha256, file_state
from ..provenance.mark.payload import Payload
from ..settings import AnalysisSettings, ConversionSettings

if TYPE_CHECKING:
    from .plan import PlannedModel


def choices(
    source_hash: str,
    models: Sequence[PlannedModel],
    *,
    reading: ReadingSettings,
    analysis: AnalysisSettings,
    faces_hash: str | None,
    conversion: ConversionSettings,
) -> dict[str, Any]:
    """By what a user would call it.

    Args:
        source_hash: of the clip's packets.
        models: who is drawn.
        reading: of the clip.
        analysis: of the faces; of no account where there is a faces file.
        faces_hash: sha256 of a faces file that was given.
        conversion: of the pictures.
    """
    return {
        "source": source_hash,
        "reading": plain(asdict(reading)),
        "analysis": None if faces_hash else asdict(analysis),
        "faces file": faces_hash,
        "model": [[each.sha256, each.whom, each.identity] for each in models],
        "conversion": plain(asdict(conversion)),
    }


def faces_hash_of(faces: Path | None) -> str | None:
    """Of a faces file, as `choices` takes it; None without one."""
    return None if faces is None else file_sha256(faces, file_state(faces))


def payload_of(chosen: Mapping[str, Any]) -> Payload | None:
    """Of the mark that the faces carry, by `choices`; None where the user wants none."""
    return None if chosen["conversion"]["unmarked_because"] is not None else Payload.of(digest(chosen))


def plain(value: Any) -> Any:
    """As JSON takes it."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, (Path, Fraction, date)) else value


def digest(fields: Any) -> str:
    """sha256 of what `plain` gives."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

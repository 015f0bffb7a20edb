"""``audit.json``: what an audit found, for scripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from .coverage import DIMENSIONS, PAIRS, counts
from .examine import Examined
from .verdict import Judgement

FORMAT_VERSION = 1

_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_MEASURES = (
    "face_px", "sharpness", "luma", "burnt", "black", "presence", "yaw_deg", "pitch_deg", "mouth_open",
    "mouth_width", "eye_open", "brow_raise", "side_light_stops",
)  # fmt: skip


def to_json(a: Examined, b: Examined, judgement: Judgement) -> dict[str, Any]:
    """The fields of ``audit.json``; faces are named by their files."""
    sides = {"A": a, "B": b, "A to B": a}
    person = a.person
    return {
        "audit": FORMAT_VERSION,
        "software": f"crossface {version('crossface')}",
        "verdict": judgement.verdict,
        "findings": [
            {**asdict(finding), "faces": _files(sides[finding.side], finding.faces)}
            for finding in judgement.findings
        ],
        "unseen": round(judgement.coverage.unseen, 4),
        "unseen_mirrored": round(judgement.coverage.unseen_mirrored, 4),
        "unseen_together": round(judgement.coverage.unseen_together, 4),
        "gaps": [
            {
                "dimensions": list(gap.dimensions),
                "label": gap.label,
                "share": round(gap.share, 4),
                "mirrored": gap.mirrored,
                "faces": _files(a, (int(person[n]) for n in gap.faces)),
            }
            for gap in judgement.coverage.gaps
        ],
        "bins": {d.name: {"edges": list(d.edges), "labels": list(d.labels)} for d in DIMENSIONS},
        "limits": asdict(judgement.limits),
        "facesets": {"A": _faceset(a), "B": _faceset(b)},
    }


def _faceset(examined: Examined) -> dict[str, Any]:
    faces, person = examined.faces, examined.of_person()
    numbers = np.arange(len(faces))
    return {
        "folder": str(examined.faceset.folder),
        "data_hash": examined.faceset.data_hash,
        "faces": len(faces),
        "different": len(examined.person),
        "near_duplicates": _files(examined, numbers[examined.first_of_alike != numbers].tolist()),
        "others": [
            {
                "kind": group.kind,
                "distance": round(group.distance, 3),
                "faces": _files(examined, group.faces),
            }
            for group in examined.others
        ],
        "covered": _files(examined, examined.covered),
        "percentiles": {
            "of": list(_PERCENTILES),
            **{
                name: np.percentile(getattr(faces, name), _PERCENTILES).round(4).tolist()
                for name in _MEASURES
            },
        },
        "coverage": {
            "+".join(names): counts(person, names).tolist()
            for names in (*((d.name,) for d in DIMENSIONS), *PAIRS)
        },
    }


def _files(examined: Examined, faces: Iterable[int]) -> list[str]:
    return [examined.faceset.records[n].file for n in faces]

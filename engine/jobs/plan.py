"""A conversion, thought through before work begins: what is read, what is made of it, in which segments.

A plan is JSON beside its output. Whoever has it, the source and the model can do any of its segments, and
all of them together make the same film, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..clip import ReadingSettings
from ..errors import BadInputError, ConfigurationError, CrossfaceError, UsageError, unreadable
from ..part_file import PartFile
from ..provenance.consent import Consent
from ..provenance.gate import Gate, LooksBy, is_covered
from ..provenance.mark.payload import Payload
from ..settings import AnalysisSettings, ConversionSettings
from ..swap.mask import MaskSettings
from .choices import choices, digest, payload_of, plain

FORMAT_VERSION = 2

# Of the work on a segment.
Stage = Literal["analyze", "convert"]


@dataclass(frozen=True)
class Segment:
    """A part of the clip.

    Attributes:
        number: from 0.
        first_frame: of all that are read, from 0.
        frames: how many.
        start_pts: of the first one; None where the clip begins.
        end_pts: of the first one after it; None where the clip ends.
        lead_frames: frames before it whose colours it needs.
        lead_pts: of the first of those.
    """

    number: int
    first_frame: int
    frames: int
    start_pts: int | None
    end_pts: int | None
    lead_frames: int = 0
    lead_pts: int | None = None


@dataclass(frozen=True)
class PlannedModel:
    """A network and whom it is for.

    Attributes:
        path: an ONNX file of `crossface export`, or a DFM.
        sha256: of the file.
        identity: of who is drawn.
        consent: theirs; None where none was given.
        whom: number of a track or name of a person; None for all faces that are chosen and not named so.
        rights_stated: there is no consent, and the user has said that they have the rights.
    """

    path: Path
    sha256: str
    identity: str
    consent: Consent | None
    whom: str | None
    rights_stated: bool = False

    def __str__(self) -> str:
        """Who is drawn, and by whose leave; on one line, for people."""
        leave = (
            "the user has stated to have the rights" if self.consent is None else f"consent {self.consent}"
        )
        return f"{self.path}: draws {self.identity}: {leave}"


@dataclass(frozen=True)
class StreamSummary:
    """What a stream of the source holds, as its packets say."""

    index: int
    type: str
    codec: str
    packets: int
    size_bytes: int


@dataclass(frozen=True)
class Plan:
    """See the module.

    Attributes:
        source: the clip; its path decides nothing, its hash does.
        source_hash: `packet_hash`.
        source_bytes: size of the file.
        time_base: seconds a unit of the segments' times.
        streams: of the source.
        reading: how it is read.
        analysis: of the faces; of no account where ``faces`` is given.
        conversion: of the pictures.
        models: who is drawn.
        faces: a faces file to use instead of an analysis.
        faces_hash: sha256 of that file.
        output: the film to be made.
        segments: in order.
        warnings: about the source, one line each.
        losses: what the output will not hold, one line each.
        disk_bytes: that the job may take, roughly.
        copied_without_face: where nothing is swapped, the output is a copy of the source.
        fingerprint: of the machine that planned; see `fingerprint`.
        looked_at_by: who tells whether the clip is explicit.
    """

    source: Path
    source_hash: str
    source_bytes: int
    time_base: Fraction
    streams: tuple[StreamSummary, ...]
    reading: ReadingSettings
    analysis: AnalysisSettings
    conversion: ConversionSettings
    models: tuple[PlannedModel, ...]
    faces: Path | None
    faces_hash: str | None
    output: Path
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...]
    losses: tuple[str, ...]
    disk_bytes: int
    copied_without_face: bool
    fingerprint: Mapping[str, str]
    looked_at_by: LooksBy = "nobody"

    @property
    def gate(self) -> Gate:
        """Refuses the clip where it is explicit, and no consent covers that."""
        time_base = self.time_base / self.reading.pictures_a_frame
        return Gate(self.source, time_base, covered=is_covered(self.models))

    @property
    def frames(self) -> int:
        return sum(segment.frames for segment in self.segments)

    @cached_property
    def analysis_id(self) -> str:
        """Of all that decides what an analysis of a segment gives."""
        parts = self._deciding()
        return digest([parts[key] for key in ("source", "reading", "analysis", "segments", "software")])

    @cached_property
    def id(self) -> str:
        """Of all that decides the bytes of the output; no path enters it."""
        return digest(self._deciding())

    @property
    def payload(self) -> Payload | None:
        """Of the mark that the faces carry; None where the user wants none."""
        return payload_of(self._chosen)

    @property
    def _chosen(self) -> dict[str, Any]:
        return choices(
            self.source_hash,
            self.models,
            reading=self.reading,
            analysis=self.analysis,
            faces_hash=self.faces_hash,
            conversion=self.conversion,
        )

    def _deciding(self) -> dict[str, Any]:
        """By what a user would call it."""
        chosen = self._chosen
        if not self.faces_hash:
            chosen["analysis"]["looked at by"] = self.looked_at_by
        return {
            **chosen,
            "container": self.output.suffix.lower(),
            "segments": [asdict(segment) for segment in self.segments],
            "software": dict(self.fingerprint),
        }

    def check_same(self, before: Plan, path: Path) -> None:
        """Makes sure that the plan at ``path``, made before, is this one.

        Raises:
            CrossfaceError: naming what changed.
        """
        if self.id == before.id:
            return
        old, new = before._deciding(), self._deciding()
        names = [name for name in new if old[name] != new[name]]
        changes = []
        for name in names:
            if name == "segments" and len(names) > 1:
                continue  # they follow from the others
            if isinstance(new[name], dict) and isinstance(old[name], dict):
                keys = [key for key in {**old[name], **new[name]} if old[name].get(key) != new[name].get(key)]
                changes += [f"{key} from {old[name].get(key)} to {new[name].get(key)}" for key in keys]
            else:
                changes.append(f"the {name}")
        error: type[CrossfaceError] = UsageError
        if {"source", "faces file", "model"} & set(names):
            error = BadInputError
        elif names == ["software"]:
            error = ConfigurationError
        raise error(
            f"{path}: a job that was begun there had another plan: changed since are {', '.join(changes)}: "
            "go on as before, or begin anew with --overwrite"
        )

    def check_source(self) -> None:
        """A quick look at whether the source is still what was planned.

        Raises:
            InputMissingError: it is not there.
            BadInputError: it is not.
        """
        try:
            size_bytes = self.source.stat().st_size
        except OSError as error:
            raise unreadable(self.source, error) from error
        if size_bytes != self.source_bytes:
            raise BadInputError(f"{self.source}: is not the clip that was planned: plan again")

    def to_json(self) -> str:
        fields = {"plan": FORMAT_VERSION, "id": self.id, **plain(asdict(self))}
        return json.dumps(fields, indent=1)

    def write(self, path: Path) -> None:
        """Raises OutputError."""
        with PartFile(path, overwrite=True) as part:
            part.write_text(self.to_json() + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Plan:
        """Parse and check.

        Raises:
            InputMissingError: no such file, or not readable.
            BadInputError: not a plan of this version, or changed by hand.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if fields.pop("plan") != FORMAT_VERSION:
                raise BadInputError(f"{path}: is a plan of another version of Crossface: plan again")
            name = fields.pop("id")
            plan = _plan(fields)
        except OSError as error:
            raise unreadable(path, error) from error
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise BadInputError(f"{path}: is no plan, or damaged ({error}): plan again") from error
        if plan.id != name:
            raise BadInputError(f"{path}: was changed by hand: plan again with other options")
        return plan


def _plan(fields: dict[str, Any]) -> Plan:
    reading, conversion = fields["reading"], fields["conversion"]
    if reading["fps"] is not None:
        reading["fps"] = Fraction(reading["fps"])
    conversion["mask"] = MaskSettings(**conversion["mask"])
    faces = fields["faces"]
    return Plan(
        **{
            **fields,
            "source": Path(fields["source"]),
            "time_base": Fraction(fields["time_base"]),
            "streams": tuple(StreamSummary(**stream) for stream in fields["streams"]),
            "reading": ReadingSettings(**reading),
            "analysis": AnalysisSettings(**fields["analysis"]),
            "conversion": ConversionSettings(**conversion),
            "models": tuple(map(_model, fields["models"])),
            "faces": None if faces is None else Path(faces),
            "output": Path(fields["output"]),
            "segments": tuple(Segment(**segment) for segment in fields["segments"]),
            "warnings": tuple(fields["warnings"]),
            "losses": tuple(fields["losses"]),
        }
    )


def _model(fields: dict[str, Any]) -> PlannedModel:
    consent = fields["consent"]
    return PlannedModel(
        **{
            **fields,
            "path": Path(fields["path"]),
            "consent": None if consent is None else Consent.from_fields(consent),
        }
    )

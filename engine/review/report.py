"""The quality report of a conversion: what stands out, shot by shot, for people and for scripts.

Flicker is what the eye sees of a face whose colour does not follow the shot. Let ``d(t)`` be the mean Y'CbCr
under the mask of the face as shown, less that of the source, in codes of 8 bits: what light and motion do to
both cancels. Its slow part is no flicker, so ``h(t) = d(t) - (d(t-1) + d(t+1)) / 2`` leaves only what bends
within three frames. The score is ``sqrt(2/3 * mean(h_Y^2 + h_Cb^2 + h_Cr^2))``, in codes: independent noise
of deviation s in luma scores s; a face of steady or evenly changing colour scores 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from ..events import Routed
from ..part_file import PartFile
from .measure import FrameRecord, Pictures
from .shot import REASONS, Fault, Limits, Reason, ShotMeter, ShotReport

FORMAT_VERSION = 1

_SAYS: dict[Reason, str] = {
    "no face": "{count} faces that ought to be there are missing",
    "not a number": "{count} faces stay as they were: the network gave no number",
    "low presence": "{count} faces fade into the source's: presence below {limits.presence:g}",
    "mask jump": "{count} times a mask jumps by more than {limits.mask_jump:.0%} of its area",
    "flicker": "{count} shots hold a face that flickers by more than {limits.flicker_codes:g} codes",
}


@dataclass(frozen=True)
class Report:
    """A conversion's quality.

    Attributes:
        pictures: time base and size of the frames that were measured.
        limits: from where on a frame is worth a look.
        shots: in order.
        warnings: one line each: what was said during the work, then what stands out.
        routes: where it was made: of all segments, each once.
        provenance: who is drawn by whose leave, and who signed; as JSON takes it.
    """

    pictures: Pictures
    limits: Limits
    shots: tuple[ShotReport, ...]
    warnings: tuple[str, ...]
    routes: tuple[Routed, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return sum(shot.frames for shot in self.shots)

    @property
    def faces(self) -> int:
        return sum(shot.faces for shot in self.shots)

    def time_s(self, pts: int) -> float:
        """Seconds from the first frame."""
        return float((pts - self.shots[0].first_pts) * self.pictures.time_base)

    def worst(self, most: int, least: int = 0) -> list[Fault]:
        """What to look at: faults beyond their limits, of every shot one before a second, the worst first.

        Args:
            most: faults at most.
            least: as many, where there are, although they are within their limits.
        """
        ranked: list[tuple[bool, int, float, Fault]] = []
        for shot in self.shots:
            by_score = sorted(shot.worst, key=lambda fault: -fault.score)
            ranked += [(f.score < 1, place, -f.score, f) for place, f in enumerate(by_score)]
        ranked.sort(key=lambda entry: entry[:3])
        beyond = sum(not within for within, *_ in ranked)
        return [fault for *_, fault in ranked[: min(most, max(beyond, least))]]

    def to_json(self) -> dict[str, Any]:
        """The fields of ``report.json``: of `Report`, `ShotReport` and `Fault`, with times in seconds too."""
        return {
            "report": FORMAT_VERSION,
            "software": f"crossface {version('crossface')}",
            "made": [asdict(route) for route in self.routes],
            "provenance": dict(self.provenance),
            "time_base": str(self.pictures.time_base),
            "limits": asdict(self.limits),
            "frames": self.frames,
            "faces": self.faces,
            "frames_with_face": sum(shot.frames_with_face for shot in self.shots),
            "faces_missing": sum(shot.faces_missing for shot in self.shots),
            "faces_in_fp32": sum(shot.faces_in_fp32 for shot in self.shots),
            "faces_not_a_number": sum(shot.faces_not_a_number for shot in self.shots),
            "faces_low_presence": sum(shot.faces_low_presence for shot in self.shots),
            "faces_covered": sum(shot.faces_covered for shot in self.shots),
            "faces_turned_away": sum(shot.faces_turned_away for shot in self.shots),
            "mask_jumps": sum(shot.mask_jumps for shot in self.shots),
            "warnings": list(self.warnings),
            "shots": [self._shot(shot) for shot in self.shots],
        }

    def write(self, path: Path) -> Path:
        """Writes ``report.json``; it appears whole or not at all.

        Args:
            path: replaced where it exists.

        Raises:
            OutputError: it cannot be written.
        """
        with PartFile(path, overwrite=True) as part:
            part.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        return path

    def _shot(self, shot: ShotReport) -> dict[str, Any]:
        fields = {"first_s": round(self.time_s(shot.first_pts), 3), **asdict(shot)}
        fields["largest_mask_jump"] = round(shot.largest_mask_jump, 4)
        fields["flicker_codes"] = None if shot.flicker_codes is None else round(shot.flicker_codes, 3)
        fields["worst"] = [
            {**asdict(fault), "score": round(fault.score, 3), "time_s": round(self.time_s(fault.pts), 3)}
            for fault in shot.worst
        ]
        return fields


def build_report(
    records: Iterable[FrameRecord],
    pictures: Pictures,
    *,
    limits: Limits | None = None,
    warnings: Sequence[str] = (),
    routes: Iterable[Routed] = (),
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """Measures a film by its records; holds no more of it than its shots.

    Args:
        records: of all frames, in order; see `read_records`.
        pictures: of `read_pictures`.
        limits: from where on a frame is worth a look.
        warnings: what was said during the work; it comes first among the report's warnings.
        routes: where it was made.
        provenance: see `Report`.
    """
    limits = limits or Limits()
    shots = tuple(_shots(records, limits))
    report = Report(pictures, limits, shots, ())
    said = *dict.fromkeys(warnings), *_findings(report)
    return Report(pictures, limits, shots, said, tuple(dict.fromkeys(routes)), provenance or {})


def _shots(records: Iterable[FrameRecord], limits: Limits) -> Iterator[ShotReport]:
    first_frame = 0
    for _, frames in groupby(records, key=lambda record: record.shot):
        meter: ShotMeter | None = None
        for record in frames:
            meter = meter or ShotMeter(record, first_frame, limits)
            meter.add(record)
        assert meter is not None
        shot = meter.finish()
        first_frame += shot.frames
        yield shot


def _findings(report: Report) -> Iterator[str]:
    counts: dict[Reason, list[int]] = {
        "no face": [shot.faces_missing for shot in report.shots],
        "not a number": [shot.faces_not_a_number for shot in report.shots],
        "low presence": [shot.faces_low_presence for shot in report.shots],
        "mask jump": [shot.mask_jumps for shot in report.shots],
        "flicker": [(shot.flicker_codes or 0.0) > report.limits.flicker_codes for shot in report.shots],
    }
    for reason in REASONS:
        shots = [shot for shot, count in zip(report.shots, counts[reason], strict=True) if count]
        if not shots:
            continue
        fault = max((f for shot in shots for f in shot.worst if f.reason == reason), key=lambda f: f.score)
        says = _SAYS[reason].format(count=sum(counts[reason]), limits=report.limits)
        yield f"{says}, worst at {clock(report.time_s(fault.pts))} in shot {fault.shot}"
    in_fp32 = sum(shot.faces_in_fp32 for shot in report.shots)
    if in_fp32:
        yield f"{in_fp32} faces came only from a second run of the network in fp32"


def clock(time_s: float) -> str:
    """Seconds as ``0:01:02.345``."""
    milliseconds = round(time_s * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"

"""The review of a finished conversion: `report.json` for scripts, `report.png` for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..clip import ReadingSettings
from ..errors import UsageError
from ..events import Routed
from .measure import read_pictures, read_records
from .report import Report, build_report
from .worst import worst_sheet


@dataclass(frozen=True)
class Review:
    """What was found, and where it was written.

    Attributes:
        report: what was found.
        json: path of ``report.json``.
        sheet: path of ``report.png``.
    """

    report: Report
    json: Path
    sheet: Path


def write_review(
    folder: Path,
    *,
    source: Path,
    output: Path,
    records: Sequence[Path],
    reading: ReadingSettings | None = None,
    warnings: Sequence[str] = (),
    routes: Sequence[Routed] = (),
    provenance: Mapping[str, Any] | None = None,
    rows: int = 24,
) -> Review:
    """Reviews a conversion by what was recorded during it.

    Args:
        folder: where ``report.json`` and ``report.png`` go; they are replaced where they exist.
        source: the film that was converted.
        output: what it became, whole.
        records: of its parts, in order; see `Recorder`.
        reading: how ``source`` was read.
        warnings: what was said during the work, for the report.
        routes: where its parts were made, for the report.
        provenance: who is drawn by whose leave, and who signed, for the report.
        rows: of the sheet at most.

    Raises:
        UsageError: no records.
        InputMissingError, BadInputError: a film or a file of records cannot be read, or they do not belong
            together.
        OutputError: the folder is missing or cannot be written.
    """
    if not records:
        raise UsageError(f"{output}: nothing was recorded of it: there is nothing to review")
    pictures = read_pictures(records[0])
    report = build_report(
        read_records(records), pictures, warnings=warnings, routes=routes, provenance=provenance
    )
    json = report.write(folder / "report.json")
    sheet = worst_sheet(report, source, output, folder / "report.png", reading=reading, rows=rows)
    return Review(report, json, sheet)

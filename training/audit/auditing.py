"""Audits two facesets: reads, judges, and writes what it found."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from ...engine.errors import OutputError, OutputExistsError
from ...engine.part_file import PartFile
from ..faceset import Faceset
from .examine import examine
from .measure import FaceAudited
from .page import page
from .report import to_json
from .verdict import Judgement, Limits, judge

PAGE_NAME, REPORT_NAME = "audit.html", "audit.json"


@dataclass(frozen=True)
class AuditDone:
    """Both files are there.

    Attributes:
        judgement: what they say.
        page: ``audit.html``.
        report: ``audit.json``.
    """

    judgement: Judgement
    page: Path
    report: Path


def audit(
    faceset_a: Path, faceset_b: Path, output: Path, *, limits: Limits | None = None, overwrite: bool = False
) -> Generator[FaceAudited | AuditDone]:
    """Says before the hours whether two facesets are worth training on, and what they lack.

    Args:
        faceset_a: folder of the person in the film.
        faceset_b: folder of the person whose face is to be drawn.
        output: folder for ``audit.html`` and ``audit.json``; made where it is missing.
        limits: from where on something is told.
        overwrite: replace an audit that is there.

    Raises:
        InputMissingError: a faceset or a picture of it is missing.
        BadInputError: a faceset is empty or damaged; names the line, or the pictures.
        OutputExistsError, OutputError: the output is there already, or cannot be written.
    """
    paths = output / REPORT_NAME, output / PAGE_NAME
    for path in paths if not overwrite else ():
        if path.exists():
            raise OutputExistsError(f"{path}: exists already: give another folder or --overwrite")
    # Both are read before either is measured: a typing error should not cost minutes.
    facesets = [Faceset.load(folder) for folder in (faceset_a, faceset_b)]
    a = yield from examine(facesets[0])
    b = yield from examine(facesets[1])
    judgement = judge(a, b, limits)
    document, report = page(a, b, judgement), json.dumps(to_json(a, b, judgement), indent=1) + "\n"
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot be made ({error.strerror}): give another folder") from error
    for path, text in zip(paths, (report, document), strict=True):
        with PartFile(path, overwrite=overwrite) as part:
            part.write_text(text, encoding="utf-8")
    yield AuditDone(judgement, paths[1], paths[0])

"""A sheet of alternatives: the same frames, converted with one setting and with another, side by side."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .analyze import analyze
from .clip import Clip, ReadingSettings
from .errors import BadInputError, UsageError
from .events import Event, Finished, Progress, Warned
from .face.faces_file import FacesFile
from .jobs.cores import available, network_threads
from .jobs.drawers import CpuDrawers
from .jobs.planning import planned_models
from .jobs.segment import match
from .on_device.frame import in_host
from .part_file import keep_sources
from .provenance.gate import is_covered, looks_by
from .provenance.words import disclosure
from .review.measure import Recorder
from .review.png import write_png
from .review.report import clock
from .review.strip import GAP_PX, Box, Image, beside, caption, face_cell, stacked
from .settings import AnalysisSettings, ConversionSettings
from .swap.model import ModelFile, read_model
from .swap.networks import Networks
from .swap.steady_match import MEMORY_FRAMES

_AS_IT_WAS = "as it was"


@dataclass(frozen=True)
class Alternative:
    """One way to convert a clip.

    Attributes:
        name: above its pictures.
        model: as of `convert`, which draws all faces that are swapped.
        settings: of the conversion.
        analysis: of the analysis.
    """

    name: str
    model: Path
    settings: ConversionSettings
    analysis: AnalysisSettings


def compare(
    clip: Path | str,
    alternatives: Sequence[Alternative],
    out: Path | str,
    *,
    at: Sequence[int] = (),
    rows: int = 3,
    faces: Path | str | None = None,
    reading: ReadingSettings | None = None,
    device: str = "auto",
    rights_stated: bool = False,
    cell_px: int = 240,
    across: int = 6,
) -> Generator[Event]:
    """Draws faces of a few frames as they were and as each alternative makes them; a generator of events.

    Faces are drawn on the CPU, with the colours of the frames before, as a conversion has them.

    Args:
        clip: a video file or an image sequence.
        alternatives: one at least.
        out: the PNG; replaced where it exists.
        at: numbers of frames, from 0 on in what is read; without them ``rows`` frames that show a face.
        rows: see ``at``.
        faces: a faces file of the clip, for all alternatives; it is analysed where None.
        reading: how the clip is read, and which frames of it.
        device: of the analysis; as of `convert`.
        rights_stated: as of `convert`.
        cell_px: side of a picture.
        across: pictures in a line of the sheet, at most.

    Raises:
        UsageError: settings that make no sense; ``out`` is a source.
        RefusedError, ExplicitError: as `convert`.
        InputMissingError, BadInputError: clip, model or faces file cannot be used, or show no face.
        ConfigurationError: face models are missing.
        OutputError: ``out`` cannot be written.
    """
    path, out, reading = Path(clip), Path(out), reading or ReadingSettings()
    if not alternatives or rows < 1:
        raise UsageError("a sheet needs one alternative and one row at least")
    keep_sources(out, path, *(each.model for each in alternatives), *([] if faces is None else [Path(faces)]))
    for each in alternatives:
        each.settings.check()
    models: dict[str | None, ModelFile] = {str(each.model): read_model(each.model) for each in alternatives}
    planned = planned_models(models, rights_stated=rights_stated)
    said = disclosure(planned)
    scored = None if faces is None else FacesFile(Path(faces)).scores is not None
    _, unlooked = looks_by(path, planned, scored=scored, rights_stated=rights_stated)
    yield from map(Warned, unlooked)
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        files: dict[AnalysisSettings, Path] = {}
        for each in alternatives:
            if each.analysis not in files:
                files[each.analysis] = Path(scratch) / f"{len(files)}.faces" if faces is None else Path(faces)
                if faces is None:
                    events = analyze(
                        path, files[each.analysis], settings=each.analysis, reading=reading, device=device
                    )
                    yield from (event for event in events if not isinstance(event, Finished))
        if faces is not None and len(files) > 1:
            raise UsageError("one faces file has one analysis: leave --faces out, or the analysis' options")
        for each_file in files.values():
            looked_at = FacesFile(each_file)
            looked_at.gate(path, covered=is_covered(planned)).check(looked_at.scores or [])
        shown = _shown(path, FacesFile(files[alternatives[0].analysis]), list(at), rows)
        columns: dict[str, list[Image]] = {}
        with Networks() as networks:
            for n, each in enumerate(alternatives):
                before, after = _column(
                    path,
                    reading,
                    each,
                    files[each.analysis],
                    shown,
                    networks,
                    Path(scratch) / "records",
                    cell_px,
                )
                columns.setdefault(_AS_IT_WAS, before)
                columns[each.name] = after
                yield Progress("convert", n + 1, len(alternatives))
        with Clip(path, reading) as source:
            base = source.info.time_base
    # Lines that are as long as each other, as far as it goes.
    across = math.ceil(len(columns) / math.ceil(len(columns) / across))
    width_px = across * (cell_px + GAP_PX) - GAP_PX
    lines = [caption(said, width_px)]
    for row, frame in enumerate(shown):
        lines.append(caption(f"frame {frame.number}  {clock(float(frame.pts * base))}", width_px))
        cells = [stacked([caption(name, cell_px), column[row]]) for name, column in columns.items()]
        lines += _in_lines(cells, across)
    write_png(out, stacked(lines))
    yield Finished(out, len(shown), len(shown) * len(alternatives))


@dataclass(frozen=True)
class _Shown:
    """A frame of the sheet: its number in what is read, its time, and where its face is."""

    number: int
    pts: int
    box: Box


def _shown(path: Path, faces: FacesFile, at: Sequence[int], rows: int) -> list[_Shown]:
    """Those asked for; or as many as there are to be, spread over the frames that show a face."""
    found = {
        number: _Shown(number, line.pts, line.faces[0].box)
        for number, line in enumerate(faces)
        if line.faces and (not at or number in at)
    }
    missing = sorted(set(at) - found.keys())
    if missing:
        raise BadInputError(f"{path}: frame {missing[0]} is not there, or shows no face that is swapped")
    if not found:
        raise BadInputError(f"{path}: shows no face that is swapped: see crossface faces")
    numbers = sorted(found)
    if not at:
        numbers = [numbers[int((n + 0.5) / rows * len(numbers))] for n in range(rows)]
    return [found[number] for number in sorted(set(numbers))]


def _column(
    path: Path,
    reading: ReadingSettings,
    alternative: Alternative,
    faces: Path,
    shown: Sequence[_Shown],
    networks: Networks,
    records: Path,
    cell_px: int,
) -> tuple[list[Image], list[Image]]:
    """The faces of the frames as they were, and as one alternative makes them."""
    settings = alternative.settings
    swappers = networks.load(
        {None: alternative.model}, batch=1, threads=network_threads(available()), morph=settings.morph
    ).result()
    before, after = [], []
    with Clip(path, reading) as clip, Recorder(records, clip.info) as recorder:
        drawers = CpuDrawers.of(swappers, settings, batch=1, threads=1)
        swapper = drawers.swapper(clip.info.display, settings, recorder, (), encodes_there=False)
        matched = match(iter(clip), iter(FacesFile(faces)), faces, skip=clip.span is not None)
        number = -1
        for frame in shown:
            while number < frame.number:
                decoded, line = next(matched)
                number += 1
                if number < frame.number - MEMORY_FRAMES:
                    continue
                asked = number == frame.number
                if asked:
                    before.append(face_cell(in_host(decoded), frame.box, clip.info, cell_px))
                # Frames before are only measured: a face takes its colours from them too.
                for _ in swapper.swapped([[(decoded, line)]], blend=asked):
                    pass
                if asked:
                    recorder.frame(line.pts, line.shot, swapper.tracks_of(line))
                    after.append(face_cell(in_host(decoded), frame.box, clip.info, cell_px))
    return before, after


def _in_lines(cells: Sequence[Image], across: int) -> list[Image]:
    """So many a line; the last is filled up with black."""
    if len(cells) > across:
        cells = [*cells, *[np.zeros_like(cells[0])] * (-len(cells) % across)]
    return [beside(cells[first : first + across]) for first in range(0, len(cells), across)]

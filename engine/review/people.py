"""A contact sheet of the people in a clip: each track with its number, for choosing whose face is swapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..clip import Clip, ReadingSettings
from ..face.faces_file import FacesFile, Track
from ..on_device.frame import in_host
from ..part_file import keep_sources
from .png import write_png
from .report import clock
from .strip import GAP_PX, Box, Image, beside, caption, face_cell, stacked

# Pictures of a track, spread over its frames.
_PICTURES = 5
_SWAPPED, _STAYS, _DROPPED = (150, 230, 150), (230, 230, 230), (150, 150, 150)


@dataclass
class _Row:
    """A track's pictures by the pts that they are taken at."""

    track: Track
    boxes: dict[int, Box] = field(default_factory=dict)
    pictures: list[Image] = field(default_factory=list)


def people_sheet(
    clip: Path | str,
    faces: Path | str,
    out: Path | str,
    *,
    reading: ReadingSettings | None = None,
    most_tracks: int = 40,
    cell_px: int = 160,
) -> list[str]:
    """Write a PNG with a row a track: its number, when and how large it is, and what it looks like.

    Args:
        clip: a video file or an image sequence.
        faces: its faces file.
        out: the PNG; replaced where it exists.
        reading: how the clip was read when it was analysed.
        most_tracks: rows; those that would be swapped come first, then those seen longest.
        cell_px: side of a picture.

    Returns:
        A line a track, of all of them, in their order.

    Raises:
        InputMissingError, BadInputError: clip or faces file cannot be used, or do not belong together.
        OutputError: ``out`` cannot be written.
        UsageError: ``out`` is one of the sources.
    """
    path, out = Path(clip), Path(out)
    keep_sources(out, path, Path(faces))
    file = FacesFile(Path(faces))
    everyone = FacesFile(Path(faces), named={str(track) for track in file.tracks})
    base = Fraction(file.header.time_base)
    ranked = sorted(file.tracks.values(), key=lambda track: (not track.swap, -track.frames, track.track))
    rows = {track.track: _Row(track) for track in ranked[:most_tracks]}
    for row, boxes in zip(rows.values(), _boxes(everyone, rows), strict=True):
        row.boxes = boxes
    width_px = _PICTURES * cell_px + GAP_PX * (_PICTURES - 1)
    _take_pictures(path, reading or ReadingSettings(), rows.values(), cell_px)
    images = [
        part
        for _, row in sorted(rows.items())
        if row.pictures
        for part in (caption(_said(row.track, base), width_px, _colour(row.track)), _filled(row, width_px))
    ]
    if len(ranked) > len(rows):
        images.append(caption(f"and {len(ranked) - len(rows)} other tracks", width_px))
    write_png(out, stacked(images or [caption("no face was found", width_px)]))
    return [_said(file.tracks[track], base) for track in sorted(file.tracks)]


def _boxes(everyone: FacesFile, rows: Mapping[int, _Row]) -> Iterator[dict[int, Box]]:
    """Of each row's track, in frames spread over it."""
    wanted = {
        number: {int((n + 0.5) / _PICTURES * row.track.frames) for n in range(_PICTURES)}
        for number, row in rows.items()
    }
    count = dict.fromkeys(rows, 0)
    found: dict[int, dict[int, Box]] = {number: {} for number in rows}
    for line in everyone:
        for face in line.faces:
            if face.track in count:
                if count[face.track] in wanted[face.track]:
                    found[face.track][line.pts] = face.box
                count[face.track] += 1
    yield from found.values()


def _take_pictures(path: Path, reading: ReadingSettings, rows: Iterable[_Row], cell_px: int) -> None:
    wanted: dict[int, list[_Row]] = {}
    for row in rows:
        for pts in row.boxes:
            wanted.setdefault(pts, []).append(row)
    if not wanted:
        return
    last = max(wanted)
    with Clip(path, reading) as clip:
        for frame in clip:
            for row in wanted.get(frame.pts, ()):
                row.pictures.append(face_cell(in_host(frame), row.boxes[frame.pts], clip.info, cell_px))
            if frame.pts >= last:
                break


def _filled(row: _Row, width_px: int) -> Image:
    pictures = beside(row.pictures)
    filled = np.zeros((pictures.shape[0], width_px, 3), np.uint8)
    filled[:, : pictures.shape[1]] = pictures
    return filled


def _said(track: Track, base: Fraction) -> str:
    times = f"{clock(float(track.first_pts * base))} to {clock(float(track.last_pts * base))}"
    person = "" if track.person is None else f"  {track.person}"
    state = "swapped" if track.swap else f"dropped: {track.dropped}" if track.dropped else "stays"
    return (
        f"track {track.track}{person}  shot {track.shot}  {times}  "
        f"{track.frames} frames  {track.mean_height_px:.0f} px  {state}"
    )


def _colour(track: Track) -> tuple[int, int, int]:
    return _SWAPPED if track.swap else _DROPPED if track.dropped else _STAYS

"""``audit.html``: one file to look at, pictures and all; nothing in it runs or is fetched."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from html import escape
from importlib.metadata import version

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from ...engine.face.eyes import sample
from .coverage import PAIRS, counts, dimension
from .examine import Examined
from .style import STYLE
from .verdict import WHY, Finding, Judgement, Level

# A thumbnail shows so much of a crop, and is so large.
_SHOWN, _THUMB_PX = 0.8, 88
_MOST_FACES, _TYPICAL = 8, 12
# libav's scale of 2 (best) to 31, times its lambda of 118.
_QUALITY = str(4 * 118)
_MAPS = (PAIRS[0], PAIRS[1], PAIRS[2], PAIRS[5])
_SUMMARY = {
    "good": "Nothing stands in the way of training.",
    "trains, with gaps": "Training will work, and the result will be weak where the gaps are.",
    "will fail": "Do not spend hours on this: first film or take out what is named here.",
}
_COUNTED = (
    "faces",
    "different and bare",
    "near-duplicates",
    "probably somebody else",
    "covered or hardly a face",
)
_FIGURES = (
    ("face_px", "face height in the clip, px"),
    ("sharpness", "sharpness, lines a face height"),
    ("luma", "brightness, code"),
    ("yaw_deg", "yaw, degrees"),
    ("pitch_deg", "pitch, degrees"),
    ("side_light_stops", "light from the left, stops"),
)
_LEVELS: dict[Level, str] = {"fails": "makes training fail", "gap": "leaves a gap", "note": "note"}


def page(a: Examined, b: Examined, judgement: Judgement) -> str:
    """The whole document."""
    body = "\n".join(
        [
            _head(a, b, judgement),
            _findings(a, b, judgement.findings),
            _coverage(a, b, judgement),
            _facesets(a, b),
            _limits(judgement),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Crossface audit: {judgement.verdict}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def _head(a: Examined, b: Examined, judgement: Judgement) -> str:
    mark = {"good": "good", "trains, with gaps": "gap", "will fail": "fails"}[judgement.verdict]
    rows = "".join(
        f"<li><b>{side}</b> {role}: <code>{escape(str(examined.faceset.folder))}</code>, "
        f"{len(examined.faces)} faces, {len(examined.person)} different and bare</li>"
        for side, role, examined in (
            ("A", "the person in the film", a),
            ("B", "the person whose face is drawn", b),
        )
    )
    return (
        f'<header class="{mark}"><p class="verdict">{escape(judgement.verdict)}</p>'
        f"<p>{_SUMMARY[judgement.verdict]}</p><ul>{rows}</ul>"
        f"<p>{judgement.coverage.unseen:.0%} of A's faces do something that B has never been seen "
        f"doing ({judgement.coverage.unseen_mirrored:.0%} if B's mirrored faces count); another "
        f"{judgement.coverage.unseen_together:.0%} do two things at once that B has only shown "
        "one at a time.</p></header>"
    )


def _findings(a: Examined, b: Examined, findings: Sequence[Finding]) -> str:
    if not findings:
        return "<section><h2>What to do</h2><p>Nothing: no limit is passed.</p></section>"
    items = "".join(_finding(a, b, finding) for finding in findings)
    return f"<section><h2>What to do</h2>{items}</section>"


def _finding(a: Examined, b: Examined, finding: Finding) -> str:
    examined = b if finding.side == "B" else a
    pictures = ""
    if finding.faces:
        shown = _spread(finding.faces) if finding.kind == "stranger" else finding.faces[:_MOST_FACES]
        pictures = _row(examined, shown, len(finding.faces))
        if finding.kind.startswith("unseen"):
            pictures = (
                f'<div class="pair"><div><small>A does</small>{pictures}</div>'
                f"<div><small>the nearest that B has</small>"
                f"{_row(b, _nearest(a, b, finding, _MOST_FACES // 2), None)}</div></div>"
            )
    return (
        f'<article class="{finding.level}">'
        f"<h3><span>{escape(finding.side)}</span> {escape(finding.says)}</h3>"
        f"<p>{escape(finding.do)}. <em>{_LEVELS[finding.level]}</em></p>{pictures}</article>"
    )


def _nearest(a: Examined, b: Examined, finding: Finding, most: int) -> tuple[int, ...]:
    """B's faces nearest to what A does, in tolerances of the measures meant."""
    away = np.zeros(len(b.person))
    for name in finding.kind.removeprefix("unseen ").split("+"):
        measure = dimension(name)
        wanted = float(np.median(measure.values(a.faces)[list(finding.faces)]))
        away += ((measure.values(b.faces)[b.person] - wanted) / measure.tolerance) ** 2
    return tuple(int(n) for n in b.person[np.argsort(away, kind="stable")[:most]])


def _coverage(a: Examined, b: Examined, judgement: Judgement) -> str:
    maps = "".join(_maps(a, b, judgement, names) for names in _MAPS)
    return (
        "<section><h2>What each has been seen doing</h2><p>Different faces a bin. A ring marks what A does "
        f"and B has no example of. Left and right are the picture's.</p>{maps}</section>"
    )


def _maps(a: Examined, b: Examined, judgement: Judgement, names: tuple[str, str]) -> str:
    down, across = (dimension(name) for name in (names[1], names[0]))
    ours, theirs = a.of_person(), b.of_person()
    tables = [counts(faces, (down.name, across.name)) for faces in (ours, theirs)]
    missing = np.zeros_like(tables[0], bool)
    rows, columns = down.bins(ours), across.bins(ours)
    for gap in judgement.coverage.gaps:
        if set(gap.dimensions) <= set(names) and not gap.mirrored:
            missing[rows[list(gap.faces)], columns[list(gap.faces)]] = True
    used = tables[0] + tables[1]
    # Empty bins at the ends are left away.
    span = [_span(np.asarray(used.any(axis=axis))) for axis in (1, 0)]
    sides = "".join(
        f"<figure><figcaption>{side}</figcaption>"
        f"{_map(table, missing, span, down.labels, across.labels)}</figure>"
        for side, table in zip("AB", tables, strict=True)
    )
    return f'<h3>{escape(across.title)}, {escape(down.title)}</h3><div class="maps">{sides}</div>'


def _map(
    table: NDArray[np.intp],
    missing: NDArray[np.bool_],
    span: Sequence[range],
    down: Sequence[str],
    across: Sequence[str],
) -> str:
    most = max(int(table.max()), 1)
    head = "".join(f'<th scope="col">{_short(across[column])}</th>' for column in span[1])
    lines = []
    for row in span[0]:
        cells = []
        for column in span[1]:
            count = int(table[row, column])
            # The root shows few faces beside many.
            tint = f"--fill:{np.sqrt(count / most):.2f}" if count else "--fill:0"
            ring = ' class="ring"' if missing[row, column] else ""
            title = escape(f"{down[row]}, {across[column]}: {count}")
            cells.append(f'<td{ring} style="{tint}" title="{title}">{count or ""}</td>')
        lines.append(f'<tr><th scope="row">{_short(down[row])}</th>{"".join(cells)}</tr>')
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _span(used: NDArray[np.bool_]) -> range:
    places = np.flatnonzero(used)
    return range(int(places[0]), int(places[-1]) + 1)


def _short(label: str) -> str:
    for long, short in (
        ("head turned to the picture's ", ""),
        ("head ", ""),
        (" by", ""),
        (" (yaw)", ""),
        (" (pitch)", ""),
        ("more than ", "over "),
    ):
        label = label.replace(long, short)
    return escape(label)


def _facesets(a: Examined, b: Examined) -> str:
    numbers = [(len(e.faces), len(e.person), e.repeats, len(e.strangers), len(e.covered)) for e in (a, b)]
    lines = [
        _figures(title, [str(count) for count in both])
        for title, both in zip(_COUNTED, zip(*numbers, strict=True), strict=True)
    ]
    lines += [
        _figures(title, [_percentiles(getattr(e.faces, name)) for e in (a, b)]) for name, title in _FIGURES
    ]
    typical = "".join(
        f"<h3>{side}</h3>{_row(examined, _spread(tuple(examined.person.tolist()), _TYPICAL), None)}"
        for side, examined in (("A", a), ("B", b))
    )
    return (
        "<section><h2>The facesets</h2>"
        "<table class='figures'><thead><tr><th></th><th>A</th><th>B</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
        "<p><small>Three figures are the 5th percentile, the median and the 95th percentile.</small></p>"
        f"{typical}</section>"
    )


def _figures(title: str, values: Sequence[str]) -> str:
    cells = "".join(f"<td>{value}</td>" for value in values)
    return f"<tr><th scope='row'>{title}</th>{cells}</tr>"


def _percentiles(values: NDArray[np.float64]) -> str:
    low, middle, high = np.percentile(values, (5, 50, 95))
    digits = 1 if abs(high) < 10 else 0
    return f"{low:.{digits}f} &nbsp; <b>{middle:.{digits}f}</b> &nbsp; {high:.{digits}f}"


def _limits(judgement: Judgement) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{value:g}</th><td>{escape(WHY[name])}</td></tr>"
        for name, value in asdict(judgement.limits).items()
    )
    return (
        f"<section><h2>Limits, and why</h2><table class='limits'><tbody>{rows}</tbody></table>"
        "<p>What this audit cannot see: a person who has the same look in brows, eyes and nose as another; "
        "glasses or hands that are in most pictures; where the eyes look; what a face has never done on both "
        "sides. Pose is good to a few degrees, brows are rough.</p>"
        f"<footer>Crossface {escape(version('crossface'))}. The pictures show people: keep this file as you "
        "keep the footage.</footer></section>"
    )


def _row(examined: Examined, faces: Sequence[int], of: int | None) -> str:
    pictures = "".join(_thumbnails(examined, faces))
    more = f"<small>{of - len(faces)} more</small>" if of is not None and of > len(faces) else ""
    return f'<div class="faces">{pictures}{more}</div>'


def _thumbnails(examined: Examined, faces: Sequence[int]) -> Iterator[str]:
    for number in faces:
        record = examined.faceset.records[number]
        jpeg = _jpeg(_thumbnail(examined.faceset.picture(record)))
        name = escape(f"{record.file}, {record.source} at {record.time_s:.2f} s", quote=True)
        yield (
            f'<img src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" '
            f'width="{_THUMB_PX}" height="{_THUMB_PX}" alt="{name}" title="{name}">'
        )


def _thumbnail(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a crop in small; each px is the mean of four."""
    side = rgb.shape[0]
    place = side / 2 + ((np.arange(2 * _THUMB_PX) + 0.5) / (2 * _THUMB_PX) - 0.5) * (_SHOWN * side)
    x, y = np.meshgrid(place, place)
    picture = sample(rgb, np.stack([x.ravel(), y.ravel()], axis=1))
    small = picture.reshape(_THUMB_PX, 2, _THUMB_PX, 2, 3).mean(axis=(1, 3))
    thumbnail: NDArray[np.uint8] = np.rint(small).astype(np.uint8)
    return thumbnail


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """A fifth of a PNG's size, for pictures that only people look at."""
    encoder = VideoCodecContext.create("mjpeg", "w")
    encoder.height, encoder.width, _ = rgb.shape
    encoder.pix_fmt, encoder.time_base = "yuvj444p", Fraction(1, 25)
    encoder.options = {"flags": "+qscale+bitexact", "global_quality": _QUALITY}
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return b"".join(
        bytes(packet)
        for packet in (*encoder.encode(picture.reformat(format="yuvj444p")), *encoder.encode(None))
    )


def _spread(faces: Sequence[int], most: int = _MOST_FACES) -> tuple[int, ...]:
    """Evenly chosen, where there are too many."""
    places = np.unique(np.linspace(0, len(faces) - 1, min(most, len(faces))).round().astype(int))
    return tuple(faces[n] for n in places)

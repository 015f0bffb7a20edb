"""Whether training is worth its hours, why, and what to film or take out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .coverage import Coverage, Gap, counts, dimension, find_coverage
from .examine import Examined

Level = Literal["fails", "gap", "note"]
Verdict = Literal["good", "trains, with gaps", "will fail"]
Side = Literal["A", "B", "A to B"]

_LEVELS: tuple[Level, ...] = ("fails", "gap", "note")
# More combinations than these tell nothing that the maps do not show.
_MOST_PAIRS = 8


@dataclass(frozen=True)
class Limits:
    """From where on something is told, and from where on training will fail; reasons are in `WHY`."""

    faces_fail: int = 24
    faces: int = 200
    face_px_fail: float = 64
    face_px: float = 107
    soft_lines: float = 35
    soft_share_fail: float = 0.5
    soft_share: float = 0.1
    stranger_share_fail: float = 0.1
    covered_share_fail: float = 0.5
    covered_share: float = 0.02
    unseen_fail: float = 0.35
    unseen_mirrored_fail: float = 0.2
    burnt_share: float = 0.1
    black_share: float = 0.4
    badly_lit_share: float = 0.1
    repeats_share: float = 0.5
    luma_codes: float = 45
    cast: float = 0.2
    yaw_span_deg: float = 10


WHY: Mapping[str, str] = {
    "faces_fail": "different faces of a person below which a network learns single pictures by heart",
    "faces": "different faces below which more footage helps more than more hours",
    "face_px_fail": "median face height in the clip, px: below it not even a 64 px network gets its detail",
    "face_px": "median face height, px: as many as the face has in a 128 px network",
    "soft_lines": "sharpness, line widths a face height, below which a face is soft: a blur of about 1 % of "
    "the face's height (sharp 1080p footage has 75 and more, a webcam 40 to 60)",
    "soft_share_fail": "share of soft faces from which on the result is soft, however long it trains",
    "soft_share": "share of soft faces that is told",
    "stranger_share_fail": "share of strangers from which on the identity is a mixture; any stranger is told",
    "covered_share_fail": "share of covered faces from which on the covering is learnt as part of the face",
    "covered_share": "share of covered faces that is told",
    "unseen_fail": "share of A's faces that do something B has not been seen doing: more than a gap",
    "unseen_mirrored_fail": "the same, where B mirrored counts as an example, as training mirrors faces",
    "burnt_share": "share of a face's px that are burnt out",
    "black_share": "share of a face's px that are black",
    "badly_lit_share": "share of burnt out or black faces that is told",
    "repeats_share": "share of near-duplicates that is told: they cost time and teach nothing",
    "luma_codes": "difference of the two persons' median brightness, 8-bit codes",
    "cast": "difference of the two persons' median colour, natural logarithm of red or blue over green",
    "yaw_span_deg": "degrees between the 5th and 95th percentile of yaw below which a person looks one way",
}


@dataclass(frozen=True)
class Finding:
    """Something that stands out.

    Attributes:
        level: ``fails`` makes the verdict fail, ``gap`` makes it one with gaps.
        side: whose faceset.
        kind: one word for scripts.
        says: what, in one line.
        do: what to film or take out, in one line.
        faces: numbers of the faces meant, in ``side``'s records (A's for ``A to B``).
    """

    level: Level
    side: Side
    kind: str
    says: str
    do: str
    faces: tuple[int, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What an audit says.

    Attributes:
        verdict: the worst of the findings.
        findings: the worst first.
        coverage: of what A does by what B does; faces are numbered within ``a.person``.
        limits: that were applied.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    coverage: Coverage
    limits: Limits


def judge(a: Examined, b: Examined, limits: Limits | None = None) -> Judgement:
    """Judges two facesets: A's faces go in, B's face comes out."""
    limits = limits or Limits()
    coverage = find_coverage(a.of_person(), b.of_person())
    findings = [
        *_of_one("A", a, limits),
        *_of_one("B", b, limits),
        *_of_both(a, b, limits),
        *_unseen(a, b, coverage, limits),
    ]
    # What A does and B has never been seen doing comes first: it is what nobody sees by looking at one.
    findings.sort(key=lambda finding: (_LEVELS.index(finding.level), finding.side != "A to B"))
    levels = {finding.level for finding in findings}
    verdict: Verdict = (
        "will fail" if "fails" in levels else "trains, with gaps" if "gap" in levels else "good"
    )
    return Judgement(verdict, tuple(findings), coverage, limits)


def _of_one(side: Side, examined: Examined, limits: Limits) -> Iterator[Finding]:
    faces, person = examined.faces, examined.person
    total, different = len(faces), len(person)
    if different < limits.faces:
        level: Level = "fails" if different < limits.faces_fail else "gap"
        yield Finding(
            level,
            side,
            "few",
            f"of {total} faces only {different} are different and bare",
            f"film {side} for some minutes more, talking, turning and making faces; "
            f"at least {limits.faces} different faces",
        )
    yield from _wrong(side, examined, limits)
    height = float(np.median(faces.face_px[person]))
    if height < limits.face_px:
        yield Finding(
            "fails" if height < limits.face_px_fail else "gap",
            side,
            "small",
            f"faces are small: {height:.0f} px high in the clip",
            f"film {side} closer, or in a higher resolution: {limits.face_px:.0f} px and more",
        )
    soft = person[faces.sharpness[person] < limits.soft_lines]
    share = len(soft) / different
    if share > limits.soft_share:
        yield Finding(
            "fails" if share > limits.soft_share_fail else "gap",
            side,
            "blurred",
            f"{share:.0%} of the faces are blurred: below {limits.soft_lines:g} lines a face height "
            f"(median {np.median(faces.sharpness[person]):.0f})",
            f"film {side} in focus, with more light and less motion; extract with "
            f"--min-sharpness {limits.soft_lines:g}",
            _sorted(soft, faces.sharpness),
        )
    bad = person[(faces.burnt[person] > limits.burnt_share) | (faces.black[person] > limits.black_share)]
    if len(bad) / different > limits.badly_lit_share:
        yield Finding(
            "gap",
            side,
            "exposure",
            f"{len(bad) / different:.0%} of the faces are burnt out or black in large parts",
            f"film {side} with softer light, exposed for the face",
            _sorted(bad, -faces.burnt),
        )
    if examined.repeats / total > limits.repeats_share:
        yield Finding(
            "note",
            side,
            "near-duplicates",
            f"{examined.repeats} of {total} faces are near-duplicates",
            "extract with --dedupe: the same knowledge in fewer pictures",
        )
    low, high = np.percentile(faces.yaw_deg[person], [5, 95])
    if high - low < limits.yaw_span_deg:
        never = _never_turned(examined)
        yield Finding(
            "gap" if side == "B" else "note",
            side,
            "one yaw range",
            f"{side} only looks one way: yaw {low:.0f} to {high:.0f}°; never seen: {', '.join(never)}",
            f"film {side} turning the head slowly to both sides, speaking",
        )


def _wrong(side: Side, examined: Examined, limits: Limits) -> Iterator[Finding]:
    """Faces that ought not to be there."""
    total = len(examined.faces)
    strangers = examined.strangers
    if strangers:
        sources = sorted({examined.faceset.records[n].source for n in strangers})
        yield Finding(
            "fails" if len(strangers) / total > limits.stranger_share_fail else "gap",
            side,
            "stranger",
            f"{len(strangers)} faces are probably not {side}'s, from "
            f"{_some(sources)}: somebody else, or hidden behind something",
            "look at them; delete the pictures of others together with their lines in faceset.jsonl",
            strangers,
        )
    unsure = tuple(n for group in examined.others if group.kind == "unsure" for n in group.faces)
    if unsure:
        yield Finding(
            "note",
            side,
            "unsure",
            f"{len(unsure)} faces are turned too far, or are too unlike the others, to tell whose they are",
            "look whether they are all the same person",
            unsure,
        )
    share = len(examined.covered) / total
    if share > limits.covered_share:
        yield Finding(
            "fails" if share > limits.covered_share_fail else "gap",
            side,
            "covered",
            f"{share:.0%} of the faces have something before them, or are hardly faces",
            "leave out those spans (extract --range), or delete the pictures with their lines",
            _sorted(np.array(examined.covered), -examined.cover_scores),
        )


def _of_both(a: Examined, b: Examined, limits: Limits) -> Iterator[Finding]:
    ours, theirs = a.of_person(), b.of_person()
    difference = float(np.median(ours.luma) - np.median(theirs.luma))
    if abs(difference) > limits.luma_codes:
        darker = "B" if difference > 0 else "A"
        yield Finding(
            "note",
            "A to B",
            "brightness",
            f"{darker} is {abs(difference):.0f} codes darker than the other",
            "expose and light both alike where you can; colour matching bears the rest",
        )
    cast = np.median(ours.cast, axis=0) - np.median(theirs.cast, axis=0)
    if float(np.abs(cast).max()) > limits.cast:
        names = [name for name, value in zip(("red", "blue"), cast, strict=True) if abs(value) > limits.cast]
        yield Finding(
            "note",
            "A to B",
            "colour",
            f"skin and light differ in colour ({' and '.join(names)} against green)",
            "set the same white balance for both where you can; colour matching bears the rest",
        )


def _unseen(a: Examined, b: Examined, coverage: Coverage, limits: Limits) -> Iterator[Finding]:
    if coverage.unseen > limits.unseen_fail or coverage.unseen_mirrored > limits.unseen_mirrored_fail:
        yield Finding(
            "fails",
            "A to B",
            "unseen",
            f"{coverage.unseen:.0%} of A's faces do something that B has never been seen doing "
            f"({coverage.unseen_mirrored:.0%} if B's mirrored faces count)",
            "film B doing what is listed below",
        )
    single = [gap for gap in coverage.gaps if len(gap.dimensions) == 1]
    paired = [gap for gap in coverage.gaps if len(gap.dimensions) == 2][:_MOST_PAIRS]
    for gap in (*single, *paired):
        faces = tuple(int(a.person[n]) for n in gap.faces)
        minor = gap.dimensions in (("brow_raise",), ("side_light_stops",))
        yield Finding(
            "note" if minor else "gap",
            "A to B",
            "unseen " + "+".join(gap.dimensions),
            f"A does, B never: {gap.label} ({gap.share:.1%} of A's faces)"
            + ("; B does it the other way round, and training mirrors faces" if gap.mirrored else ""),
            _film(gap),
            faces,
        )


def _film(gap: Gap) -> str:
    if gap.dimensions == ("side_light_stops",):
        return f"light B so as well: {gap.label}"
    return f"film B so: {gap.label}"


def _never_turned(examined: Examined) -> list[str]:
    labels = dimension("yaw_deg").labels
    seen = counts(examined.of_person(), ("yaw_deg",))
    middle = len(labels) // 2
    return [labels[n] for n in range(middle - 3, middle + 4) if not seen[n]]


def _sorted(faces: NDArray[np.intp], by: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(faces[np.argsort(by[faces], kind="stable")].tolist())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

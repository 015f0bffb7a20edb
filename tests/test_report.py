"""What the report makes of what was recorded; every figure has a known answer."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossface.engine.errors import OutputError
from crossface.engine.review.measure import FaceRecord, FrameRecord, Pictures
from crossface.engine.review.report import Report, build_report, clock
from crossface.engine.review.shot import Fault, Limits, Reason

PICTURES = Pictures(Fraction(1, 24), 640, 360)


def record_face(track: int = 0, *, left: float = 100.0, **changes: Any) -> FaceRecord:
    fields: dict[str, Any] = {
        "presence": 1.0,
        "box": (left, 50.0, left + 80, 150.0),
        "mask_area": 0.3,
        "shown": (100.0, 0.0, 0.0),
        "source": (100.0, 0.0, 0.0),
    }
    return FaceRecord(track, "swapped", **{**fields, **changes})


def film(rows: Iterable[Sequence[FaceRecord]], shot: int = 0, first: int = 0) -> list[FrameRecord]:
    return [FrameRecord(first + n, shot, (), tuple(faces)) for n, faces in enumerate(rows)]


def report_of(records: Iterable[FrameRecord], **options: Any) -> Report:
    return build_report(records, PICTURES, **options)


def fault(report: Report, reason: Reason, shot: int = 0) -> Fault:
    (found,) = [each for each in report.shots[shot].worst if each.reason == reason]
    return found


# Missing faces


def test_a_face_that_comes_and_goes_is_not_missing() -> None:
    here = [record_face()]
    report = report_of(film([[]] * 5 + [here] * 10 + [[]] * 7))
    (shot,) = report.shots
    assert (shot.frames, shot.faces, shot.frames_with_face, shot.faces_missing) == (22, 10, 10, 0)
    assert report.warnings == () and shot.worst == []


@pytest.mark.parametrize(("track", "left"), [(0, 100), (5, 130), (5, 500)])
def test_a_gap_between_sightings_is_missing(track: int, left: float) -> None:
    """Whether the track goes on, a new one takes over nearby, or elsewhere with nobody else in sight."""
    before, after = [record_face()], [record_face(track, left=left)]
    report = report_of(film([before] * 10 + [[]] * 12 + [after] * 10, first=1000))
    assert report.shots[0].faces_missing == 12
    found = fault(report, "no face")
    assert (found.frame, found.pts, found.says, found.track) == (10, 1010, "no face for 12 frames", 0)
    assert found.box == before[0].box and found.score >= 1
    (warning,) = report.warnings
    assert warning.startswith("12 faces") and "0:00:00.417 in shot 0" in warning


def test_a_face_that_is_lost_beside_another_one() -> None:
    left, right = record_face(0), record_face(1, left=400)
    found_again = record_face(2, left=410)
    stranger = record_face(3, left=250)
    rows = [[left, right]] * 5 + [[left]] * 4 + [[left, found_again]] * 5 + [[left]] * 3
    assert report_of(film(rows)).shots[0].faces_missing == 4
    # Somebody who comes in elsewhere is nobody who was lost.
    rows = [[left, right]] * 5 + [[left]] * 4 + [[left, stranger]] * 5
    assert report_of(film(rows)).shots[0].faces_missing == 0
    # A track that takes over at once leaves no gap.
    rows = [[left, right]] * 5 + [[left, found_again]] * 5
    assert report_of(film(rows)).shots[0].faces_missing == 0


def test_a_gap_ends_with_its_shot() -> None:
    here = [record_face()]
    rows = [*film([here] * 3 + [[]] * 4), *film([[]] * 2 + [here] * 3, shot=1, first=7)]
    assert [shot.faces_missing for shot in report_of(rows).shots] == [0, 0]


def test_expected_faces_are_missing_at_once() -> None:
    here = record_face(3)
    rows = [replace(row, expected=(3, 8)) for row in film([[here]] * 4 + [[]] * 3 + [[here]] * 2)]
    report = report_of(rows)
    # Track 8 in all nine frames, track 3 in three, which are not counted again when it is back.
    assert report.shots[0].faces_missing == 9 + 3
    assert fault(report, "no face").says == "no face for 9 frames"
    assert report.worst(1) == [fault(report, "no face")]


def test_faces_that_the_network_failed_on() -> None:
    good = record_face()
    failed = replace(good, outcome="not a number", shown=None, source=None, mask_area=0.0)
    blank = replace(failed, outcome="no mask")
    again = replace(good, outcome="swapped in fp32")
    rows = [[good]] * 3 + [[failed]] * 2 + [[again]] + [[blank]] + [[good]] * 2
    report = report_of([replace(row, expected=(0,)) for row in film(rows)], warnings=["said", "said"])
    (shot,) = report.shots
    assert (shot.faces, shot.faces_not_a_number, shot.faces_in_fp32, shot.faces_missing) == (6, 2, 1, 3)
    assert fault(report, "not a number").frame == 3
    said, missing, failed_on, in_fp32 = report.warnings
    assert said == "said" and missing.startswith("3 faces") and failed_on.startswith("2 faces")
    assert in_fp32.startswith("1 faces") and report.worst(9)[0].frame == 3


# Presence, masks, flicker


def test_low_presence_is_counted_and_found() -> None:
    presences = [1.0, 0.9, 0.79, 0.6, 0.7, 1.0]
    report = report_of(film([[record_face(presence=presence)] for presence in presences]))
    (shot,) = report.shots
    assert (shot.faces_low_presence, shot.lowest_presence) == (3, 0.6)
    found = fault(report, "low presence")
    assert (found.frame, found.score) == (3, pytest.approx(2.0))


def test_mask_jumps_are_relative_and_of_neighbours() -> None:
    areas = [0.30, 0.31, 0.20, 0.20, 0.21]
    rows = film([[record_face(mask_area=area)] for area in areas])
    report = report_of(rows)
    (shot,) = report.shots
    assert shot.mask_jumps == 1 and shot.largest_mask_jump == pytest.approx(0.11 / 0.31)
    assert (fault(report, "mask jump").frame, fault(report, "mask jump").says) == (2, "mask -35%")
    # With a frame between them they are no neighbours.
    apart = [*rows[:2], FrameRecord(2, 0, (), ()), *(replace(row, pts=row.pts + 1) for row in rows[2:])]
    assert report_of(apart).shots[0].mask_jumps == 0


def flicker_of(differences: np.ndarray, source: np.ndarray | None = None) -> float:
    """The score of a face with these colours ``[frames, 3]``, relative to those of the source."""
    source = np.zeros_like(differences) if source is None else source
    faces = [
        [record_face(shown=tuple(s + d), source=tuple(s))] for s, d in zip(source, differences, strict=True)
    ]
    score = report_of(film(faces)).shots[0].flicker_codes
    assert score is not None
    return score


def test_flicker_is_the_deviation_of_noise() -> None:
    noise = np.zeros((20_000, 3))
    noise[:, 0] = np.random.default_rng(1).normal(0, 2.5, len(noise))
    assert flicker_of(noise) == pytest.approx(2.5, rel=0.02)
    everywhere = np.random.default_rng(2).normal(0, 1.0, noise.shape)
    assert flicker_of(everywhere) == pytest.approx(math.sqrt(3), rel=0.02)


def test_flicker_is_nothing_that_is_steady_or_that_the_source_does_as_well() -> None:
    time = np.arange(60.0)[:, None]
    assert flicker_of(np.full((60, 3), 7.0)) == 0
    assert flicker_of(time * [1.0, -0.5, 0.2]) == pytest.approx(0, abs=1e-9)
    strobe = np.where(time % 2, 200.0, 20.0) * [1.0, 0.1, 0.0]
    assert flicker_of(np.zeros((60, 3)), strobe) == pytest.approx(0, abs=1e-9)
    # An alternation of 1 code up and down bends by 2 at every frame.
    alternating = np.where(time % 2, 1.0, -1.0) * [1.0, 0.0, 0.0]
    assert flicker_of(alternating) == pytest.approx(2 * math.sqrt(2 / 3))


def test_a_single_flash_is_found_where_it_is() -> None:
    shown = [(100.0, 0.0, 0.0)] * 30
    shown[17] = (112.0, 0.0, 0.0)
    report = report_of(film([[record_face(shown=each)] for each in shown], first=50))
    found = fault(report, "flicker")
    assert (found.frame, found.pts) == (17, 67)
    assert found.score == pytest.approx(12 * math.sqrt(2 / 3) / (3 * Limits().flicker_codes))


def test_flicker_does_not_cross_gaps_and_cuts() -> None:
    dark, bright = [record_face()], [record_face(shown=(150.0, 0.0, 0.0))]
    over_a_gap = film([dark] * 5 + [[]] + [bright] * 5)
    over_a_cut = [*film([dark] * 5), *film([bright] * 5, shot=1, first=5)]
    for rows in (over_a_gap, over_a_cut):
        assert all(shot.flicker_codes == 0 for shot in report_of(rows).shots)
    assert report_of(film([dark] * 2)).shots[0].flicker_codes is None


# The whole


def test_memory_does_not_grow_with_the_film() -> None:
    """One long shot in which a face is lost and found without end, and strangers pass by beside it."""

    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        rows = (
            FrameRecord(n, 0, (), (record_face(2 * (n // 3)), record_face(2 * n + 1, left=500.0 * n)))
            if n % 3
            else FrameRecord(n, 0, (), (record_face(2 * n + 1, left=500.0 * n),))
            for n in range(count)
        )
        report = report_of(rows)
        assert report.shots[0].faces_missing == count // 3 - 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(100)
    assert peak_bytes(1500) < peak_bytes(300) + 50_000


def test_the_file_says_what_the_report_says(tmp_path: Path) -> None:
    rows = [
        *film([[record_face()]] * 5 + [[]] * 2 + [[record_face()]] * 5),
        *film([[record_face(presence=0.5)]] * 4, shot=1, first=12),
    ]
    report = report_of(rows)
    written = json.loads(report.write(tmp_path / "report.json").read_text())
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert written["report"] == 1 and written["time_base"] == "1/24"
    assert (written["frames"], written["faces"], written["faces_missing"]) == (16, 14, 2)
    assert [shot["first_s"] for shot in written["shots"]] == [0.0, 0.5]
    assert written["shots"][1]["lowest_presence"] == 0.5
    assert written["shots"][1]["worst"][0]["time_s"] == 0.5
    assert written["warnings"] == list(report.warnings)
    assert report.write(tmp_path / "report.json").exists()
    with pytest.raises(OutputError):
        report.write(tmp_path / "none" / "report.json")


def test_the_worst_of_every_shot_comes_before_a_second_of_any() -> None:
    bad = [record_face(presence=0.5, mask_area=0.3)], [record_face(presence=0.5, mask_area=0.9)]
    poor, good = [record_face(presence=0.7)], [record_face(presence=0.95)]
    rows = [*film(bad), *film([poor], 1, 2), *film([good], 2, 3)]
    report = report_of(rows)
    assert [(each.shot, each.reason) for each in report.worst(9)] == [
        (0, "mask jump"),
        (1, "low presence"),
        (0, "low presence"),
    ]
    # Of good shots only as many as are wanted at least.
    assert [each.shot for each in report.worst(9, least=4)] == [0, 1, 0, 2]
    assert [each.shot for each in report.worst(2, least=4)] == [0, 1]


def test_an_empty_film_is_no_fault() -> None:
    report = report_of([])
    assert (report.frames, report.worst(5), report.to_json()["shots"]) == (0, [], [])


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.9996, 61.5, 3600 * 11 + 0.001)] == [
        "0:00:00.000",
        "0:01:00.000",
        "0:01:01.500",
        "11:00:00.001",
    ]

"""Tracks have no holes: gaps are bridged, dips of presence lifted; what is no track is dropped and told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cover_face import cover_face
from hypothesis import given, settings
from hypothesis import strategies as st
from make_seen import SHAPE, Face, parts_of

from crossface.engine.analyze import analyze
from crossface.engine.face.bridge import GAP_FRAMES
from crossface.engine.face.choose import LEAST_FRAMES
from crossface.engine.face.faces_file import FacesFile, FacesHeader, Track, dropped_tracks, write_faces
from crossface.engine.face.link import LinkedFrame, link
from crossface.engine.face.seen import KEPT_POINTS, SeenFrame

# Of the face in the first frames of the clip, px.
BOX = (206, 91, 369, 292)


def moving(n: int, track: int = 0) -> Face:
    return (track, 200.0 + 1.5 * n, 150.0 + 0.5 * n, 100.0)


def linked(frames: Sequence[Sequence[Face]], *, shots: Sequence[int] = ()) -> list[LinkedFrame]:
    return list(link(parts_of(frames, [], shots), "all"))


@settings(max_examples=20)
@given(gap=st.integers(1, GAP_FRAMES), start=st.integers(6, 40), bystander=st.booleans())
def test_a_gap_is_bridged_where_the_face_moved_on(gap: int, start: int, bystander: bool) -> None:
    """After a gap the tracker gives a new number. Truth is the motion that the clip was made up with."""
    other: list[Face] = [(7, 600.0, 300.0, 80.0)] if bystander else []
    frames: list[list[Face]] = [
        other + ([] if start <= n < start + gap else [moving(n, 0 if n < start else 1)]) for n in range(70)
    ]
    found = linked(frames)
    assert [[face.track for face in frame.faces] for frame in found] == [[0, 1] if bystander else [0]] * 70
    for n, frame in enumerate(found):
        face = frame.faces[0]
        _, x, y, height = moving(n)
        assert face.bridged == (start <= n < start + gap)
        np.testing.assert_allclose(face.points, SHAPE * height + [x, y], atol=0.05)
        np.testing.assert_allclose(face.box, (x - 50, y - 50, x + 50, y + 50), atol=0.01)
        assert face.chosen and face.presence == 1.0, "it never pops back"


@pytest.mark.parametrize(
    ("after", "shots"),
    [((1, 500.0, 150.0, 100.0), ()), ((1, 260.0, 180.0, 250.0), ()), ((1, 260.0, 180.0, 100.0), (32,))],
    ids=["elsewhere", "much larger", "after a cut"],
)
def test_what_comes_after_a_gap_may_be_another_face(after: Face, shots: tuple[int, ...]) -> None:
    frames: list[list[Face]] = [[moving(n)] if n < 30 else [after] if n > 34 else [] for n in range(60)]
    found = linked(frames, shots=shots)
    assert [bool(frame.faces) for frame in found] == [bool(faces) for faces in frames]
    assert found[10].faces[0].track != found[50].faces[0].track


def test_a_long_gap_is_not_bridged() -> None:
    frames: list[list[Face]] = [[] if 20 <= n <= 20 + GAP_FRAMES else [moving(20)] for n in range(60)]
    assert [bool(frame.faces) for frame in linked(frames)] == [bool(faces) for faces in frames]


def test_a_face_that_was_there_all_the_time_does_not_fill_a_gap() -> None:
    frames: list[list[Face]] = [
        [*([moving(20)] if n < 20 else []), (1, 215.0, 165.0, 90.0)] for n in range(50)
    ]
    found = linked(frames)
    assert [len(frame.faces) for frame in found] == [2] * 20 + [1] * 30


def with_presence(frames: Sequence[Sequence[Face]], presence: Sequence[float]) -> list[SeenFrame]:
    (part,) = parts_of(frames, [])
    return [
        replace(frame, faces=tuple(replace(face, presence=value) for face in frame.faces))
        for frame, value in zip(part, presence, strict=True)
    ]


def test_presence_does_not_dip_but_may_end() -> None:
    """Morphological closing, written down as such."""
    rng = np.random.default_rng(0)
    presence = np.clip(rng.normal(0.8, 0.2, 80), 0.5, 1.0)
    frames = [[moving(n)] for n in range(80)]
    found = [frame.faces[0].presence for frame in link([with_presence(frames, presence.tolist())], "all")]
    expected = [
        min(presence[max(0, n - GAP_FRAMES) : n + 1].max(), presence[n : n + GAP_FRAMES + 1].max())
        for n in range(80)
    ]
    np.testing.assert_allclose(found, expected)


def dropped(frames: Sequence[LinkedFrame]) -> list[str | None]:
    return [face.dropped for frame in frames for face in frame.faces]


def test_a_short_track_is_dropped_unless_its_shot_is_as_short() -> None:
    for count in (1, LEAST_FRAMES - 1, LEAST_FRAMES):
        frames: list[list[Face]] = [[moving(n)] if 20 <= n < 20 + count else [] for n in range(50)]
        reason = "short" if count < LEAST_FRAMES else None
        assert dropped(linked(frames)) == [reason] * count
    brief: list[list[Face]] = [[moving(n)] for n in range(3)]
    assert dropped(linked(brief)) == [None] * 3
    shots: list[list[Face]] = [[moving(n, n // 3)] for n in range(9)]
    assert dropped(linked(shots, shots=(3, 6))) == [None] * 9


def test_a_track_that_is_hardly_a_face_is_dropped_until_it_is_one() -> None:
    frames = [[moving(n)] for n in range(100)]
    assert set(dropped(list(link([with_presence(frames, [0.6] * 100)], "all")))) == {"low presence"}
    later = [0.55] * 50 + [1.0] * 50
    found = dropped(list(link([with_presence(frames, later)], "all")))
    kept = found.index(None)
    assert 20 <= kept <= 50 and found[kept:] == [None] * (100 - kept), "kept once, it stays"


def test_what_is_dropped_is_told_and_can_be_taken_back(tmp_path: Path) -> None:
    frames: list[list[Face]] = [
        [(0, 200.0, 200.0, 100.0), *([(1, 600.0, 200.0, 90.0)] if 20 <= n < 23 else [])] for n in range(60)
    ]
    path, tracks = tmp_path / "shot.faces", dict[int, Track]()
    header = FacesHeader("0" * 64, 800, 400, "1/512", {}, "a test")
    with path.open("w") as file:
        for _ in write_faces(file, header, link(parts_of(frames, []), "all"), tracks):
            pass
    assert dropped_tracks(path, tracks.values()) == [f"{path}: 1 tracks were dropped (short: 1)"]
    assert {len(line.faces) for line in FacesFile(path)} == {1}
    lines = path.read_text().splitlines()
    last = json.loads(lines[-1])
    assert [track["dropped"] for track in last["tracks"]] == [None, "short"]
    last["tracks"][1]["swap"] = True
    path.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    assert [len(line.faces) for line in FacesFile(path)] == [2 if 20 <= n < 23 else 1 for n in range(60)]


def test_the_file_says_which_places_are_between(tmp_path: Path) -> None:
    frames: list[list[Face]] = [[] if 20 <= n < 24 else [moving(n, int(n > 20))] for n in range(50)]
    path, tracks = tmp_path / "shot.faces", dict[int, Track]()
    with path.open("w") as file:
        header = FacesHeader("0" * 64, 800, 400, "1/512", {}, "a test")
        list(write_faces(file, header, link(parts_of(frames, []), "all"), tracks))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [bool(line["faces"][0].get("bridged")) for line in lines[1:-1]] == [
        20 <= n < 24 for n in range(50)
    ]
    assert all("raw" in face or "bridged" in face for line in lines[1:-1] for face in line["faces"])
    assert tracks[0].bridged_frames == 4 and tracks[0].frames == 50
    assert len(lines[1]["faces"][0]["landmarks"]) == len(KEPT_POINTS)


def test_a_real_face_that_is_covered_for_a_moment(
    clips: Path, analysed: Callable[[str], Path], tmp_path: Path
) -> None:
    """What lies between is near where the face was, as the uncovered clip shows; no frame is without it."""
    covered = [20 <= n < 26 for n in range(45)]
    # No larger than the face: what changes a third of the picture is taken for a cut.
    cover_face(clips, tmp_path / "covered.mp4", covered, BOX)
    out = tmp_path / "covered.faces"
    list(analyze(tmp_path / "covered.mp4", out, device="cpu"))
    found, truth = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (out, analysed("single_face.mp4"))
    )
    assert [[face["track"] for face in line["faces"]] for line in found[1:-1]] == [[0]] * 45
    assert [bool(line["faces"][0].get("bridged")) for line in found[1:-1]] == covered
    for n, (line, expected) in enumerate(zip(found[1:-1], truth[1:-1], strict=False)):
        places, true = (np.array(each["faces"][0]["landmarks"]) for each in (line, expected))
        apart = np.hypot(*(places - true).T).mean() / np.ptp(true[:, 1])
        assert apart < (0.06 if covered[n] else 0.03), n
    assert [len(line.faces) for line in FacesFile(out)] == [1] * 45

"""Faces found, followed and written down: on real clips, and on tracks whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cover_face import cover_face
from make_clips import make_clip
from numpy.typing import NDArray

from crossface.engine.analyze import AnalysisSettings, analyze
from crossface.engine.clip import packet_hash
from crossface.engine.errors import BadInputError, InputMissingError, OutputExistsError
from crossface.engine.events import Finished, Progress, Warned
from crossface.engine.face.align import LANDMARK_COUNT, TEMPLATE, crop_to_frame
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.face.mesh import Mesh
from crossface.engine.face.smooth import smooth
from crossface.engine.face.track import Sighting, TrackedFace
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting
from crossface.engine.video.reader import Reader

Lines = list[dict[str, Any]]


def lines_of(path: Path) -> tuple[dict[str, Any], Lines, list[dict[str, Any]]]:
    """Header, a line a frame, tracks; parsed without the product."""
    header, *frames, last = [json.loads(line) for line in path.read_text().splitlines()]
    return header, frames, last["tracks"]


def tracks_per_frame(frames: Lines) -> list[list[int]]:
    return [[face["track"] for face in line["faces"]] for line in frames]


@pytest.mark.parametrize("name", ["single_face.mp4", "no_face.mp4", "noface_face.mov"])
def test_every_frame_has_its_line(clips: Path, analysed: Callable[[str], Path], name: str) -> None:
    header, frames, _ = lines_of(analysed(name))
    with Reader(clips / name) as reader:
        assert [line["pts"] for line in frames] == [frame.pts for frame in reader]
        info = reader.info
    assert (header["width"], header["height"]) == (info.width, info.height)
    assert Fraction(header["time_base"]) == info.time_base
    assert header["source_hash"] == packet_hash(clips / name)


def test_one_face_is_one_track_from_end_to_end(analysed: Callable[[str], Path]) -> None:
    _, frames, tracks = lines_of(analysed("single_face.mp4"))
    assert tracks_per_frame(frames) == [[0]] * len(frames)
    assert {line["shot"] for line in frames} == {0}
    (track,) = tracks
    assert track["swap"] is True and track["frames"] == len(frames)
    assert (track["first_pts"], track["last_pts"]) == (frames[0]["pts"], frames[-1]["pts"])


def test_no_face_is_no_face(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "no.faces"
    *_, warned, finished = analyze(clips / "no_face.mp4", out)
    _, frames, tracks = lines_of(out)
    assert not any(line["faces"] for line in frames) and tracks == []
    assert isinstance(warned, Warned) and "no face" in warned.message
    assert finished == Finished(out, len(frames), 0)
    assert not FacesFile(out).swaps


def test_a_track_never_crosses_a_cut(analysed: Callable[[str], Path]) -> None:
    _, frames, tracks = lines_of(analysed("noface_face.mov"))
    shots = [line["shot"] for line in frames]
    assert shots == sorted(shots) and shots[0] == 0 and len(set(shots)) >= 2
    with_face = [number for number, line in enumerate(frames) if line["faces"]]
    assert len(with_face) > 50
    assert with_face == list(range(with_face[0], with_face[-1] + 1))
    assert shots[with_face[0]] == shots[with_face[0] - 1] + 1, "the face comes with the cut"
    assert len({shots[number] for number in with_face}) == 1
    assert [track["shot"] for track in tracks] == [shots[with_face[0]]]


@pytest.mark.parametrize(
    ("name", "every"), [("single_face.mp4", 1), ("single_face.mp4", 7), ("noface_face.mov", 13)]
)
def test_searching_seldom_loses_no_frame(
    clips: Path, tmp_path: Path, analysed: Callable[[str], Path], name: str, every: int
) -> None:
    """A face is followed back to where it came in, so that the frames with faces are the same."""
    out = tmp_path / "shot.faces"
    list(analyze(clips / name, out, settings=AnalysisSettings(detect_every=every)))
    _, frames, _ = lines_of(out)
    assert tracks_per_frame(frames) == tracks_per_frame(lines_of(analysed(name))[1])


def test_a_face_that_comes_in_between_two_searches_is_followed_back(clips: Path, tmp_path: Path) -> None:
    """Grey covers the face but for some frames in the middle of a search interval."""
    late = tmp_path / "late.mp4"
    shown = range(11, 33)
    cover_face(clips, late, [number not in shown for number in range(45)])
    found = {}
    for every in (1, 19):
        out = tmp_path / f"{every}.faces"
        list(analyze(late, out, settings=AnalysisSettings(detect_every=every)))
        found[every] = [bool(line["faces"]) for line in lines_of(out)[1]]
    assert found[1] == [number in shown for number in range(45)]
    assert found[19] == found[1]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_has_the_same_faces(
    clips: Path, tmp_path: Path, analysed: Callable[[str], Path], rotation: int
) -> None:
    """Coded turned and shown upright, as telephones do: the same landmarks, turned."""
    turned, count = tmp_path / "turned.mp4", 6
    with av.open(str(clips / "single_face.mp4")) as source, av.open(str(turned), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "ultrafast", "qp": "0"})
        upright = (640, 360)
        stream.width, stream.height = upright if rotation == 180 else upright[::-1]
        stream.set_display_rotation(rotation)
        for number, picture in zip(range(count), source.decode(video=0), strict=False):
            # The player turns counter-clockwise, so the code is turned clockwise.
            pixels = np.rot90(picture.to_ndarray(format="rgb24"), -rotation // 90)
            changed = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            changed.pts, changed.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(changed.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    list(analyze(turned, tmp_path / "turned.faces"))
    _, frames, _ = lines_of(tmp_path / "turned.faces")
    assert tracks_per_frame(frames) == [[0]] * count
    expected = np.array(lines_of(analysed("single_face.mp4"))[1][0]["faces"][0]["raw"])
    x, y = np.array(frames[0]["faces"][0]["raw"]).T
    back = {90: (y, 360 - x), 180: (640 - x, 360 - y), 270: (640 - y, x)}[rotation]
    error_px = np.hypot(*(np.stack(back, axis=1) - expected).T)
    assert np.median(error_px) < 2.0, "a hundredth of the face's height"


def second_difference(transforms: NDArray[Any]) -> float:
    """How much the crop's corner shakes, px: a steady or evenly speeding motion gives 0."""
    corners = transforms @ [128.0, 128.0, 1.0]
    return float(np.abs(np.diff(corners, n=2, axis=0)).mean())


def test_smoothing_steadies_a_real_face(analysed: Callable[[str], Path]) -> None:
    header, frames, _ = lines_of(analysed("single_face.mp4"))
    shakes = {}
    for kind in ("raw", "landmarks"):
        transforms = []
        for line in frames:
            landmarks = np.full((468, 2), np.nan)
            landmarks[header["points"]] = line["faces"][0][kind]
            transforms.append(crop_to_frame(landmarks, size_px=128, coverage=1.5))
        shakes[kind] = second_difference(np.stack(transforms))
    assert shakes["landmarks"] < 0.6 * shakes["raw"]
    raw, steady = ([line["faces"][0][kind] for line in frames] for kind in ("raw", "landmarks"))
    assert np.abs(np.subtract(raw, steady)).mean() < 1.0, "steady, yet where the face is"


# A face 100 px high that lies straight; which points its mesh has else is of no account here.
FACE = 100 * np.array([TEMPLATE.get(n, (0.3 * np.cos(n), 0.3 * np.sin(n))) for n in range(LANDMARK_COUNT)])


def sightings(
    places: NDArray[np.float64], pts: list[int], tracks: list[int | None] | None = None
) -> Iterator[Sighting[Frame]]:
    """A made-up track: the face lies at ``places[n]`` at ``pts[n]``."""
    planes = tuple(np.zeros(shape, np.uint8) for shape in ((2, 2), (1, 1), (1, 1)))
    colour = ColourDescription(Matrix.BT709, False, Siting.LEFT, 8, 1, 1)
    durations = [*np.diff(pts).tolist(), 1]
    for n, place in enumerate(places):
        picture = av.VideoFrame(2, 2, "yuv420p")
        frame = Frame(n, pts[n], durations[n], Fraction(1, 12800), planes, colour, picture)  # type: ignore[arg-type]
        track = 0 if tracks is None else tracks[n]
        mesh = Mesh(FACE + place, 1.0)
        yield Sighting(frame, 0, () if track is None else (TrackedFace(track, mesh),))


def smoothed(*arguments: Any) -> Iterator[tuple[Sighting[Frame], dict[int, NDArray[np.float64]]]]:
    return smooth(
        sightings(*arguments),
        lambda sighting: sighting.frame.pts,
        lambda sighting: {face.track: face.mesh.landmarks for face in sighting.faces},
        landmarks=range(LANDMARK_COUNT),
    )


def steadied(*arguments: Any) -> NDArray[np.float64]:
    found = [points - FACE for _, tracks in smoothed(*arguments) for points in tracks.values()]
    return np.array([points.mean(axis=0) for points in found])


EVEN = list(range(0, 40 * 512, 512))
UNEVEN = np.cumsum([0, *[512, 700, 512, 90, 2048, 333, 512, 512, 1000, 256] * 4]).tolist()[:40]


@pytest.mark.parametrize("pts", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_steady_acceleration_passes_unchanged(pts: list[int]) -> None:
    """Zero phase: no lag, no overshoot, not at the ends either, whatever the frame rate does."""
    time = np.array(pts)[:, None] / 512
    places = [100.0, 50.0] + [3.0, -2.0] * time + [0.05, 0.08] * time**2
    np.testing.assert_allclose(steadied(places, pts), places, atol=1e-6)


@pytest.mark.parametrize(
    "pts",
    [
        np.cumsum([0, *[512] * 12, 1, *[512] * 12]).tolist(),
        np.cumsum([0, *[512] * 12, 900_000, *[512] * 12]).tolist(),
        np.cumsum([0, 10_000_000, *[1] * 20]).tolist(),
        np.cumsum([0, *[1, 511] * 12]).tolist(),
    ],
    ids=["one tick", "a long hold", "a hold first", "pairs"],
)
def test_odd_times_never_move_a_face_that_keeps_still(pts: list[int]) -> None:
    rng = np.random.default_rng(0)
    places = np.full((len(pts), 2), 200.0) + rng.normal(0, 0.3, (len(pts), 2))
    found = steadied(places, pts)
    assert np.abs(found - 200).max() < 1.5


def test_a_hold_between_two_places_does_not_drag_the_face() -> None:
    """After a long hold the face is elsewhere; what lies seconds away says nothing about now."""
    pts = np.cumsum([0, *[512] * 11, 512_000, *[512] * 11]).tolist()
    places = np.repeat([[100.0, 100.0], [300.0, 100.0]], 12, axis=0)
    np.testing.assert_allclose(steadied(places, pts), places, atol=1e-6)


def test_smoothing_halves_noise_and_stops_at_the_tracks_end() -> None:
    rng = np.random.default_rng(1)
    # Twice what a real mesh shakes, of a face 100 px high.
    places = rng.normal(0, 0.3, (40, 2))
    tracks: list[int | None] = [0] * 20 + [None] + [1] * 19
    # The second track lies elsewhere: mixed with the first, its first face would be far off.
    places[20:] += 1000
    found = steadied(places, EVEN, tracks)
    assert found[3:17].std() < 0.7 * places[3:17].std()
    assert np.abs(found[:20]).max() < 5 and np.abs(found[20:] - 1000).max() < 5


@pytest.mark.parametrize("count", [0, 1, 2, 6, 7, 8, 13, 14, 30])
def test_smoothing_gives_every_frame_once_and_in_order(count: int) -> None:
    places = np.zeros((count, 2))
    found = list(smoothed(places, EVEN[:count]))
    assert [sighting.frame.index for sighting, _ in found] == list(range(count))


def test_a_faces_file_reads_as_it_was_written(analysed: Callable[[str], Path]) -> None:
    path = analysed("noface_face.mov")
    header, frames, tracks = lines_of(path)
    file = FacesFile(path)
    assert list(file.header.points) == header["points"]
    assert file.tracks[0].swap and file.swaps and len(file.tracks) == len(tracks)
    read = list(file)
    assert [(line.pts, line.shot) for line in read] == [(line["pts"], line["shot"]) for line in frames]
    for line, written in zip(read, frames, strict=True):
        assert [face.track for face in line.faces] == [face["track"] for face in written["faces"]]
        for face, entry in zip(line.faces, written["faces"], strict=True):
            np.testing.assert_array_equal(face.landmarks[header["points"]], entry["landmarks"])
            known = np.isfinite(face.landmarks).all(axis=1)
            assert np.nonzero(known)[0].tolist() == header["points"]
            assert face.presence == entry["presence"]


def edited(path: Path, target: Path, edit: Callable[[list[Any]], None]) -> Path:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    edit(lines)
    target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return target


def test_edits_are_obeyed(analysed: Callable[[str], Path], tmp_path: Path) -> None:
    path = analysed("single_face.mp4")

    def not_swapped(lines: list[Any]) -> None:
        lines[-1]["tracks"][0]["swap"] = False

    def not_in_frame_4(lines: list[Any]) -> None:
        lines[5]["faces"] = []

    file = FacesFile(edited(path, tmp_path / "a.faces", not_swapped))
    assert not file.swaps and not any(line.faces for line in file)
    file = FacesFile(edited(path, tmp_path / "b.faces", not_in_frame_4))
    assert file.swaps
    assert [n for n, line in enumerate(file) if not line.faces] == [4]


DAMAGE: dict[str, Callable[[str], str]] = {
    "cut": lambda line: line[:-40],
    "empty object": lambda line: "{}",
    "a list": lambda line: "[1, 2]",
    "unknown track": lambda line: line.replace('"track": 0', '"track": 9'),
    "no number": lambda line: line.replace('"pts": ', '"pts": "x'),
    "infinite": lambda line: line.replace('"pts": ', '"pts": 1e999, "was": '),
    "too few points": lambda line: json.dumps(
        {**json.loads(line), "faces": [{"track": 0, "presence": 1, "landmarks": [[0, 0], [1, 1]]}]}
    ),
    "one point for all": lambda line: json.dumps(
        {**json.loads(line), "faces": [{"track": 0, "presence": 1, "landmarks": [5, 5]}]}
    ),
    "nested": lambda line: '{"pts": ' + "[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_line_is_named(analysed: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    lines = analysed("single_face.mp4").read_text().splitlines()
    lines[11] = DAMAGE[kind](lines[11])
    bad = tmp_path / "bad.faces"
    bad.write_text("\n".join(lines) + "\n")
    with pytest.raises(BadInputError, match="line 12") as caught:
        list(FacesFile(bad))
    assert "\n" not in str(caught.value) and str(bad) in str(caught.value)


def test_files_that_are_no_faces_file(analysed: Callable[[str], Path], clips: Path, tmp_path: Path) -> None:
    good = analysed("single_face.mp4").read_text()
    header, rest = good.split("\n", 1)
    *_, tracks = good.splitlines()
    bad = tmp_path / "bad.faces"
    for content in (
        b"",
        b"text\n",
        b"[]\n",
        b"\xff\xfe\x00",
        (clips / "single_face.mp4").read_bytes(),
        good[: len(good) // 2].encode(),
        good[: -len(tracks) // 2].encode(),
        header.replace('"faces": 2', '"faces": 99').encode() + b"\n" + rest.encode(),
        header.replace('"width"', '"girth"').encode() + b"\n" + rest.encode(),
        good.replace('{"tracks": [', '{"tracks": [7, ').encode(),
        good.replace('"first_pts"', '"pts_first"').encode(),
        b"[" * 100_000,
    ):
        bad.write_bytes(content)
        with pytest.raises(BadInputError) as caught:
            FacesFile(bad)
        assert str(caught.value).startswith(f"{bad}: ") and "\n" not in str(caught.value)
    for path in (tmp_path / "missing.faces", tmp_path):
        with pytest.raises(InputMissingError):
            FacesFile(path)


def test_events_and_the_output(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "shot.faces"
    clip = make_clip(tmp_path / "clip.mp4", durations=(512,) * 9)
    events = list(analyze(clip, out))
    assert events[:-2] == [Progress("analyze", n, 9) for n in range(1, 10)]
    with pytest.raises(OutputExistsError, match=str(out)):
        list(analyze(clip, out))
    before = out.read_bytes()
    assert list(analyze(clip, out, overwrite=True)) == events
    assert out.read_bytes() == before, "the same clip gives the same bytes"


@pytest.mark.parametrize("frames", [0, 1, 40])
def test_closing_half_way_leaves_nothing(clips: Path, tmp_path: Path, frames: int) -> None:
    events = analyze(clips / "single_face.mp4", tmp_path / "shot.faces")
    for _ in range(frames):
        next(events)
    events.close()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_clip_leaves_nothing(clips: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    # The index of this clip lies behind its media.
    content = (clips / "single_face.mp4").read_bytes()
    short.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(BadInputError):
        list(analyze(short, tmp_path / "shot.faces"))
    assert list(tmp_path.iterdir()) == [short]


def test_a_full_disk_is_told_while_frames_are_read_ahead(clips: Path, tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from crossface.engine import analyze\n"
        "from crossface.engine.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    list(analyze(sys.argv[1], sys.argv[2]))\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    out = tmp_path / "shot.faces"
    done = subprocess.run(
        [sys.executable, "-c", script, str(clips / "single_face.mp4"), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{out}: cannot be written")
    assert list(tmp_path.iterdir()) == []


def test_the_hash_follows_the_packets_and_not_the_name(clips: Path, tmp_path: Path) -> None:
    clip = clips / "single_face.mp4"
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    assert packet_hash(copy) == packet_hash(clip)
    assert packet_hash(clips / "no_face.mp4") != packet_hash(clip)

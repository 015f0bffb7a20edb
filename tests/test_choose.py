"""Whose faces are swapped: by size, by place, by number, and by a picture of the person."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from make_seen import Face, parts_of

from crossface.engine.analyze import AnalysisSettings, analyze
from crossface.engine.compare_command import alternatives_of
from crossface.engine.errors import BadInputError, InputMissingError, UsageError
from crossface.engine.face.choose import check_selection
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.face.link import link
from crossface.engine.face.person import LOOK_NUMBERS, Person, packed, unpacked
from crossface.engine.face.portrait import find_person
from crossface.engine.face.seen import SeenFile, SeenFrame, write_seen
from crossface.engine.review.png import write_png

LEFT, MIDDLE, RIGHT = (0, 100.0, 200.0, 60.0), (1, 300.0, 200.0, 100.0), (2, 500.0, 200.0, 80.0)


def chosen(frames: Sequence[Sequence[Face]], select: str, shots: Sequence[int] = ()) -> list[list[int]]:
    """Tracks chosen in each frame, by the numbers that the clip was made up with."""
    heights = {face[3]: face[0] for faces in frames for face in faces}
    return [
        [heights[round(face.box[3] - face.box[1], 6)] for face in frame.faces if face.chosen]
        for frame in link(parts_of(frames, [33], shots), select)
    ]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("largest", [1]),
        ("smallest", [0]),
        ("left", [0]),
        ("right", [2]),
        ("at:320,180", [1]),
        ("at:640,0", [2]),
        ("all", [1, 2, 0]),
    ],
)
def test_one_of_three(select: str, expected: list[int]) -> None:
    assert chosen([[LEFT, MIDDLE, RIGHT]] * 60, select) == [expected] * 60


def test_numbers_are_those_of_the_sheet() -> None:
    frames = [[LEFT, MIDDLE, RIGHT]] * 40
    numbers = {face.track for frame in link(parts_of(frames, []), "all") for face in frame.faces}
    assert numbers == {0, 1, 2}
    for select, expected in (("0", {0}), ("2,0", {0, 2}), ("7", set())):
        found = link(parts_of(frames, []), select)
        assert {face.track for frame in found for face in frame.faces if face.chosen} == expected


def test_the_left_one_stays_when_somebody_only_passes() -> None:
    passing = (3, 40.0, 200.0, 70.0)
    frames: list[list[Face]] = (
        [[MIDDLE, RIGHT]] * 40 + [[MIDDLE, RIGHT, passing]] * 8 + [[MIDDLE, RIGHT]] * 40
    )
    assert chosen(frames, "left") == [[1]] * 88
    stays = [[MIDDLE, RIGHT]] * 40 + [[MIDDLE, RIGHT, passing]] * 60
    assert chosen(stays, "left") == [[1]] * 40 + [[3]] * 60


def test_two_who_change_places_do_not_flicker() -> None:
    rng = np.random.default_rng(0)
    frames: list[list[Face]] = [
        [(0, 300 + float(rng.normal(0, 5)), 200.0, 90.0), (1, 300 + float(rng.normal(0, 5)), 420.0, 80.0)]
        for _ in range(100)
    ]
    found = chosen(frames, "left")
    assert sum(a != b for a, b in itertools.pairwise(found)) <= 1


@pytest.mark.parametrize(
    "select", ["biggest", "", "1;2", "-1", "1.5", "person", "at:5", "at:5,x", "somebody.png"]
)
def test_what_is_no_selection(select: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_selection(select, "")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        list(link([], select))


def looking(frames: list[SeenFrame], looks: dict[int, list[np.ndarray]], every: int) -> list[SeenFrame]:
    """Gives each track a look now and then, noisy."""
    seen = []
    for n, frame in enumerate(frames):
        faces = tuple(
            replace(face, look=packed(looks[face.track][n // every]) if n % every == 0 else b"")
            for face in frame.faces
        )
        seen.append(replace(frame, faces=faces))
    return seen


def test_the_person_is_found_and_nobody_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    people = rng.normal(0, 0.08, (3, LOOK_NUMBERS))
    (part,) = parts_of([[LEFT, MIDDLE, RIGHT]] * 60, [])
    numbers = {face.track: int(face.box[0]) for face in part[0].faces}
    looks = {
        track: [people[n] + rng.normal(0, 0.02, LOOK_NUMBERS) for _ in range(10)]
        for n, track in enumerate(numbers)
    }
    path = tmp_path / "part"
    with path.open("w") as file:
        list(write_seen(file, {}, looking(part, looks, 7)))
    kept = list(SeenFile(path))
    for n, track in enumerate(numbers):
        frames = link([kept], "person", person=Person(people[n]).text)
        assert [[face.track for face in frame.faces if face.chosen] for frame in frames] == [[track]] * 60
    stranger = Person(rng.normal(0, 0.08, LOOK_NUMBERS))
    assert not any(
        face.chosen for frame in link([kept], "person", person=stranger.text) for face in frame.faces
    )


def test_a_person_reads_as_it_was_written() -> None:
    look = np.random.default_rng(2).normal(0, 0.1, LOOK_NUMBERS)
    person = Person.of([packed(look)])
    np.testing.assert_array_equal(Person.parse(person.text).look, unpacked(packed(look)))
    for bad in ("", "####", "AAAA", Person(np.full(LOOK_NUMBERS, np.nan)).text):
        with pytest.raises(UsageError):
            Person.parse(bad)


@pytest.fixture(scope="module")
def portraits(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The man and the woman of the clips: each from another film than the one they are looked for in."""
    folder = tmp_path_factory.mktemp("portraits")
    man, woman = folder / "man.png", folder / "woman.jpg"
    with av.open(str(clips / "face_noface.mov")) as film:
        write_png(man, next(film.decode(video=0)).to_ndarray(format="rgb24"))
    with (
        av.open(str(clips / "WolfgangLanger_Pexels.mp4")) as film,
        av.open(str(woman), "w", format="mjpeg") as jpeg,
    ):
        frame = next(picture for n, picture in enumerate(film.decode(video=0)) if n == 300)
        stream = jpeg.add_stream("mjpeg", rate=1, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuvj420p"
        frame = frame.reformat(format="yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1)
        jpeg.mux(stream.encode(frame))
        jpeg.mux(stream.encode(None))
    return {"man": man, "woman": woman}


@pytest.fixture(scope="module")
def both(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two real people side by side, the man on the left, the woman larger."""
    path = tmp_path_factory.mktemp("both") / "both.mp4"
    with (
        av.open(str(clips / "single_face.mp4")) as man,
        av.open(str(clips / "WolfgangLanger_Pexels.mp4")) as woman,
        av.open(str(path), "w") as film,
    ):
        stream = film.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "12"})
        stream.width, stream.height = 1280, 360
        pairs = zip(range(12), man.decode(video=0), woman.decode(video=0), strict=False)
        for n, left, right in pairs:
            shown = [each.reformat(640, 360, "rgb24").to_ndarray() for each in (left, right)]
            picture = av.VideoFrame.from_ndarray(np.concatenate(shown, axis=1), "rgb24")
            picture.pts, picture.time_base = n, Fraction(1, 25)
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return path


@pytest.mark.needs_people
@pytest.mark.parametrize(("who", "side"), [("man", 0), ("woman", 1)])
def test_a_picture_finds_its_person(
    both: Path, portraits: dict[str, Path], tmp_path: Path, who: str, side: int
) -> None:
    out = tmp_path / "shot.faces"
    person = find_person(portraits[who])
    list(analyze(both, out, settings=AnalysisSettings(select="person", person=person.text), device="cpu"))
    lines = list(FacesFile(out))
    assert len(lines) == 12
    assert [[face.box[0] > 640 for face in line.faces] for line in lines] == [[bool(side)]] * 12


@pytest.mark.needs_people
def test_a_picture_on_the_command_line_becomes_a_person(portraits: dict[str, Path]) -> None:
    """What is kept is what the picture shows, not its path: a plan may go to other machines."""
    (found,) = alternatives_of(Path("b.onnx"), [f"faces-of={portraits['woman']}"])
    assert found.analysis.select == "person"
    assert found.analysis.person == find_person(portraits["woman"]).text
    assert str(portraits["woman"]) not in repr(found.analysis)
    (named,) = alternatives_of(Path("b.onnx"), ["faces-of=left"])
    assert (named.analysis.select, named.analysis.person) == ("left", "")


@pytest.mark.needs_people
def test_pictures_that_show_nobody(clips: Path, tmp_path: Path) -> None:
    with av.open(str(clips / "no_face.mp4")) as film:
        empty = write_png(tmp_path / "empty.png", next(film.decode(video=0)).to_ndarray(format="rgb24"))
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 40)
    (tmp_path / "text.png").write_text("no picture")
    for bad in (empty, tmp_path / "cut.jpg", tmp_path / "text.png"):
        with pytest.raises(BadInputError) as caught:
            find_person(bad)
        assert str(bad) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputMissingError):
        find_person(tmp_path / "none.png")

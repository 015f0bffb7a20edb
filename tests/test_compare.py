"""Sheets to choose by: alternatives of a conversion side by side, and the people of a clip."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from test_cli import Crossface, crossface  # noqa: F401

from crossface.engine.compare import compare
from crossface.engine.compare_command import alternatives_of
from crossface.engine.errors import BadInputError, UsageError
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.review.people import people_sheet
from crossface.engine.review.png import read_png

# Height of a line of text at the sizes used here, and the line between two things, px.
TEXT_PX, GAP_PX = 11, 4


def test_every_combination_is_an_alternative() -> None:
    found = alternatives_of(Path("b.onnx"), ["colour=none,mkl", "detect-every=3,7", "codec=ffv1"])
    assert [(each.settings.colour, each.analysis.detect_every) for each in found] == [
        ("none", 3),
        ("none", 7),
        ("mkl", 3),
        ("mkl", 7),
    ]
    assert {each.settings.codec for each in found} == {"ffv1"}
    assert found[1].name == "colour none  detect-every 7", "what all have in common goes without saying"
    models = alternatives_of(Path("b.onnx"), ["model=a.onnx,c.onnx"])
    assert [each.model for each in models] == [Path("a.onnx"), Path("c.onnx")]
    flags = alternatives_of(Path("b.onnx"), ["whole=on,off"])
    assert [each.settings.whole for each in flags] == [True, False]
    (alone,) = alternatives_of(Path("b.onnx"), [])
    assert alone.model == Path("b.onnx")


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        (["colour"], "colour=none,mean"),
        (["colour=none,"], "colour=none,mean"),
        (["=none"], "colour=none,mean"),
        (["colour=blue"], "blue"),
        (["nothing=1"], "no such option"),
        (["whole=perhaps"], "on or off"),
        (["colour=none", "colour=mean"], "once"),
        (["batch=" + ",".join(map(str, range(1, 62)))], "61"),
    ],
)
def test_what_is_no_grid(axes: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        alternatives_of(Path("b.onnx"), axes)
    assert "\n" not in str(caught.value)


def cells(sheet: NDArray[np.uint8], size_px: int, count: int) -> list[NDArray[np.uint8]]:
    """Pictures of the first frame of a sheet: below what it is, its time, and their names."""
    top = 3 * (TEXT_PX + GAP_PX)
    lefts = [n * (size_px + GAP_PX) for n in range(count)]
    return [sheet[top : top + size_px, left : left + size_px].astype(int) for left in lefts]


def test_a_sheet_shows_what_a_conversion_makes(
    crossface: Crossface,  # noqa: F811
    clips: Path,
    swapper: Path,
    analysed: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """The swapper inverts: without a colour match the face is a negative, and nothing around it changes."""
    clip, faces = clips / "single_face.mp4", analysed("single_face.mp4")
    out = tmp_path / "sheet.png"
    code, printed, said = crossface(
        "compare", clip, swapper, "--grid", "colour=none,mean", "codec=ffv1", "-o", out, "--at", "5",
        "--size", 96, "--faces", faces, "--progress", "none",
    )  # fmt: skip
    assert (code, printed) == (0, [str(out)]), said
    before, negative, matched = cells(read_png(out), 96, 3)
    middle = (slice(40, 60), slice(40, 56))
    np.testing.assert_allclose(negative[middle].mean((0, 1)), 255 - before[middle].mean((0, 1)), atol=12)
    assert np.abs(matched[middle].mean((0, 1)) - before[middle].mean((0, 1))).max() < 40
    np.testing.assert_array_equal(negative[:6], before[:6])
    np.testing.assert_array_equal(matched[-4:], before[-4:])


def test_frames_and_settings_that_cannot_be_shown(
    crossface: Crossface,  # noqa: F811
    clips: Path,
    swapper: Path,
    analysed: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    clip, faces, out = clips / "single_face.mp4", analysed("single_face.mp4"), tmp_path / "sheet.png"
    given = ("compare", clip, swapper, "-o", out, "--faces", faces)
    for more, code in (
        (("--at", "9999"), 65),
        (("--at", "five"), 2),
        (("--grid", "detect-every=3,5"), 2),
        (("--grid", "colour"), 2),
    ):
        found, _, said = crossface(*given, *more)
        assert found == code and len(said) == 1, said
        assert not out.exists()


def test_the_sheet_of_people_shows_each_track(
    crossface: Crossface,  # noqa: F811
    clips: Path,
    analysed: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    clip, faces, out = clips / "noface_face.mov", analysed("noface_face.mov"), tmp_path / "who.png"
    code, printed, said = crossface("faces", clip, "--faces", faces, "-o", out, "--progress", "none")
    assert code == 0 and said == []
    track = FacesFile(faces).tracks[0]
    assert printed[0].startswith(f"track 0  shot {track.shot}  ") and printed[0].endswith("swapped")
    assert f"{track.frames} frames" in printed[0] and printed[1:] == [str(out)]
    sheet = read_png(out)
    assert sheet.shape == (TEXT_PX + GAP_PX + 160, 5 * 160 + 4 * GAP_PX, 3)
    pictures = [sheet[TEXT_PX + GAP_PX :, left : left + 160].astype(int) for left in range(0, 5 * 164, 164)]
    # Faces, all of one man in one place, and not one picture five times.
    assert all(picture.std() > 20 for picture in pictures)
    assert all(0 < np.abs(a - b).mean() < 40 for a, b in itertools.pairwise(pictures))


def test_a_sheet_of_nobody(clips: Path, analysed: Callable[[str], Path], tmp_path: Path) -> None:
    assert people_sheet(clips / "no_face.mp4", analysed("no_face.mp4"), tmp_path / "who.png") == []
    assert read_png(tmp_path / "who.png").shape[0] < 20


def test_a_sheet_has_so_many_rows_and_says_that_there_are_more(
    clips: Path, analysed: Callable[[str], Path], tmp_path: Path
) -> None:
    """One track made many: each keeps its line, only the first get pictures."""
    lines = [json.loads(line) for line in analysed("single_face.mp4").read_text().splitlines()]
    for n, line in enumerate(lines[1:-1]):
        line["faces"][0]["track"] = n // 12
    (only,) = lines[-1]["tracks"]
    count = (len(lines) - 3) // 12 + 1
    lines[-1]["tracks"] = [{**only, "track": n, "frames": 12, "swap": n == 3} for n in range(count)]
    path, out = tmp_path / "many.faces", tmp_path / "who.png"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = people_sheet(clips / "single_face.mp4", path, out, most_tracks=2, cell_px=40)
    assert len(said) == count
    assert read_png(out).shape[0] == 2 * (TEXT_PX + 40) + TEXT_PX + 4 * GAP_PX


def test_a_faces_file_of_another_clip_shows_no_frame(
    clips: Path, swapper: Path, analysed: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="shows no face"):
        list(
            compare(
                clips / "no_face.mp4",
                alternatives_of(swapper, []),
                tmp_path / "out.png",
                faces=analysed("no_face.mp4"),
            )
        )

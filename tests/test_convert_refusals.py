"""Conversions that cannot be done, or not as asked: said early, in one line, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_convert import FFV1, QUICK, edited

from crossface.engine.analyze import analyze
from crossface.engine.convert import ConversionSettings, convert
from crossface.engine.errors import BadInputError, UsageError
from crossface.engine.events import Warned


def test_files_that_do_not_belong_together(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path
) -> None:
    clip, target = clips / "single_face.mp4", tmp_path / "out.mp4"
    with pytest.raises(BadInputError, match="another clip"):
        list(convert(clip, swapper, target, faces=analysed("no_face.mp4")))

    def a_frame_less(lines: list[Any]) -> None:
        del lines[30]

    def a_frame_more(lines: list[Any]) -> None:
        lines.insert(-1, {**lines[-2], "pts": lines[-2]["pts"] + 512})

    def no_points(lines: list[Any]) -> None:
        lines[20]["faces"][0]["landmarks"] = [[float("nan")] * 2] * len(lines[0]["points"])

    for edit in (a_frame_less, a_frame_more, no_points):
        faces = edited(analysed("single_face.mp4"), tmp_path / "edited.faces", edit)
        with pytest.raises(BadInputError) as caught:
            list(convert(clip, swapper, target, faces=faces, settings=QUICK))
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == [faces]


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_source_is_never_replaced(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path, overwrite: bool
) -> None:
    """Neither by its conversion, whether it has a face or not, nor by its own faces file."""
    for name in ("single_face.mp4", "no_face.mp4"):
        clip = tmp_path / name
        clip.write_bytes((clips / name).read_bytes())
        link = tmp_path / f"link-{name}"
        link.symlink_to(clip)
        for output in (clip, link):
            for events in (
                convert(clip, swapper, output, faces=analysed(name), overwrite=overwrite),
                analyze(clip, output, overwrite=overwrite),
            ):
                with pytest.raises(UsageError, match=str(output)):
                    list(events)
        assert clip.read_bytes() == (clips / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("out.avi", ConversionSettings()),
        ("out", ConversionSettings()),
        ("out.mp4", ConversionSettings(codec="no-such-codec")),
        ("out.mp4", ConversionSettings(encoder_options={"no-such-option": "1"})),
        ("out.mp4", ConversionSettings(batch=0)),
        ("out.mp4", ConversionSettings(colour="no-such-method")),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    clips: Path, swapper: Path, tmp_path: Path, name: str, settings: ConversionSettings
) -> None:
    events = convert(clips / "single_face.mp4", swapper, tmp_path / name, settings=settings)
    with pytest.raises(UsageError) as caught:
        next(events)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_the_output_cannot_hold_is_named_before_the_work(
    clips: Path, swapper: Path, tmp_path: Path
) -> None:
    events = convert(clips / "single_face.mp4", swapper, tmp_path / "out.mkv", settings=FFV1)
    first = next(events)
    events.close()
    assert isinstance(first, Warned) and "milliseconds" in first.message


def test_a_damaged_clip_leaves_nothing(clips: Path, swapper: Path, tmp_path: Path) -> None:
    content = (clips / "single_face.mp4").read_bytes()
    short = tmp_path / "short.mp4"
    short.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInputError, match=str(short)):
        list(convert(short, swapper, tmp_path / "out.mp4"))
    assert list(tmp_path.iterdir()) == [short]

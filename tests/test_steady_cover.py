"""What lies before a face is steady over frames, and the same however the work is split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cover_face import cover_face
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from split_clip import split_clip
from unsigned import UNSIGNED_OPTIONS

from crossface.engine.cli import main
from crossface.engine.swap.colour_match import Statistics
from crossface.engine.swap.steady_cover import steady_cover
from crossface.engine.swap.steady_match import Measured, SteadyMatch

Map = NDArray[np.uint8]
maps = arrays.arrays(np.uint8, (3, 64, 64), elements=st.sampled_from([0, 40, 200, 255]))
PLANNED = ["--segment-seconds", "0.4", "--preset", "ultrafast", "--encoder-threads", "1", "--occlusion", "on"]


@given(maps)
def test_what_one_frame_alone_says_counts_half(three: Map) -> None:
    steady = steady_cover(list(three))
    expected = (three[2] / 255 + np.median(three, axis=0) / 255) / 2
    np.testing.assert_allclose(steady, expected, atol=1e-6)
    for few in ([three[2]], [three[0], three[2]]):
        np.testing.assert_allclose(steady_cover(few), three[2] / 255, atol=1e-6)


def test_a_hand_that_flickers_does_so_by_half_and_one_that_stays_is_found() -> None:
    bare, hand = np.full((64, 64), 255, np.uint8), np.zeros((64, 64), np.uint8)

    def shown(*frames: Map) -> float:
        return float(steady_cover(frames).mean())

    assert shown(hand, hand, hand) == 0 and shown(bare, bare, bare) == 1
    assert shown(hand, hand, bare) == 0.5 and shown(hand, bare, hand) == 0, "lost for a frame"
    assert shown(bare, bare, hand) == 0.5 and shown(bare, hand, hand) == 0, "it comes"
    assert shown(hand, bare, bare) == 1, "it is gone"


def measured(frame: int, visible: int, shot: int = 0, track: int = 0) -> Measured:
    plain = Statistics(np.full(3, 0.5), np.eye(3) * 0.01)
    return Measured(frame, shot, track, plain, plain, visible=np.full((64, 64), visible, np.uint8))


def test_only_the_last_frames_of_the_same_face_are_held() -> None:
    def seen(*before: Measured) -> float:
        match = SteadyMatch("none")
        for each in before:
            match.update(each)
        found = match.update(measured(9, 255)).visible
        assert found is not None
        return float(found.mean())

    assert seen(measured(7, 51), measured(8, 0)) == pytest.approx((1 + 0.2) / 2)
    assert seen(measured(6, 0), measured(8, 0)) == 1, "a frame between was not measured"
    assert seen(measured(7, 0, track=1), measured(8, 0)) == 1, "another face"
    assert seen(measured(7, 0, shot=3), measured(8, 0)) == 1, "another shot"
    unasked = replace(measured(0, 0), visible=None)
    assert SteadyMatch("none").update(unasked).visible is None


@pytest.fixture(scope="module")
def clip(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments; a board comes and goes before half of the face, over their borders too."""
    folder = tmp_path_factory.mktemp("boards")
    covered = [n % 7 < 3 or 20 < n < 24 or 34 < n < 37 for n in range(36)]
    cover_face(clips, folder / "covered.mp4", covered, box=(320, 60, 420, 300))
    return split_clip(folder / "covered.mp4", folder / "split.mp4", width=640, height=360)


def test_segments_in_any_order_give_the_same_film(clip: Path, swapper: Path, tmp_path: Path) -> None:
    films, sidecars = [], []
    for name, order in (("forth", "012"), ("back", "210")):
        out = tmp_path / f"{name}.mp4"
        plan = str(out.with_name(f"{out.name}.job") / "plan.json")

        def run(*arguments: str) -> None:
            with pytest.raises(SystemExit) as ended:
                main([*arguments])
            assert not ended.value.code

        run("plan", str(clip), str(swapper), "-o", str(out), *PLANNED)
        run("segment", plan, "--seg", "0-2", "--stage", "analyze")
        for number in order:
            run("segment", plan, "--seg", number, "--stage", "convert")
        sidecars.append(json.loads(Path(plan).with_name("part-0002.json").read_text())["colours"])
        run("join", plan, *UNSIGNED_OPTIONS)
        films.append(out.read_bytes())
    assert films[0] == films[1]
    assert sidecars[0] == sidecars[1] and any(each[-1] for each in sidecars[0]), "maps are handed on"

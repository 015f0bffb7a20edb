"""Workers stay from clip to clip, with their networks; none outlives who began them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from make_model import make_swapper
from split_clip import split_clip
from test_convert import QUICK, run
from unsigned import UNSIGNED

from crossface import engine
from crossface.engine.errors import OutputExistsError
from crossface.engine.jobs.kept import Kept

convert = partial(engine.convert, signing=UNSIGNED)
SETTINGS = replace(QUICK, segment_s=0.4)


def workers() -> dict[int, str]:
    """Command lines of our worker processes."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            for pid in (task / "children").read_text().split():
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if "crossface.engine.jobs.worker" in command:
                    found[int(pid)] = command
    return found


@pytest.fixture(scope="module")
def clip(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_clip(clips / "single_face.mp4", tmp_path_factory.mktemp("workers") / "clip.mp4")


@pytest.fixture(scope="module")
def alone(clip: Path, swapper: Path) -> bytes:
    """The film that one process makes."""
    target = clip.with_name("alone.mp4")
    run(convert(clip, swapper, target, settings=SETTINGS))
    return target.read_bytes()


def test_workers_stay_for_the_next_clip_and_go_with_what_keeps_them(
    clip: Path, swapper: Path, alone: bytes, tmp_path: Path
) -> None:
    with Kept() as kept:
        run(convert(clip, swapper, tmp_path / "1.mp4", settings=SETTINGS, workers=2, kept=kept))
        first = workers()
        assert len(first) == 2
        run(convert(clip, swapper, tmp_path / "2.mp4", settings=SETTINGS, workers=2, kept=kept))
        assert workers() == first
        # Another network is another, whoever was loaded before.
        other = make_swapper(tmp_path / "other.onnx", gain=0.5)
        run(convert(clip, other, tmp_path / "3.mp4", settings=SETTINGS, workers=2, kept=kept))
        assert workers() == first
        # And one that took the first one's place under its name.
        os.replace(make_swapper(tmp_path / "new.onnx", gain=0.25), other)
        run(convert(clip, other, tmp_path / "4.mp4", settings=SETTINGS, workers=2, kept=kept))
        films = [(tmp_path / f"{number}.mp4").read_bytes() for number in (1, 2, 3, 4)]
        assert films[0] == films[1] == alone
        assert len(set(films)) == 3
    assert workers() == {}


def test_without_anything_that_keeps_them_workers_end_with_the_film(
    clip: Path, swapper: Path, alone: bytes, tmp_path: Path
) -> None:
    run(convert(clip, swapper, tmp_path / "out.mp4", settings=SETTINGS, workers=2))
    assert workers() == {}
    assert (tmp_path / "out.mp4").read_bytes() == alone


def test_workers_that_die_while_they_wait_are_replaced(
    clip: Path, swapper: Path, alone: bytes, tmp_path: Path
) -> None:
    with Kept() as kept:
        run(convert(clip, swapper, tmp_path / "1.mp4", settings=SETTINGS, workers=2, kept=kept))
        first = workers()
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        run(convert(clip, swapper, tmp_path / "2.mp4", settings=SETTINGS, workers=2, kept=kept))
        assert not first.keys() & workers().keys()
    assert (tmp_path / "2.mp4").read_bytes() == alone


def test_a_stopped_or_refused_clip_leaves_the_next_one_alone(
    clip: Path, swapper: Path, alone: bytes, tmp_path: Path
) -> None:
    with Kept() as kept:
        events = convert(clip, swapper, tmp_path / "1.mp4", settings=SETTINGS, workers=2, kept=kept)
        for event in events:
            if getattr(event, "stage", None) == "convert":
                break
        events.close()
        (tmp_path / "2.mp4").write_bytes(b"of somebody")
        with pytest.raises(OutputExistsError):
            run(convert(clip, swapper, tmp_path / "2.mp4", settings=SETTINGS, workers=2, kept=kept))
        run(convert(clip, swapper, tmp_path / "3.mp4", settings=SETTINGS, workers=2, kept=kept))
        run(convert(clip, swapper, tmp_path / "1.mp4", settings=SETTINGS, workers=2, kept=kept))
        assert len(workers()) == 2
    assert (tmp_path / "3.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes() == alone
    deadline_s = time.monotonic() + 10
    while workers() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert workers() == {}

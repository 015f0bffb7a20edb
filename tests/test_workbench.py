"""What a lane keeps from job to job: memory that is taken once, and networks as long as their files last."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from emulated_place import EmulatedPlace
from make_model import make_swapper

from crossface.engine.analyze import analyze
from crossface.engine.clip import ReadingSettings
from crossface.engine.events import Progress
from crossface.engine.jobs.plan import Segment
from crossface.engine.jobs.watching import Watcher
from crossface.engine.on_device.workbench import Workbench
from crossface.engine.settings import AnalysisSettings

FRAMES = 6


def test_analyses_one_after_the_other_take_no_more_memory(clips: Path) -> None:
    """A worker does job after job on one lane, which frees nothing before its end."""
    place, clip = EmulatedPlace(), clips / "single_face.mp4"
    with place.lane() as lane:
        bench = Workbench(place, lane)
        taken = []
        for _ in range(4):
            watcher = Watcher(clip, AnalysisSettings(), ReadingSettings(), bench=bench)
            with closing(watcher.watch(Segment(0, 0, FRAMES, None, None))) as frames:
                assert sum(len(frame.faces) for frame in islice(frames, FRAMES)) == FRAMES
            taken.append(lane.allocated_bytes)
    # But for the rings that records go through, which fill in the first runs.
    assert taken[-1] - taken[1] < 0.1 * taken[0]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_analysis_that_is_left_ends_before_its_lane(clips: Path, tmp_path: Path) -> None:
    place, output = EmulatedPlace(), tmp_path / "shot.faces"
    with closing(analyze(clips / "single_face.mp4", output, device=place)) as events:
        frames = 0
        while frames < 3:
            event = next(events)
            frames = event.frame if isinstance(event, Progress) else 0
    assert len(place.lanes) == 1 and not output.exists()


def test_a_model_that_was_replaced_is_loaded_anew(tmp_path: Path) -> None:
    place, model = EmulatedPlace(), make_swapper(tmp_path / "model.onnx")
    with place.lane() as lane:
        bench = Workbench(place, lane)
        first = bench.networks({None: model}, batch=2)[None]
        assert bench.networks({None: model}, batch=2)[None] is first
        make_swapper(tmp_path / "other.onnx", gain=0.5).replace(model)
        second = bench.networks({None: model}, batch=2)[None]
    assert second is not first and second.sha256 != first.sha256

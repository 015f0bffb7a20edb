"""Swapping on a lane does what it does on the CPU: several networks and sizes, faces over each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from emulated_place import EmulatedPlace
from make_model import make_swapper, oval
from numpy.typing import NDArray

from crossface.engine.clip import Clip
from crossface.engine.convert import ConversionSettings, convert
from crossface.engine.errors import DeviceUnavailableError, OutOfMemoryError
from crossface.engine.face.faces_file import FacesFile, FrameFaces
from crossface.engine.frame import Frame
from crossface.engine.on_device.frame import in_host
from crossface.engine.on_device.swap import LaneSwapper
from crossface.engine.on_device.workbench import Workbench
from crossface.engine.provenance.mark.payload import Payload
from crossface.engine.swap.batch import BatchSwapper
from crossface.engine.swap.mask import MaskSettings
from crossface.engine.swap.model import load_swappers
from crossface.engine.swap.steady_match import MatchSettings

FRAMES = 10
MATCH, PLAIN = MatchSettings("reinhard", sharpness=1.0, grain=1.0), MatchSettings("none")
Batch = list[tuple[Frame, FrameFaces]]


@pytest.fixture(scope="module")
def lines(clips: Path, analysed) -> list[FrameFaces]:  # type: ignore[no-untyped-def]
    """Faces of a real clip, and another track over each, faint and aside."""
    found = []
    for line in islice(FacesFile(analysed("single_face.mp4")), FRAMES):
        (face,) = line.faces
        beside = replace(face, track=7, landmarks=face.landmarks + np.array([40.0, 25.0]), presence=0.7)
        found.append(replace(line, faces=(face, beside) if line.pts else (beside, face)))
    return found


def frames(clip: Path) -> Iterator[Frame]:
    with Clip(clip) as opened:
        yield from islice(opened, FRAMES)


def batches(clip: Path, lines: list[FrameFaces], size: int) -> list[Batch]:
    matched = list(zip(frames(clip), lines, strict=True))
    return [matched[n : n + size] for n in range(0, FRAMES, size)]


def planes_of(swapped: list[Batch]) -> list[NDArray[np.int64]]:
    return [plane.astype(np.int64) for batch in swapped for frame, _ in batch for plane in frame.planes]


@pytest.mark.parametrize("enlarge", [1, 2])
def test_two_people_over_each_other(
    clips: Path, lines: list[FrameFaces], tmp_path: Path, enlarge: int
) -> None:
    """In any order, in other sizes: each in its turn, and colours in the order of the frames."""
    models = {
        None: make_swapper(tmp_path / "one.onnx"),
        "7": make_swapper(tmp_path / "other.onnx", enlarge=enlarge, mask=oval(64 * enlarge)[::-1], gain=0.7),
    }
    clip, options = clips / "single_face.mp4", {"match": MATCH, "mask": MaskSettings(), "payload": Payload(7)}
    display = np.eye(2)
    on_cpu = batches(clip, lines, 3)
    cpu = BatchSwapper(load_swappers(models, batch=4), display, **options)  # type: ignore[arg-type]
    assert [warning for done in cpu.swapped(on_cpu) for warning in done.warnings] == []
    place = EmulatedPlace()
    with place.lane() as lane:
        bench = Workbench(place, lane)
        swapper = LaneSwapper(bench, bench.networks(models, batch=4), display, **options)  # type: ignore[arg-type]
        on_lane = batches(clip, lines, 3)
        given = [frame.index for batch in on_lane for frame, _ in batch]
        came = [in_host(frame) for done in swapper.swapped(on_lane) for frame, _ in done.frames]
        assert [frame.index for frame in came] == given and came[0] is on_lane[0][0][0]
        # Twice a batch: for what was measured, and for what was laid; and once for each network's first run.
        assert lane.waits <= 2 * len(on_lane) + 2
    assert swapper.faces == cpu.faces == 2 * FRAMES
    differences = [np.abs(a - b).max() for a, b in zip(planes_of(on_lane), planes_of(on_cpu), strict=True)]
    assert max(differences) <= 1
    for mine, others in zip(swapper.colours, cpu.colours, strict=True):
        assert (mine.frame, mine.track) == (others.frame, others.track)
        # The CPU cuts faces out in 16 bits, up to an eighth of a code off, which moves what counts as skin.
        np.testing.assert_allclose(mine.drawn.mean, others.drawn.mean, atol=3e-4)
        np.testing.assert_allclose(mine.source.covariance, others.source.covariance, atol=3e-4)
        assert mine.texture is not None and others.texture is not None
        np.testing.assert_allclose(mine.texture.numbers(), others.texture.numbers(), rtol=0.02, atol=1e-6)


def test_what_is_given_up_gives_its_memory_back(clips: Path, lines: list[FrameFaces], swapper: Path) -> None:
    """Stopped again and again, a lane takes no more memory than for its first batches."""
    place, clip = EmulatedPlace(), clips / "single_face.mp4"
    with place.lane() as lane:
        bench = Workbench(place, lane)
        networks = bench.networks({None: swapper}, batch=4)
        taken = []
        for _ in range(12):
            stream = LaneSwapper(bench, networks, np.eye(2), match=PLAIN, mask=MaskSettings()).swapped(
                batches(clip, lines, 2)
            )
            next(stream)
            stream.close()
            taken.append(lane.allocated_bytes)
        # The first rounds fill the rings that records go through.
        assert taken[8] == taken[-1]
        bench.uploader = type(bench.uploader)(lane, most=2)
        stream = LaneSwapper(bench, networks, np.eye(2), match=PLAIN, mask=MaskSettings()).swapped(
            batches(clip, lines, 3)
        )
        with pytest.raises(OutOfMemoryError):
            next(stream)


def test_a_match_by_histograms_is_for_cpus(clips: Path, swapper: Path, tmp_path: Path) -> None:
    """Asked for a device it is refused, before anything is made."""
    place, output = EmulatedPlace(), tmp_path / "out.mp4"
    settings = ConversionSettings(colour="hist")
    with pytest.raises(DeviceUnavailableError, match="hist"):
        list(convert(clips / "single_face.mp4", swapper, output, settings=settings, device=place))
    assert not output.exists()

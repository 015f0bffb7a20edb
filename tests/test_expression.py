"""What the expression benchmark prints, against faces whose numbers are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import av
import bench_expression
import numpy as np
import pytest
from bench_expression import figures
from hypothesis import given
from hypothesis import strategies as st
from judges import measures, pose, sharpness
from judges.command import Figures, reading, watch_files
from judges.watch import embeddings
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from crossface.engine.clip import Clip
from crossface.engine.errors import BadInputError, UsageError

Points = NDArray[np.float64]


def faces(count: int, seed: int = 0) -> Points:
    """Landmarks ``[count, 68, 2]`` without any sense, of about 100 px."""
    return np.random.default_rng(seed).uniform(0.0, 100.0, (count, 68, 2))


def talking(openings: Points) -> Points:
    """Faces of an eye distance of 50 px, with gaps between the inner lips in px."""
    landmarks = np.repeat(faces(1), len(openings), axis=0)
    landmarks[:, 36], landmarks[:, 45] = (20.0, 40.0), (70.0, 40.0)
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        landmarks[:, upper] = (40.0 + upper, 70.0)
        landmarks[:, lower] = landmarks[:, upper] + np.stack([np.zeros_like(openings), openings], axis=1)
    return landmarks


def blinking(openings: Points, irises: Points | None = None) -> tuple[Points, Points]:
    """Lids and irises of eyes that are 30 px wide, with gaps in px; irises at a share of the width."""
    count = len(openings)
    irises = np.full(count, 0.5) if irises is None else irises
    lids = np.zeros((count, 2, 16, 2))
    # On the picture's left the inner corner is the right one.
    for eye, (inner, outward) in enumerate([(50.0, -1.0), (80.0, 1.0)]):
        lids[:, eye, :9, 0] = inner + outward * np.linspace(0.0, 30.0, 9)
        lids[:, eye, 9:, 0] = inner + outward * np.linspace(0.0, 30.0, 9)[1:8]
        lids[:, eye, 1:8, 1] = openings[:, None] / 2
        lids[:, eye, 9:, 1] = -openings[:, None] / 2
    centres = np.stack([20.0 + 30.0 * irises, 80.0 + 30.0 * irises], axis=1)
    return lids, np.stack([centres, np.zeros_like(centres)], axis=2)


def placed(points: Points, angle: float, scale: float, shift: tuple[float, float]) -> Points:
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ turn.T + shift


anywhere = st.tuples(
    st.floats(-math.pi, math.pi), st.floats(0.2, 5.0), st.tuples(st.floats(-500, 500), st.floats(-500, 500))
)


@given(anywhere)
def test_openings_are_gaps_over_the_eyes_wherever_the_face_is(
    where: tuple[float, float, tuple[float, float]],
) -> None:
    gaps = np.array([0.0, 5.0, 12.5])
    np.testing.assert_allclose(measures.mouth_opening(placed(talking(gaps), *where)), gaps / 50, atol=1e-9)
    lids, irises = blinking(gaps, np.array([0.2, 0.5, 0.9]))
    np.testing.assert_allclose(measures.eye_opening(placed(lids, *where)), gaps / 30, atol=1e-9)
    looked = measures.gaze(placed(lids, *where), placed(irises, *where))
    np.testing.assert_allclose(looked, [0.2, 0.5, 0.9], atol=1e-9)


def test_correlation_is_of_what_moves() -> None:
    source = np.sin(np.arange(50.0))
    assert measures.correlation(source, 3 * source - 1) == pytest.approx(1)
    assert measures.correlation(source, -source) == pytest.approx(-1)
    # Half of the result's variance is its own.
    other = np.cos(np.arange(50.0))
    expected = np.cov(source, source + other)[0, 1] / source.std(ddof=1) / (source + other).std(ddof=1)
    assert measures.correlation(source, source + other) == pytest.approx(expected)
    assert measures.correlation(source, np.full(50, 0.3)) == 0
    assert measures.correlation(np.full(50, 0.3), source) is None
    assert measures.correlation(0.01 * source, source, least_spread=0.02) is None


def test_blinks_are_matched_within_two_frames() -> None:
    source, result = np.full(60, 0.35), np.full(60, 0.25)
    for first in (10, 30, 50):
        source[first : first + 3] = 0.1
    result[14] = 0.1  # two frames late
    result[35] = 0.1  # three frames late
    result[49:51] = 0.1
    assert measures.blinks(source, result) == measures.Blinks(source=3, result=3, both=2)
    assert measures.blinks(source, result).recall == pytest.approx(2 / 3)
    # Half shut is not shut, and eyes that never shut do not blink.
    assert measures.blinks(source, np.where(source < 0.2, 0.2, 0.3)) == measures.Blinks(3, 0, 0)
    assert measures.blinks(np.full(60, 0.3), source).recall is None


@given(anywhere, st.integers(0, 99))
def test_inner_error_is_what_no_similarity_takes_away(
    where: tuple[float, float, tuple[float, float]], seed: int
) -> None:
    source = faces(2, seed)
    source[:, 36], source[:, 45] = (20.0, 40.0), (70.0, 40.0)
    assert measures.inner_error(source, placed(source, *where)).whole == pytest.approx(0, abs=1e-6)
    result = source.copy()
    result[:, 20] += (7.0, -3.0)
    error = measures.inner_error(source, placed(result, *where))
    # SciPy lays the second over the first too, with both at unit size.
    ours, theirs, _ = procrustes(source[0, 17:], result[0, 17:])
    size = np.linalg.norm(source[0, 17:] - source[0, 17:].mean(axis=0))
    expected = 100 * size * np.hypot(*(ours - theirs).T).mean() / 50
    assert error.whole > 0
    first = measures.inner_error(source[:1], placed(result[:1], *where))
    assert first.whole == pytest.approx(expected, rel=1e-6)


def test_a_steady_difference_of_shape_does_not_move_even_as_the_head_turns() -> None:
    source = np.repeat(faces(1), 8, axis=0)
    source[:, 36], source[:, 45] = (20.0, 40.0), (70.0, 40.0)
    result = source.copy()
    result[:, 30:40] += (3.0, 2.0)
    turned = [
        np.stack([placed(f, 0.1 * n, 1 + n / 10, (n, 0)) for n, f in enumerate(s)]) for s in (source, result)
    ]
    steady = measures.inner_error(turned[0], turned[1])
    assert steady.whole > 1
    assert steady.moving == pytest.approx(0, abs=1e-6)
    result[::2, 30:40] -= (6.0, 4.0)
    assert measures.inner_error(source, result).moving == pytest.approx(
        measures.inner_error(source, result).whole, rel=0.2
    )


turns = st.tuples(st.floats(-50, 50), st.floats(-40, 40), st.floats(-180, 180))


def seen_by_a_camera(
    turn: Rotation, scale: float = 60.0, shift: tuple[float, float] = (200.0, 90.0)
) -> Points:
    landmarks = np.zeros((68, 2))
    model = np.array(list(pose.MEAN_FACE.values()))
    landmarks[list(pose.MEAN_FACE)] = scale * turn.apply(model)[:, :2] + shift
    return landmarks


@given(turns, st.floats(5.0, 900.0))
def test_pose_is_found_again(yaw_pitch_roll: tuple[float, float, float], scale: float) -> None:
    turn = Rotation.from_euler("yxz", yaw_pitch_roll, degrees=True)
    found = pose.rotation(seen_by_a_camera(turn, scale))
    np.testing.assert_allclose(found, turn.as_matrix(), atol=1e-6)


@given(turns, st.integers(0, 20))
def test_pose_of_a_shaken_face_is_the_best_one(yaw_pitch_roll: tuple[float, float, float], seed: int) -> None:
    """No rotation nearby explains the landmarks better: by the errors in the picture, with the best scale."""
    turn = Rotation.from_euler("yxz", yaw_pitch_roll, degrees=True)
    seen = seen_by_a_camera(turn) + np.random.default_rng(seed).normal(0, 1.0, (68, 2))
    model = np.array(list(pose.MEAN_FACE.values()))
    model -= model.mean(axis=0)
    centred = seen[list(pose.MEAN_FACE)] - seen[list(pose.MEAN_FACE)].mean(axis=0)

    def error(matrix: NDArray[np.float64]) -> float:
        flat = (model @ matrix.T)[:, :2]
        return float(((centred - flat * (flat * centred).sum() / (flat * flat).sum()) ** 2).sum())

    found = pose.rotation(seen)
    least = error(found)
    for axis in np.eye(3):
        for angle in (-0.01, 0.01):
            assert error(Rotation.from_rotvec(angle * axis).as_matrix() @ found) >= least
    assert pose.angle_deg(found, turn.as_matrix()) < 12


def test_pose_error_parts_what_stays_from_what_moves() -> None:
    source = Rotation.from_euler("yxz", [[n, n / 2, 3 * n] for n in range(-10, 10)], degrees=True)
    lower_chin = Rotation.from_euler("x", 8, degrees=True)
    steady = measures.pose_error(source.as_matrix(), (source * lower_chin).as_matrix())
    assert (steady.whole, steady.moving) == pytest.approx((8, 0), abs=1e-6)
    shaken = source * Rotation.from_euler("y", [[(-1) ** n * 5] for n in range(20)], degrees=True)
    error = measures.pose_error(source.as_matrix(), shaken.as_matrix())
    assert (error.whole, error.moving) == pytest.approx((5, 5), abs=1e-6)
    # The spread is what a head that stands still gets, however it is held.
    still = measures.pose_error(source.as_matrix(), np.repeat(lower_chin.as_matrix()[None], 20, axis=0))
    assert still.moving == pytest.approx(still.spread, abs=1e-9)
    turned = source.mean().inv() * source
    assert still.spread == pytest.approx(np.degrees(turned.magnitude()).mean(), rel=0.01) and still.spread > 5


def test_landmarks_in_one_place_have_no_pose() -> None:
    for nowhere in (np.zeros((68, 2)), np.full((68, 2), np.nan)):
        with pytest.raises(ValueError, match="have no pose"):
            pose.rotation(nowhere)


def test_identity_change_is_the_share_of_the_way() -> None:
    random = np.random.default_rng(0)
    here, way, aside = random.normal(size=(3, 128))
    aside -= way * (aside @ way) / (way @ way)
    target = np.stack([here + way, here + way])
    for share in (0.0, 0.4, 1.0):
        made = (here + share * way + aside)[None]
        assert measures.identity_change(here[None], made, target) == pytest.approx(share)
    with pytest.raises(ValueError, match="same person"):
        measures.identity_change(here[None], target, here[None])


def test_sharpness_of_a_wave() -> None:
    x = np.arange(240)
    for period in (8, 12, 40):
        w = 2 * math.pi / period
        luma = np.broadcast_to(0.5 + 0.3 * np.sin(w * x), (62, 240))
        picture = np.repeat(luma[None], 3, axis=0).astype(np.float32)
        everywhere = np.ones((62, 240), np.float32)
        everywhere[:, 1:1] = 0
        # Whole periods, so that sines are averaged over as they should be.
        everywhere[:, 1 + 238 // period * period :] = 0
        root = 0.3 / math.sqrt(2)
        assert sharpness.edges(picture, everywhere) == pytest.approx(root * math.sin(w), rel=1e-4)
        assert sharpness.detail(picture, everywhere) == pytest.approx(root * (2 - 2 * math.cos(w)), rel=1e-4)
        assert sharpness.edges(picture, np.zeros_like(everywhere)) == 0


def compare(source: Path, result: Path, span: str | None, target: NDArray[np.float64] | None) -> Figures:
    return figures(watch_files(source, result, span), target)


@pytest.fixture(scope="module")
def target(clips: Path) -> NDArray[np.float64]:
    with Clip(clips / "WolfgangLanger_Pexels.mp4", reading("10-13")) as clip:
        return embeddings(clip, every=20)


@pytest.mark.needs_judges
def test_a_clip_against_itself_is_untouched(clips: Path, target: NDArray[np.float64], tmp_path: Path) -> None:
    clip = clips / "single_face.mp4"
    with Clip(clip, reading("0.4-1")) as frames:
        part = remade(
            tmp_path / "part.mp4", [f.source.to_ndarray(format="yuv420p") for f in frames if f.source]
        )
    found = compare(clip, part, "0.4-1", target)
    assert found["frames"] == found["frames_with_face"] == 18
    for name in ("face_share", "sharpness_ratio", "fine_detail_ratio", "blink_recall"):
        assert found[name] == pytest.approx(1), name
    for name in ("mouth_correlation", "eye_correlation"):
        assert found[name] == pytest.approx(1), name
    for name in ("inner_error_pct", "inner_error_moving_pct", "pose_deg", "pose_moving_deg"):
        assert found[name] == pytest.approx(0, abs=1e-6), name
    assert found["identity_change"] == pytest.approx(0, abs=1e-9)
    assert found["identity_distance"] == pytest.approx(0, abs=1e-9)
    # He looks straight on: nothing to follow.
    assert found["gaze_correlation"] is None
    assert found["blinks"] == 1


def remade(path: Path, pictures: list[NDArray[np.uint8]], rate: int = 30) -> Path:
    """A clip without loss of 640 x 360 pictures in yuv420p."""
    with av.open(str(path), "w") as container:
        # The codec of the source: chroma lies where it lay there.
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.needs_judges
def test_a_frozen_soft_face_is_told(clips: Path, tmp_path: Path) -> None:
    """The first frame for ever, blurred a little: a swap that keeps neither expression nor sharpness."""
    clip = clips / "single_face.mp4"
    with Clip(clip, reading("0.4-1")) as frames:
        pictures = [f.source.to_ndarray(format="yuv420p") for f in frames if f.source]
    soft = pictures[0].copy()
    soft[:360] = gaussian_filter(pictures[0][:360].astype(float), 1.5).round()
    found = compare(clip, remade(tmp_path / "frozen.mp4", [soft] * len(pictures)), "0.4-1", None)
    assert found["mouth_correlation"] == found["eye_correlation"] == 0
    assert (found["blinks"], found["blinks_of_result"], found["blink_recall"]) == (1, 0, 0)
    moving, share = found["inner_error_moving_pct"], found["sharpness_ratio"]
    assert moving is not None and moving > 1
    assert share is not None and 0.3 < share < 0.9
    fine = found["fine_detail_ratio"]
    assert fine is not None and fine < share
    assert found["identity_change"] is None


@pytest.mark.needs_judges
def test_other_clips_are_refused(clips: Path, tmp_path: Path) -> None:
    clip = clips / "single_face.mp4"
    with Clip(clip, reading("-0.2")) as frames:
        pictures = [f.source.to_ndarray(format="yuv420p") for f in frames if f.source]
    with pytest.raises(BadInputError, match="ends before frame 4: give the source"):
        compare(clip, remade(tmp_path / "short.mp4", pictures[:4]), "-0.2", None)
    with pytest.raises(BadInputError, match="not of the source's time"):
        compare(clip, remade(tmp_path / "slow.mp4", pictures, rate=24), "-0.2", None)
    with pytest.raises(BadInputError, match="another size"):
        compare(clip, clips / "face_noface.mov", None, None)
    blank = remade(tmp_path / "blank.mp4", [np.full_like(pictures[0], 128)] * len(pictures))
    with pytest.raises(BadInputError, match="0 frames with a face"):
        compare(clip, blank, "-0.2", None)
    with pytest.raises(UsageError, match="no range"):
        reading("9.5")


@pytest.mark.needs_judges
def test_the_script_converts_and_writes(
    clips: Path,
    swapper: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written = tmp_path / "result.json"
    arguments = [str(swapper), str(clips / "single_face.mp4"), "--range", "0-0.3", "--json", str(written)]
    monkeypatch.setattr("sys.argv", ["bench_expression.py", *arguments])
    bench_expression.main()
    result = json.loads(written.read_text())
    assert result["architecture"] == "inverting" and result["range_s"] == "0-0.3"
    found = result["figures"]
    assert found["frames"] == found["frames_with_face"] == 9
    assert found["identity_distance"] > 0.3
    assert found["inner_error_pct"] > 0.5
    assert found["face_share"] == 1 and found["blinks"] == 0 and found["blink_recall"] is None
    assert "face_share" in capsys.readouterr().out

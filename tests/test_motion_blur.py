"""A new face on a fast way gets the plate's blur: on pans of a real clip, whose blur is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crossface.engine.clip import Clip
from crossface.engine.errors import DeviceUnavailableError
from crossface.engine.face.faces_file import FacesFile, FrameFaces
from crossface.engine.frame import Frame
from crossface.engine.on_device.drawing import check_match
from crossface.engine.on_device.frame import in_host
from crossface.engine.settings import ConversionSettings
from crossface.engine.swap.batch import BatchSwapper
from crossface.engine.swap.mask import MaskSettings
from crossface.engine.swap.model import Swappers, load_swappers
from crossface.engine.swap.motion_blur import motion_blurred, shutter_share
from crossface.engine.swap.steady_match import MatchSettings

MODEL = Path(__file__).parents[1] / "samples" / "demo.onnx"
Still = tuple[Frame, FrameFaces]
Film = list[Still]


@pytest.fixture(scope="module")
def still(clips: Path, analysed: Callable[[str], Path]) -> Still:
    with Clip(clips / "single_face.mp4") as clip:
        frame = in_host(next(iter(clip)))
        y, u, v = frame.planes
        return replace(frame, planes=(y.copy(), u.copy(), v.copy()), source=None), next(
            iter(FacesFile(analysed("single_face.mp4")))
        )


@pytest.fixture(scope="module")
def swappers() -> Swappers:
    return load_swappers({None: MODEL}, batch=1, threads=1)


def pan(still: Still, way_px: tuple[int, int], share: float, count: int = 3) -> Film:
    """The camera moves; of each frame's way it sees a share, in steps of a px around the place itself."""
    frame, line = still
    film = []
    for index in range(count):
        planes = []
        for plane, scale in zip(frame.planes, (1, 2, 2), strict=True):
            steps = max(int(max(map(abs, way_px)) * share), 1)
            exposures = [
                np.roll(plane, [round((index + t) * each / scale) for each in way_px[::-1]], axis=(0, 1))
                for t in ((np.arange(steps) + 0.5) / steps - 0.5) * share
            ]
            planes.append(np.round(np.mean(exposures, axis=0)).astype(np.uint8))
        shown = replace(frame, planes=tuple(planes), index=index, pts=index)
        face = line.faces[0]
        moved = replace(face, landmarks=face.landmarks + index * np.array(way_px))
        film.append((shown, replace(line, pts=index, faces=(moved,))))
    return film


def converted(
    film: Film, swappers: Swappers, *, motion_blur: bool, first: int = 0
) -> list[NDArray[np.uint8]]:
    """The luma of each frame; with ``first`` those before it are converted by somebody else."""
    match = MatchSettings(motion_blur=motion_blur)
    found = []
    measured = ()
    for part in (film[:first], film[first:]):
        frames = [
            (replace(frame, planes=tuple(plane.copy() for plane in frame.planes)), line)
            for frame, line in part
        ]
        swapper = BatchSwapper(swappers, np.eye(2), match=match, mask=MaskSettings(), measured=measured)
        for _ in swapper.swapped([[each] for each in frames]):
            pass
        measured = tuple(swapper.colours)
        found += [np.asarray(frame.planes[0]) for frame, _ in frames]
    return found


def strengths(luma: NDArray[np.uint8], line: FrameFaces) -> NDArray[np.float64]:
    """Of edges in the middle of the face: mean squares of luma's differences in x and y."""
    landmarks = line.faces[0].landmarks
    x0, y0, x1, y1 = (
        *np.nanpercentile(landmarks, 25, axis=0).astype(int),
        *np.nanpercentile(landmarks, 75, axis=0).astype(int),
    )
    part = luma[y0:y1, x0:x1].astype(float)
    return np.array([np.square(np.diff(part, axis=axis)).mean() for axis in (1, 0)])


@pytest.mark.parametrize("way_px", [(28, 0), (-28, 0), (0, 28)])
def test_a_face_on_a_fast_way_is_blurred_along_it_as_the_plate_is(
    still: Still, swappers: Swappers, way_px: tuple[int, int]
) -> None:
    along = int(way_px[0] == 0)
    film, sharp = pan(still, way_px, 0.5), pan(still, way_px, 0.0)
    plain, blurred = (converted(film, swappers, motion_blur=each) for each in (False, True))
    np.testing.assert_array_equal(plain[0], blurred[0], err_msg="the first frame's way is not known")
    for n in (1, 2):
        before, after = (strengths(each[n], film[n][1]) for each in (plain, blurred))
        left = after / before
        assert left[along] < 0.75 * left[1 - along]
        # But no more than the plate.
        plates = strengths(film[n][0].planes[0], film[n][1]) / strengths(sharp[n][0].planes[0], film[n][1])
        assert left[along] > plates[along] and left[1 - along] > plates[1 - along]


@pytest.mark.parametrize(("way_px", "share"), [((28, 0), 0.0), ((0, 28), 0.0), ((5, 0), 1.0), ((0, 0), 0.0)])
def test_neither_a_sharp_plate_nor_a_slow_one_is_blurred(
    still: Still, swappers: Swappers, way_px: tuple[int, int], share: float
) -> None:
    film = pan(still, way_px, share)
    plain, blurred = (converted(film, swappers, motion_blur=each) for each in (False, True))
    np.testing.assert_array_equal(plain, blurred)


def test_it_does_not_depend_on_how_work_is_split_and_stops_at_a_cut(still: Still, swappers: Swappers) -> None:
    film = pan(still, (28, 0), 0.5)
    whole, parts = (converted(film, swappers, motion_blur=True, first=first) for first in (0, 2))
    np.testing.assert_array_equal(whole, parts)
    film[2] = film[2][0], replace(film[2][1], shot=1)
    plain, cut = (converted(film, swappers, motion_blur=each) for each in (False, True))
    np.testing.assert_array_equal(plain[2], cut[2])


def test_a_blur_is_the_mean_over_the_shutters_share_of_the_way() -> None:
    """Against NumPy: of a face that has no edges along its way but one, and a plate where it is smeared."""
    rng = np.random.default_rng(4)
    sharp = np.repeat(np.repeat(rng.random((16, 16)), 8, axis=0), 8, axis=1).astype(np.float32)
    drawn, mask = np.stack([sharp] * 3), np.ones(sharp.shape, np.float32)
    smeared = np.mean([np.roll(drawn, n - 4, axis=2) for n in range(9)], axis=0).astype(np.float32)
    way = np.array([18.0, 0.0])
    share = shutter_share(drawn, smeared, mask, way)
    assert 0.25 < share < 0.75
    assert shutter_share(drawn, drawn, mask, way) == 0
    assert motion_blurred(drawn, drawn, mask, way) is drawn
    found = motion_blurred(drawn, smeared, mask, way)
    centres = np.arange(128)
    times = (np.arange(400) + 0.5) / 400 - 0.5
    expected = np.mean(
        [
            np.array([np.interp(np.clip(centres + t * share * 18, 0, 127), centres, row) for row in sharp])
            for t in times
        ],
        axis=0,
    )
    assert np.abs(found[0] - expected).max() < 0.05


def test_it_is_for_cpus_and_off_unless_asked_for() -> None:
    assert not ConversionSettings().motion_blur and not ConversionSettings().match.motion_blur
    with pytest.raises(DeviceUnavailableError, match="--motion-blur is for CPUs"):
        check_match(ConversionSettings(motion_blur=True).match)

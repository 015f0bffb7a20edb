"""Points of a face: which they are, how they move with the picture, and what two people differ in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.training.audit.pose import SHAPE
from crossface.training.augment import Augmentation, augment
from crossface.training.face_points import MIRRORED, POINTS, FacePoints, Watched, at_rest, face_points, watch
from crossface.training.seeds import generator

SIDE_PX = 96
LIPS = [POINTS.index(index) for index in (0, 13, 14, 17, 61, 78, 291, 308)]
LOWER_LIP = [POINTS.index(index) for index in (14, 17)]
BROWS = [POINTS.index(index) for index in (55, 63, 66, 70, 105, 107, 285, 293, 296, 300, 334, 336)]

Points = NDArray[np.float64]


def _turned(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Points:
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    c, s = np.cos, np.sin
    about_y = np.array([[c(yaw), 0, s(yaw)], [0, 1, 0], [-s(yaw), 0, c(yaw)]])
    about_x = np.array([[1, 0, 0], [0, c(pitch), -s(pitch)], [0, s(pitch), c(pitch)]])
    about_z = np.array([[c(roll), -s(roll), 0], [s(roll), c(roll), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _landmarks(own: Points, open_: Points, poses: Points) -> Points:
    """Mesh points `[N,468,2]`, px: a face of one form `[K,2]` that opens its mouth, held as told."""
    landmarks = np.full((len(poses), 468, 2), SIDE_PX / 2)
    shape = np.array([SHAPE[index] for index in POINTS])
    for face, (gap, pose) in enumerate(zip(open_, poses, strict=True)):
        plane = own.copy()
        plane[LOWER_LIP, 1] += gap
        solid = np.column_stack([plane, shape[:, 2]])
        landmarks[face, POINTS] = SIDE_PX * (0.6 * solid @ _turned(*pose).T[:, :2] + 0.5)
    return landmarks


def _people(seed: int) -> tuple[Points, Points]:
    """Two symmetric faces, of different mouths and brows; what the pose is fitted to is the same in both."""
    random = np.random.default_rng(seed)
    plane = np.array([SHAPE[index][:2] for index in POINTS])
    mirrored = MIRRORED.numpy()
    people = []
    for _ in range(2):
        form = np.zeros_like(plane)
        form[LIPS + BROWS] = random.normal(0, 0.02, (len(LIPS + BROWS), 2))
        people.append(plane + (form + form[mirrored] * (-1, 1)) / 2)
    return people[0], people[1]


def _watched(landmarks: Points) -> Watched:
    grey = torch.full((len(landmarks), 3, SIDE_PX, SIDE_PX), 128, dtype=torch.uint8)
    return watch(grey, landmarks)


def test_each_point_has_its_counterpart() -> None:
    pairs = {33: 263, 133: 362, 61: 291, 159: 386, 145: 374, 105: 334, 58: 288, 13: 13, 152: 152}
    for one, other in pairs.items():
        assert POINTS[int(MIRRORED[POINTS.index(one)])] == other
    assert MIRRORED[MIRRORED].tolist() == list(range(len(POINTS)))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_points_are_where_the_picture_shows_them(flip: float) -> None:
    """Blobs of light at the corners of eyes and mouth, each of a colour, are found again by their pixels."""
    side_px, span = 128, 0.75
    marked = (33, 263, 61)
    count = 4
    random = torch.Generator().manual_seed(3)
    places = 0.5 * torch.rand(count, len(POINTS), 2, generator=random) - 0.25
    # Apart from each other, so that blobs do not run together.
    for index, corner in zip(marked, ((-0.3, -0.2), (0.3, -0.25), (-0.2, 0.3)), strict=True):
        places[:, POINTS.index(index)] = torch.tensor(corner) + 0.05 * torch.rand(count, 2, generator=random)
    axis = (torch.arange(side_px) + 0.5) * 2 / side_px - 1
    pixels = torch.zeros(count, 5, side_px, side_px)
    for channel, index in enumerate(marked):
        x, y = places[:, POINTS.index(index)].unbind(1)
        apart = (axis[None, None, :] - x[:, None, None]) ** 2 + (axis[None, :, None] - y[:, None, None]) ** 2
        pixels[:, channel] = torch.exp(-apart / (2 * 0.04**2))
    stored = FacePoints(places, torch.ones(count, 1), torch.eye(2).expand(count, 2, 2), places)
    moving = replace(Augmentation(), flip=flip, gain=0, gamma=0)
    pixels = (pixels * 255).round().to(torch.uint8)
    batch = augment(pixels, span, 96, generator(5), moving, stored)
    assert batch.points is not None
    centre = (torch.arange(96) + 0.5) * 2 / 96 - 1
    for channel, index in enumerate(marked):
        seen = batch.target[:, channel]
        weight = seen.sum(dim=(1, 2))
        x, y = (seen.sum(dim=1) * centre).sum(1) / weight, (seen.sum(dim=2) * centre).sum(1) / weight
        # In a mirrored picture the right eye's corner is that of the left one.
        named = {33: 263, 263: 33, 61: 291}[index] if flip else index
        found = batch.points.places[:, POINTS.index(named)]
        torch.testing.assert_close(found, torch.stack((x, y), dim=1), atol=0.006, rtol=0)


@given(
    seed=st.integers(0, 99),
    yaw_deg=st.floats(-30, 30),
    pitch_deg=st.floats(-15, 15),
    roll_deg=st.floats(-10, 10),
    gap=st.floats(0, 0.15),
    mirrored=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_a_face_that_does_the_same_is_found_from_the_others(
    seed: int, yaw_deg: float, pitch_deg: float, roll_deg: float, gap: float, mirrored: bool
) -> None:
    """Two people in one pose with one open mouth: what A's points lack is known without seeing B's."""
    faces, still = (_people(seed), (np.zeros(1), np.zeros((1, 3))))
    pose = np.array([[yaw_deg, pitch_deg, roll_deg]])
    made, rests = [], []
    for own in faces:
        # One face at rest, straight ahead, and one that acts.
        landmarks = np.concatenate([_landmarks(own, *still), _landmarks(own, np.array([gap]), pose)])
        points = face_points(_watched(landmarks), landmarks, SIDE_PX).at(slice(1, 2))
        angle, size = 0.1, 1.05
        turn = size * torch.tensor(
            [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], dtype=torch.float32
        )
        move = torch.diag(torch.tensor((-1.0 if mirrored else 1.0, 1.0))) @ turn
        made.append(points.moved(move[None], torch.tensor([[0.02, -0.03]]), 0.75))
        rests.append(points.rest[0])
    a, b = made
    expected = b.places - a.places
    torch.testing.assert_close(a.as_other(rests[1]), expected, atol=2e-3, rtol=0)


def test_one_who_talks_all_the_time_is_at_rest_with_a_shut_mouth() -> None:
    own, _ = _people(1)
    random = np.random.default_rng(2)
    gaps = np.where(np.arange(60) % 5 == 0, 0.0, 0.04 + 0.1 * random.random(60))
    poses = np.column_stack([random.uniform(-35, 35, 60), random.uniform(-10, 10, 60), np.zeros(60)])
    rest = at_rest(_watched(_landmarks(own, gaps, poses)))
    assert np.abs(rest - own).max() < 0.01
    talking = at_rest(_watched(_landmarks(own, np.full(60, 0.1), poses)))
    assert np.abs(talking - own)[LOWER_LIP, 1] == pytest.approx([0.1, 0.1], abs=0.01)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_landmarks_of_no_face_make_no_infinities() -> None:
    own, _ = _people(1)
    face, nothing = _landmarks(own, np.zeros(1), np.zeros((1, 3))), np.full((1, 468, 2), SIDE_PX / 2)
    one_face = np.concatenate([nothing, face, nothing])
    points = face_points(_watched(one_face), one_face, SIDE_PX)
    assert all(bool(torch.isfinite(part).all()) for part in points)
    assert points.rest[0].numpy() == pytest.approx(own, abs=1e-3)
    none = face_points(_watched(nothing), nothing, SIDE_PX)
    assert all(bool(torch.isfinite(part).all()) for part in none)

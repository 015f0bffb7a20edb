"""Epochs that show rare poses and expressions more often, and every face at least once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_faceset import make_faceset
from numpy.typing import NDArray

from crossface.engine.review.png import read_png
from crossface.training.extract import extract
from crossface.training.face_points import watch
from crossface.training.faceset import Faceset
from crossface.training.sampling import BIN_WIDTHS, MOST_REPEATS, measures, one_epoch, repeats_of

WIDTH = np.array([1.0])


@given(
    values=st.lists(st.floats(-40, 40), min_size=1, max_size=60),
    more=st.lists(st.floats(-40, 40), min_size=60, max_size=60),
)
@settings(max_examples=60, deadline=None)
def test_every_face_is_shown_and_none_too_often(values: list[float], more: list[float]) -> None:
    both = np.stack([values, more[: len(values)]], axis=1)
    repeats = repeats_of(both, np.array([1.0, 5.0]))
    assert repeats.min() >= 1 and repeats.max() <= MOST_REPEATS
    assert (repeats >= repeats_of(both[:, :1], WIDTH)).all()


def test_rare_faces_come_nearer_to_common_ones_by_the_root() -> None:
    values = np.repeat([0.0, 5.0, 10.0, 20.0], [400, 100, 44, 4])[:, None]
    repeats = repeats_of(values, WIDTH)
    assert [int(repeats[values[:, 0] == at].max()) for at in (0, 5, 10, 20)] == [1, 2, 3, 4]


def test_a_lone_face_is_not_multiplied_and_equal_ones_are_not_either() -> None:
    values = np.append(np.zeros(500), 30.0)[:, None]
    assert repeats_of(values, WIDTH).tolist() == [1] * 501
    assert repeats_of(np.zeros((9, 1)), WIDTH).tolist() == [1] * 9


def _measured(faceset: Path) -> NDArray[np.float64]:
    records = Faceset.load(faceset).records
    faces = np.stack([read_png(faceset / record.file) for record in records]).transpose(0, 3, 1, 2)
    landmarks = np.stack([record.crop_landmarks() for record in records])
    return measures(watch(torch.from_numpy(np.ascontiguousarray(faces)), landmarks))


def test_drawn_faces_differ_by_their_mouths_alone(tmp_path: Path) -> None:
    values = _measured(make_faceset(tmp_path / "set", 30, (200, 150, 120)))
    assert values.shape == (30, len(BIN_WIDTHS)) and np.isfinite(values).all()
    apart = np.ptp(values, axis=0) / BIN_WIDTHS
    assert apart[3] > 1 and np.delete(apart, 3).max() < 1


def test_a_real_clips_open_mouths_and_turned_heads_come_more_often(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "woman"
    list(extract([clips / "WolfgangLanger_Pexels.mp4"], folder, every=4))
    values = _measured(folder)
    repeats = one_epoch(values).bincount().numpy()
    assert repeats.min() >= 1 and repeats.max() <= MOST_REPEATS
    closed = values[:, 4] < 0.4
    # She blinks, and shuts her eyes for a while.
    assert 0 < closed.sum() < 0.5 * len(values)
    assert repeats[closed].mean() > repeats[~closed].mean()


def test_an_epoch_holds_every_face(tmp_path: Path) -> None:
    values = _measured(make_faceset(tmp_path / "set", 30, (200, 150, 120)))
    values[:3, 0] += 30.0
    epoch = one_epoch(values).bincount().tolist()
    assert epoch[:3] == [3, 3, 3] and all(1 <= count <= MOST_REPEATS for count in epoch)

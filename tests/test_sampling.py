"""Epochs that show rare poses and expressions more often, and every face at least once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from make_faceset import make_faceset

from crossface.engine.face.align import NOSE_TIP
from crossface.training.faceset import FaceRecord, Faceset
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


def _records(folder: Path) -> list[FaceRecord]:
    return Faceset.load(make_faceset(folder / "set", 30, (200, 150, 120))).records


def _moved(record: FaceRecord, **places: tuple[float, float]) -> FaceRecord:
    landmarks = record.landmarks.copy()
    for index, place in places.items():
        landmarks[int(index.removeprefix("p"))] = place
    return dataclasses.replace(record, landmarks=landmarks)


def test_measures_do_not_change_with_scale_and_roll(tmp_path: Path) -> None:
    record = _moved(
        _records(tmp_path)[0], p6=(100, 80), p2=(100, 120), p4=(104, 105), p13=(100, 130), p14=(100, 142)
    )
    (straight,) = measures([record])
    np.testing.assert_allclose(straight[1:3], [25 / 40, 12 / 40], atol=1e-6)
    turn = 3 * np.array([[0.8, -0.6], [0.6, 0.8]])
    turned = dataclasses.replace(record, landmarks=(record.landmarks @ turn.T + 50).astype(np.float32))
    np.testing.assert_allclose(measures([turned])[0], straight, atol=1e-4)


def test_turned_nodding_open_and_closed_faces_lie_in_bins_of_their_own(tmp_path: Path) -> None:
    rest = _moved(_records(tmp_path)[0], p6=(100, 80), p2=(100, 120), p4=(100, 105))
    lid = tuple(rest.landmarks[159].tolist())
    others = [
        dataclasses.replace(rest, yaw_deg=25.0),
        _moved(rest, p4=(100.0, 95.0)),
        _moved(rest, p13=(100, 130), p14=(100, 150)),
        _moved(rest, p145=lid),
    ]
    still = measures([rest])[0]
    assert NOSE_TIP == 4
    for column, other in enumerate(others):
        apart = np.abs(measures([other])[0] - still) / BIN_WIDTHS
        assert apart[column] >= 1 and np.delete(apart, column).max() == 0


def test_an_epoch_holds_every_face(tmp_path: Path) -> None:
    records = _records(tmp_path)
    turned = [dataclasses.replace(record, yaw_deg=30.0) for record in records[:3]]
    epoch = one_epoch(turned + records[3:]).bincount().tolist()
    assert epoch[:3] == [3, 3, 3] and all(1 <= count <= MOST_REPEATS for count in epoch)

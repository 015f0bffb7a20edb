"""Kernels over masks and whole tensors on a device, against the CPU's kernels and plain NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_pictures import DevicePictures, on_each_device, pictures_on
from emulated_lane import EmulatedLane
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_pictures import edge_mask
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.on_device.kernels.masks import MaskKernels
from crossface.engine.on_device.kernels.scratch import Scratch
from crossface.engine.on_device.kernels.values import ValueKernels

both_types = pytest.mark.parametrize("dtype", [np.float32, np.float16])
NO_EDGES = np.empty((0, 3), np.float32)


def polygon(rng: np.random.Generator, size: int, corners: int) -> NDArray[np.float32]:
    """Edges of half planes about a place in the picture."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    normals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inside = rng.uniform(0.3, 0.7, 2) * size
    offsets = normals @ inside - rng.uniform(0.1, 0.6, corners) * size
    return np.column_stack([normals, offsets]).astype(np.float32)


def gaussian(sigma_px: float, radius: int) -> NDArray[np.float32]:
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    return (taps / taps.sum()).astype(np.float32)


def masks_of(rng: np.random.Generator, count: int, size: int, dtype: type) -> NDArray[Any]:
    kinds = ("soft", "oval", "full")
    return np.stack([edge_mask(rng, size, kinds[n % 3]) for n in range(count)]).astype(dtype)


@on_each_device
@both_types
@settings(max_examples=15)
@given(size=st.sampled_from([1, 7, 32, 33, 70]), seed=st.integers(0, 999))
def test_outlines_are_those_of_the_cpu(device: str, dtype: type, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks, items = masks_of(rng, 6, size, dtype), [5, 0, 3, 1]
    masks[1] = 1
    edges = [polygon(rng, size, corners) for corners in (3, 36, 5)] + [NO_EDGES]
    with pictures_on(device) as there:
        tensor = there.tensor(masks)
        MaskKernels(there.lane).outline(tensor, edges, items=items)
        got = there.numbers(tensor)
    wanted = masks.astype(np.float32)
    for item, each in zip(items, edges, strict=True):
        wanted[item] *= kernels.fill(each, size) if len(each) else 0
    np.testing.assert_allclose(got, wanted.astype(dtype), atol=1e-5 if dtype == np.float32 else 1e-3, rtol=0)
    assert not got[1].any()
    np.testing.assert_array_equal(got[[2, 4]], masks[[2, 4]])


@on_each_device
@both_types
@settings(max_examples=12)
@given(
    size=st.sampled_from([1, 8, 31, 64, 90]),
    radius=st.sampled_from([0, 1, 9, 40, 100]),
    border_px=st.floats(1, 20),
    seed=st.integers(0, 999),
)
def test_soft_edges_are_those_of_the_cpu(
    device: str, dtype: type, size: int, radius: int, border_px: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    masks, items = masks_of(rng, 4, size, dtype), [3, 1]
    shares, taps = np.array([0.25, 1], np.float32), gaussian(max(radius / 2.5, 0.3), radius)
    border_px = float(np.float32(border_px))
    with pictures_on(device) as there:
        tensor, out = there.tensor(masks), there.tensor(np.full_like(masks, -1))
        areas = there.tensor(np.full(4, -1.0))
        soften = MaskKernels(there.lane).soften
        soften(tensor, taps, border_px, out, shares=shares, areas=areas, items=items)
        got, got_areas = there.numbers(out), there.numbers(areas)
        np.testing.assert_array_equal(there.numbers(tensor), masks)
        soften(tensor, taps, border_px, tensor)
        whole = there.numbers(tensor)
    slack = 2e-6 if dtype == np.float32 else 6e-4
    for item, mask in enumerate(masks):
        alone = kernels.soften(mask.astype(np.float32), taps, border_px)
        np.testing.assert_allclose(whole[item].astype(np.float32), alone, atol=slack, rtol=0)
        if item in items:
            share = shares[items.index(item)]
            np.testing.assert_allclose(got[item].astype(np.float32), alone * share, atol=slack, rtol=0)
            assert got_areas[item] == pytest.approx(alone.mean(dtype=np.float64), abs=2e-6)
    assert np.all(got[[0, 2]] == -1) and np.all(got_areas[[0, 2]] == -1)


@on_each_device
@both_types
@settings(max_examples=12)
@given(
    size=st.sampled_from([1, 8, 31, 64, 90]), side=st.sampled_from([1, 2, 17, 64]), seed=st.integers(0, 999)
)
def test_masks_are_uncovered_as_on_the_cpu(device: str, dtype: type, size: int, side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks, items = masks_of(rng, 4, size, dtype), [3, 1]
    visible = rng.uniform(-0.2, 1.2, (6, side, side)).astype(np.float32)
    with pictures_on(device) as there:
        tensor = there.tensor(masks)
        MaskKernels(there.lane).uncover(tensor, there.tensor(visible), items=items)
        got = there.numbers(tensor)
    np.testing.assert_array_equal(got[[0, 2]], masks[[0, 2]])
    for item in items:
        alone = masks[item].astype(np.float32)
        kernels.uncover(alone, visible[item])
        slack = 1e-6 if dtype == np.float32 else 6e-4
        np.testing.assert_allclose(got[item].astype(np.float32), alone, atol=slack, rtol=0)


@on_each_device
@pytest.mark.parametrize("there_dtype", [np.float32, np.float16])
@both_types
@pytest.mark.parametrize(
    ("scale", "offset", "low", "high"), [(1, 0, 0, 1), (2, -1, -np.inf, np.inf), (255, 0, -np.inf, np.inf)]
)
def test_pictures_are_prepared_as_numpy_would(
    device: str, dtype: type, there_dtype: type, scale: float, offset: float, low: float, high: float
) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.uniform(-0.3, 1.3, (3, 3, 37, 29)).astype(dtype)
    pictures[0, 0, 0, :2] = np.inf, -np.inf
    with pictures_on(device) as there:
        out = there.empty(pictures.shape, there_dtype)
        ValueKernels(there.lane).prepare(
            there.tensor(pictures), out, scale=scale, offset=offset, low=low, high=high
        )
        got = there.numbers(out)
    wanted = np.clip(pictures.astype(np.float32) * np.float32(scale) + np.float32(offset), low, high)
    np.testing.assert_array_equal(got, wanted.astype(there_dtype))


@on_each_device
def test_what_is_no_number_is_prepared_as_the_lower_limit(device: str) -> None:
    with pictures_on(device) as there:
        tensor = there.tensor(np.array([np.nan, 0.5], np.float32))
        ValueKernels(there.lane).prepare(tensor, tensor, low=0.0, high=1.0)
        np.testing.assert_array_equal(there.numbers(tensor), [0, 0.5])


@on_each_device
@both_types
def test_each_value_that_is_no_number_is_found(device: str, dtype: type) -> None:
    rng = np.random.default_rng(2)
    faces, masks = rng.random((9, 3, 47, 47)).astype(dtype), rng.random((9, 47, 47)).astype(dtype)
    faces[1, 2, 46, 46], faces[2, 0, 0, 0] = np.nan, -np.inf
    masks[4, 46, 46], masks[5, 0, 0] = np.inf, np.nan
    faces[7, 1, 20, 20] = masks[7, 3, 3] = np.nan
    faces[8] = np.finfo(dtype).max
    with pictures_on(device) as there:
        flags = there.empty((9,), np.int32)
        ValueKernels(there.lane).finite([there.tensor(faces), there.tensor(masks)], flags)
        np.testing.assert_array_equal(there.numbers(flags), [1, 0, 0, 1, 0, 0, 1, 0, 1])


def test_masks_cost_one_copy_a_call_and_no_wait() -> None:
    lane, rng = EmulatedLane(), np.random.default_rng(3)
    there = DevicePictures(lane)
    masks, work = there.tensor(masks_of(rng, 4, 33, np.float16)), MaskKernels(lane)
    copies = lane.copies
    work.outline(masks, [polygon(rng, 33, 5)] * 4)
    work.soften(masks, gaussian(2, 5), 1.0, masks, areas=there.empty((4,), np.float64))
    work.uncover(masks, there.empty((4, 9, 9), np.float32))
    assert (lane.copies, lane.waits) == (copies + 3, 0)
    assert [name for name, _ in lane.launched] == [
        "outline_f16",
        "soften_down_f16",
        "soften_across_f16",
        "soften_areas",
        "uncover_f16",
    ]
    work.outline(masks, [])
    work.soften(masks, gaussian(2, 5), 1.0, masks, items=[])
    work.uncover(masks, there.empty((4, 9, 9), np.float32), items=[])
    assert len(lane.launched) == 5


def test_memory_between_launches_grows_in_few_steps() -> None:
    lane = EmulatedLane()
    scratch = Scratch(lane)
    addresses = [scratch.address(bytes) for bytes in (*range(1, 5000), 3)]
    assert len(set(addresses)) <= 14 and addresses[-1] == addresses[-2]


def test_masks_that_do_not_fit_are_refused() -> None:
    there = DevicePictures(EmulatedLane())
    masks, taps = there.empty((2, 8, 8), np.float32), gaussian(1, 3)
    work, values = MaskKernels(there.lane), ValueKernels(there.lane)
    with pytest.raises(ValueError, match=r"edges: must be finite, \[K, 3\]"):
        work.outline(masks, [np.zeros((4, 2), np.float32)])
    with pytest.raises(ValueError, match="edges: must be finite"):
        work.outline(masks, [np.full((4, 3), np.nan, np.float32)])
    with pytest.raises(ValueError, match="items: must be one for each of the 3 faces"):
        work.outline(masks, [NO_EDGES] * 3, items=[0])
    with pytest.raises(ValueError, match="items: must be 0 to 1"):
        work.outline(masks, [NO_EDGES] * 3)
    with pytest.raises(ValueError, match="items: must differ"):
        work.outline(masks, [NO_EDGES] * 2, items=[1, 1])
    with pytest.raises(ValueError, match="masks: must be"):
        work.outline(replace(masks, shape=(2, 8, 9)), [])
    with pytest.raises(ValueError, match="out: must be float32"):
        work.soften(masks, taps, 1.0, replace(masks, dtype=np.dtype(np.float16)))
    with pytest.raises(ValueError, match="odd number"):
        work.soften(masks, taps[1:], 1.0, masks)
    with pytest.raises(ValueError, match="border_px"):
        work.soften(masks, taps, 0.5, masks)
    with pytest.raises(ValueError, match="shares: must be finite"):
        work.soften(masks, taps, 1.0, masks, shares=np.array([1, np.nan], np.float32))
    with pytest.raises(ValueError, match="areas: must be float64"):
        work.soften(masks, taps, 1.0, masks, areas=masks)
    with pytest.raises(ValueError, match="visible: must be float32"):
        work.uncover(masks, there.empty((2, 8, 8), np.float16))
    with pytest.raises(ValueError, match="visible: must have room for 2 faces"):
        work.uncover(masks, there.empty((1, 8, 8), np.float32))
    with pytest.raises(ValueError, match="out: must be float16"):
        values.prepare(masks, there.empty((2, 8, 9), np.float16))
    with pytest.raises(ValueError, match="out: must be int32"):
        values.finite([masks], there.empty((3,), np.int32))
    with pytest.raises(ValueError, match="float32 or float16"):
        values.prepare(masks, there.empty((2, 8, 8), np.int32))
    assert there.lane.launched == []

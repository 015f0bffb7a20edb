"""Frames on their way to a device and back: every byte, whatever the format and its gaps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from device_pictures import DevicePictures, on_each_device, pictures_on
from emulated_decoder import EmulatedPicture
from emulated_lane import EmulatedLane
from hypothesis import given
from hypothesis import strategies as st
from noise_pictures import UNCHANGED, Picture, copy_frame, edge_mask, similarity
from numpy.typing import NDArray
from test_cuda_kernels import noise
from test_kernels import Placement, few, pictures, placements

from crossface.engine import kernels
from crossface.engine.errors import OutOfMemoryError
from crossface.engine.frame import Frame, Siting
from crossface.engine.on_device.download import Downloader, touched_rows
from crossface.engine.on_device.frame import LaneFrame
from crossface.engine.on_device.nvdec import device_planes
from crossface.engine.on_device.upload import Uploader
from crossface.engine.video.colour import ColourTags, tags_of
from crossface.engine.video.planes import planes_of


def fields_of(frame: Frame) -> list[Frame]:
    return [
        replace(
            frame,
            planes=tuple(plane[row::2] for plane in frame.planes),
            row_offset=(-0.25, 0.25)[row],
            whole=frame,
        )
        for row in (0, 1)
    ]


def lay(
    there: DevicePictures, frame: LaneFrame, place: Placement, face: NDArray[Any], mask: NDArray[Any]
) -> None:
    touched = there.empty((1,), np.int32)
    faces, masks = there.tensor(face[None]), there.tensor(mask[None])
    there.kernels.blend([frame.planes], [0], place.matrix[None], faces, masks, UNCHANGED[None], touched)


def same_bits(plane: NDArray[Any], other: NDArray[Any]) -> bool:
    return plane.tobytes() == other.tobytes()


@on_each_device
@few
@given(picture=pictures(), in_fields=st.booleans(), seed=st.integers(0, 9))
def test_what_comes_back_is_what_went_up(device: str, picture: Picture, in_fields: bool, seed: int) -> None:
    frame, before = picture.frame, [memory.copy() for memory in picture.memory]
    with pictures_on(device) as there:
        uploader, downloader = Uploader(there.lane), Downloader(there.lane)
        in_fields = in_fields and frame.height % (2 << frame.colour.chroma_shift_y) == 0
        sent = [uploader.upload(each) for each in (fields_of(frame) if in_fields else [frame])]
        # The host's memory is free at once.
        for memory in picture.memory:
            memory[:] = seed
        for each in sent:
            downloader.fetch(each)
        there.lane.synchronize()
        landed = [downloader.land(each) for each in sent]
    assert all(each is lane_frame.host for each, lane_frame in zip(landed, sent, strict=True))
    for plane, old in zip(frame.planes, _views(picture, before), strict=True):
        assert same_bits(plane, old)


def _views(picture: Picture, memory: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The frame's planes in a copy of its memory."""
    found = []
    for plane in picture.frame.planes:
        number = next(n for n, own in enumerate(picture.memory) if np.shares_memory(own, plane))
        offset = plane.ctypes.data - picture.memory[number].ctypes.data
        found.append(
            np.ndarray(plane.shape, plane.dtype, memory[number].data, offset, plane.strides)  # type: ignore[call-overload]
        )
    return found


@on_each_device
@few
@given(
    picture=pictures(),
    place=placements(),
    kind=st.sampled_from(["full", "soft", "oval"]),
    seed=st.integers(0, 99),
)
def test_a_face_comes_back_with_its_rows(
    device: str, picture: Picture, place: Placement, kind: str, seed: int
) -> None:
    """And nothing else changes: it is what a blend leaves of which all comes back."""
    frame, expected = picture.frame, copy_frame(picture.frame)
    rng = np.random.default_rng(seed)
    face, mask = rng.random((3, place.size, place.size), np.float32), edge_mask(rng, place.size, kind)
    with pictures_on(device) as there:
        there.blend(expected, place.matrix, face, mask, UNCHANGED)
        uploader, downloader = Uploader(there.lane), Downloader(there.lane)
        sent = uploader.upload(frame)
        lay(there, sent, place, face, mask)
        downloader.fetch(sent, touched_rows(sent, place.matrix[None], place.size))
        there.lane.synchronize()
        downloader.land(sent)
    for plane, wanted in zip(frame.planes, expected.planes, strict=True):
        assert same_bits(plane, wanted)


@few
@given(
    pix_fmt=st.sampled_from(["yuv420p16le", "yuv440p12le", "yuv410p", "p016le", "yuyv422", "gbrpf32le"]),
    siting=st.sampled_from(Siting),
    height=st.sampled_from([40, 43]),
    top=st.integers(-48, 176).map(lambda quarters: quarters / 4),
    scale=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    row_offset=st.sampled_from([0.0, -0.25, 0.25]),
)
def test_no_row_that_a_face_touches_is_left_behind(
    pix_fmt: str, siting: Siting, height: int, top: float, scale: float, row_offset: float
) -> None:
    """Upright squares, whose last rows are wholly changed, with the chroma that they reach into."""
    place = Placement(np.array([[scale, 0.0, 4.0], [0.0, scale, top]]), 8)
    face, mask = np.zeros((3, 8, 8), np.float32), np.ones((8, 8), np.float32)
    there = DevicePictures(EmulatedLane())
    uploader, downloader = Uploader(there.lane), Downloader(there.lane)
    landed = []
    for rows_alone in (True, False):
        frame = replace(noise(pix_fmt, 64, height, siting=siting), row_offset=row_offset)
        sent = uploader.upload(frame)
        lay(there, sent, place, face, mask)
        downloader.fetch(sent, touched_rows(sent, place.matrix[None], 8) if rows_alone else None)
        there.lane.synchronize()
        landed.append(downloader.land(sent))
    for plane, whole in zip(landed[0].planes, landed[1].planes, strict=True):
        assert same_bits(plane, whole)


@on_each_device
def test_faces_in_both_fields_of_a_frame(device: str) -> None:
    frame = noise("yuv422p10le", 90, 96)
    expected = copy_frame(frame)
    rng = np.random.default_rng(4)
    face, mask = rng.random((3, 16, 16), np.float32), edge_mask(rng, 16, "oval")
    places = [Placement(similarity(1.5, 20 * n, (40 + n, 20 + n), 16), 16) for n in (0, 1)]
    for field, place in zip(fields_of(expected), places, strict=True):
        kernels.blend(field, place.matrix, face, mask, UNCHANGED)
    with pictures_on(device) as there:
        uploader, downloader = Uploader(there.lane), Downloader(there.lane)
        for field, place in zip(fields_of(frame), places, strict=True):
            sent = uploader.upload(field)
            lay(there, sent, place, face, mask)
            downloader.fetch(sent, touched_rows(sent, place.matrix[None], 16))
            there.lane.synchronize()
            # As where the second field is of the next batch.
            downloader.land(sent)
    for plane, wanted in zip(frame.planes, expected.planes, strict=True):
        assert np.abs(plane.astype(int) - wanted.astype(int)).max() <= 1


def test_fields_go_up_once_and_nothing_is_allocated_when_warm() -> None:
    lane = EmulatedLane()
    uploader, downloader = Uploader(lane, most=3), Downloader(lane)
    for number in range(12):
        for field in fields_of(noise("yuv420p", 64, 48)):
            sent = uploader.upload(field)
            downloader.fetch(sent, (4, 8))
            lane.synchronize()
            downloader.land(sent)
        if number == 2:
            warm = len(lane._memory)
    assert len(lane._memory) == warm <= 2
    # One up, and luma, Cb and Cr of each field back.
    assert lane.copies == 12 * (1 + 2 * 3)


def test_a_frame_is_not_written_over_while_it_is_copied() -> None:
    lane = EmulatedLane()
    uploader = Uploader(lane)
    frames = [noise("nv12", 64, 48) for _ in range(3)]
    sent = []
    for number, frame in enumerate(frames):
        for plane in frame.planes:
            plane[:] = number
        sent.append(uploader.upload(frame))
        uploader.release(sent[-1])
    # The memory of the first went to the others, in the lane's order.
    assert len(lane._memory) == 1 and lane.waits == 2
    downloader = Downloader(lane)
    again = uploader.upload(frames[1])
    downloader.fetch(again)
    frames[1].planes[0][:] = 9
    lane.synchronize()
    assert np.all(downloader.land(again).planes[0] == 1)


def test_too_many_frames_on_the_way_are_an_error() -> None:
    uploader = Uploader(EmulatedLane(), most=2)
    kept = [uploader.upload(noise("yuv420p", 32, 32)) for _ in range(2)]
    with pytest.raises(OutOfMemoryError, match="smaller --batch"):
        uploader.upload(noise("yuv420p", 32, 32))
    uploader.release(kept[0])
    uploader.release(kept[0])
    uploader.upload(noise("yuv420p", 32, 32))


@few
@given(
    st.sampled_from(["nv12", "p010le"]),
    st.integers(1, 81),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_a_decoders_own_frame_is_copied_whole(pix_fmt: str, width: int, height: int, seed: int) -> None:
    colour = noise(pix_fmt, 8, 8).colour
    held = av.VideoFrame(width, height, pix_fmt)
    rng = np.random.default_rng(seed)
    for plane in planes_of(held):
        samples = rng.integers(0, 1 << (colour.bits), plane.shape)
        np.copyto(plane, samples << colour.padding_bits, casting="unsafe")
    held.color_primaries, held.color_trc, held.colorspace, held.color_range = 9, 16, 9, 2
    source: Any = EmulatedPicture(held)
    planes = device_planes(source, colour)
    lane_frame = LaneFrame(3, 700, 20, Fraction(1, 600), planes, source=source)
    lane = EmulatedLane()
    downloader = Downloader(lane)
    downloader.fetch(lane_frame)
    expected = [plane.copy() for plane in planes_of(held)]
    lane.synchronize()
    held.planes[0].update(bytes(held.planes[0].buffer_size))
    frame = downloader.land(lane_frame)
    assert (frame.index, frame.pts, frame.duration, frame.time_base) == (3, 700, 20, Fraction(1, 600))
    assert frame.source is not None and frame.source.format.name == pix_fmt
    assert tags_of(frame.source) == ColourTags(9, 16, 9, 2)
    for plane, wanted in zip(frame.planes, expected, strict=True):
        assert same_bits(plane, wanted)

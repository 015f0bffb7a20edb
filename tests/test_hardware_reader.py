"""Films decoded on a device: the same frames at the same times, or the CPU, with the reason."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType
from device_pictures import on_each_device, pictures_on
from emulated_decoder import EmulatedDecoder
from emulated_lane import EmulatedLane
from make_bad_input import dropped_packets, half, size_change_in_band
from make_clips import make_clip, make_interlaced
from make_streams import caption, make_captioned
from noise_pictures import UNCHANGED, edge_mask, similarity

from crossface.engine import kernels
from crossface.engine.clip import Clip
from crossface.engine.device import Lane
from crossface.engine.device_choice import choose
from crossface.engine.errors import BadInputError, DeviceUnavailableError
from crossface.engine.frame import Frame
from crossface.engine.on_device.download import Downloader
from crossface.engine.on_device.frame import Decoded, LaneFrame
from crossface.engine.on_device.nvdec import Nvdec
from crossface.engine.video.planes import planes_of
from crossface.engine.video.reader import Reader

FILMS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"preset": "ultrafast", "x264-params": "bframes=2:b-adapt=0:keyint=12"}),
    "jpeg-range": ("libx264", "yuvj420p", {"preset": "ultrafast"}),
    "hevc": ("libx265", "yuv420p10le", {"preset": "ultrafast", "x265-params": "log-level=error:keyint=12"}),
    "av1": ("libsvtav1", "yuv420p", {"preset": "12"}),
    "vp9": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
}


def film(folder: Path, kind: str = "h264", **settings: Any) -> Path:
    codec, pix_fmt, options = FILMS[kind]
    return make_clip(folder / "film.mkv", codec=codec, pix_fmt=pix_fmt, options=options, **settings)


def place(frame: Decoded) -> tuple[int, int, int]:
    return frame.index, frame.pts, frame.duration


def assert_same(got: Frame, wanted: Frame, padding_bits: int) -> None:
    assert place(got) == place(wanted)
    for plane, same in zip(got.planes, wanted.planes, strict=True):
        np.testing.assert_array_equal(plane, same << padding_bits)


@pytest.mark.parametrize("kind", FILMS)
def test_a_device_gives_what_the_cpu_gives(tmp_path: Path, kind: str) -> None:
    path = film(tmp_path, kind)
    with Reader(path, trusted=True) as reader:
        wanted, cpu = list(reader), reader.info
        assert reader.decoded_on == "cpu"
    lane = EmulatedLane()
    downloader = Downloader(lane)
    with Reader(path, trusted=True, hardware=EmulatedDecoder()) as reader:
        assert reader.decoded_on == "emulated:0 (decoder)"
        assert reader.info.pix_fmt == ("p010le" if kind == "hevc" else "nv12")
        assert reader.info.colour.full_range == (kind == "jpeg-range") == cpu.colour.full_range
        assert (reader.info.tags, reader.info.codec, reader.info.level) == (cpu.tags, cpu.codec, cpu.level)
        frames = list(reader.decoded())
    assert len(frames) == len(wanted) == 25
    for frame, same in zip(frames, wanted, strict=True):
        assert isinstance(frame, LaneFrame) and frame.source is not None
        downloader.fetch(frame)
        lane.synchronize()
        assert_same(downloader.land(frame), same, reader.info.colour.padding_bits)


@pytest.mark.parametrize("kind", ["h264", "hevc"])
def test_parts_of_a_film_are_the_same_on_a_device(tmp_path: Path, kind: str) -> None:
    path = film(tmp_path, kind, durations=(512,) * 60)
    with Clip(path) as clip:
        wanted = list(clip.frames(None, None))
    for first, end in ((0, 9), (17, 43), (30, 60)):
        end_pts = wanted[end].pts if end < 60 else None
        with Clip(path, hardware=EmulatedDecoder()) as clip:
            found = list(clip.decoded(wanted[first].pts, end_pts, first_index=first))
            assert all(isinstance(frame, LaneFrame) for frame in found)
        assert [place(frame) for frame in found] == [place(frame) for frame in wanted[first:end]]
        with Clip(path, hardware=EmulatedDecoder()) as clip:
            on_host = list(clip.frames(wanted[first].pts, end_pts, first_index=first))
        for frame, same in zip(on_host, wanted[first:end], strict=True):
            assert_same(frame, same, clip.info.colour.padding_bits)


def test_a_device_is_opened_once_a_pass(tmp_path: Path) -> None:
    decoder = EmulatedDecoder()
    with Reader(film(tmp_path), trusted=True, hardware=decoder) as reader:
        assert sum(1 for _ in reader.decoded()) == 25
    assert decoder.opened == 1


def test_a_film_that_is_refused_is_tried_once(tmp_path: Path) -> None:
    decoder, path = EmulatedDecoder(refuses=True), film(tmp_path)
    told = []
    for _ in range(3):
        with Reader(path, trusted=True, hardware=decoder) as reader:
            told.append(reader.decoded_on)
            assert sum(1 for _ in reader.decoded()) == 25
    assert decoder.opened == 1 and len(set(told)) == 1 and "does not decode" in told[0]


def brighter(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    planes_of(picture)[0][5, 5] ^= 1
    return picture


def narrower(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    """As decoders of devices do with streams that hide columns."""
    return picture.reformat(width=picture.width - 16)


def failing(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    """As libav does for AV1 on GPUs that do not decode it."""
    raise av.error.FFmpegError(errno.ENOSYS, "Function not implemented")


@pytest.mark.parametrize(
    ("decoder", "settings", "reading", "reason"),
    [
        (EmulatedDecoder(brighter), {}, {}, "other samples"),
        (EmulatedDecoder(narrower), {}, {}, "another size"),
        (EmulatedDecoder(refuses=True), {}, {}, "does not decode this kind"),
        (EmulatedDecoder(failing), {}, {}, "does not decode this kind"),
        (EmulatedDecoder(), {"codec": "ffv1", "options": {}}, {}, "no GPU decodes ffv1"),
        (EmulatedDecoder(), {"pix_fmt": "yuv422p10le"}, {}, "no GPU gives yuv422p10le"),
        (EmulatedDecoder(), {}, {"interlaced": "as_progressive"}, "interlaced pictures"),
        (EmulatedDecoder(), {}, {"tolerate_damage": True}, "damage is tolerated"),
        # There is no such device, nor any driver on most machines.
        (Nvdec(63, nullcontext), {}, {}, "no decoder of the device can be started"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_else_the_cpu_decodes(
    tmp_path: Path, decoder: Any, settings: dict[str, Any], reading: dict[str, Any], reason: str
) -> None:
    path = make_clip(tmp_path / "film.mkv", **settings)
    with Reader(path, trusted=True, **reading) as reader:
        wanted, info, warnings = list(reader), reader.info, reader.warnings
    with Reader(path, trusted=True, hardware=decoder, **reading) as reader:
        assert reader.decoded_on.startswith("cpu: ") and reason in reader.decoded_on
        found = list(reader.decoded())
        assert (reader.info, reader.warnings) == (info, warnings)
    for frame, same in zip(found, wanted, strict=True):
        assert isinstance(frame, Frame)
        assert_same(frame, same, 0)


def test_films_with_captions_are_decoded_by_the_cpu(tmp_path: Path) -> None:
    with Reader(make_captioned(tmp_path / "film.ts"), hardware=EmulatedDecoder()) as reader:
        assert "captions" in reader.decoded_on
    with Reader(make_captioned(tmp_path / "late.ts", first=4), hardware=EmulatedDecoder()) as reader:
        # From then on they go through libav, which brings captions along.
        lane = EmulatedLane()
        downloader = Downloader(lane)
        found = []
        for frame in reader.decoded():
            assert isinstance(frame, LaneFrame)
            downloader.fetch(frame)
            lane.synchronize()
            landed = downloader.land(frame).source
            assert landed is not None
            found.append(landed.side_data.get(SideDataType.A53_CC))
        assert [None if data is None else bytes(data) for data in found] == [
            *[None] * 4,
            caption(4),
            caption(5),
        ]


def test_fields_are_taken_on_the_host(tmp_path: Path) -> None:
    path = make_interlaced(tmp_path / "a.mp4", bottom_first=False, frames=4)
    with Reader(path, hardware=EmulatedDecoder(), interlaced="fields") as reader:
        assert "interlaced" in reader.decoded_on
    with pytest.raises(BadInputError, match="interlaced"):
        Reader(path, hardware=EmulatedDecoder())


@pytest.mark.parametrize("damage", [half, dropped_packets, size_change_in_band])
def test_damage_is_told_on_a_device_as_on_the_cpu(tmp_path: Path, damage: Any) -> None:
    path = damage(tmp_path)

    def told(**options: Any) -> str:
        try:
            with Reader(path, **options) as reader:
                count = sum(1 for _ in reader.decoded())
                return f"{count} {reader.warnings}"
        except BadInputError as error:
            return str(error).replace("nv12", "yuv420p")

    assert told(hardware=EmulatedDecoder()) == told()


def test_a_device_that_gives_up_is_an_error(tmp_path: Path) -> None:
    decoder = EmulatedDecoder(gives_up_at=7)
    with Reader(film(tmp_path), trusted=True, hardware=decoder) as reader:
        assert reader.decoded_on == decoder.name
        with pytest.raises(DeviceUnavailableError, match="frame 7: give --device cpu"):
            list(reader.decoded())


EXTERNAL = av.error.tag_to_code(b"EXT ")


@pytest.mark.parametrize(("code", "at"), [(EXTERNAL, 0), (EXTERNAL, 7), (errno.ENOMEM, 7)])
def test_a_device_that_fails_is_no_damage_of_the_film(tmp_path: Path, code: int, at: int) -> None:
    """That is how libav tells of a device's memory that is full, for instance."""

    def fail(picture: av.VideoFrame, number: int) -> av.VideoFrame:
        if number == at:
            av.error.err_check(-code)
        return picture

    decoder = EmulatedDecoder(fail)
    with Reader(film(tmp_path), trusted=True, hardware=decoder) as reader:
        if at:
            with pytest.raises(DeviceUnavailableError, match=r"frame \d+ \(.*end what else runs on the GPU"):
                list(reader.decoded())
        else:
            assert decoder.name in reader.decoded_on and reader.decoded_on.startswith("cpu: ")
            assert list(reader.decoded()) and not reader.warnings


def test_addresses_are_those_that_dlpack_tells() -> None:
    """PyAV tells them in two ways, of which this one makes no reference to the frame for each plane."""
    for pix_fmt in ("nv12", "p010le"):
        picture = av.VideoFrame(70, 42, pix_fmt)
        for plane in picture.planes:
            array = np.from_dlpack(plane)
            assert (plane.buffer_ptr, plane.line_size) == (array.ctypes.data, array.strides[0])


@on_each_device
@pytest.mark.parametrize("kind", ["h264", "hevc"])
def test_a_face_is_laid_over_a_decoders_own_frames(tmp_path: Path, kind: str, device: str) -> None:
    """Within one code value of the CPU, and elsewhere not a bit is changed."""
    path = film(tmp_path, kind, width=320, height=240)
    rng = np.random.default_rng(5)
    face, mask = rng.random((3, 64, 64), np.float32), edge_mask(rng, 64, "oval")
    with Reader(path, trusted=True) as reader:
        wanted = list(reader)
    with pictures_on(device) as there:
        hardware = EmulatedDecoder() if device == "emulated" else Nvdec(there.lane.device.index, nullcontext)
        downloader = Downloader(there.lane)
        touched = there.empty((1,), np.int32)
        faces, masks = there.tensor(face[None]), there.tensor(mask[None])
        with Reader(path, trusted=True, hardware=hardware) as reader:
            assert reader.decoded_on == hardware.name
            padding_bits = reader.info.colour.padding_bits
            for frame, same in zip(reader.decoded(), wanted, strict=True):
                assert isinstance(frame, LaneFrame)
                place = similarity(1.3, 7 * same.index, (150 + same.index, 120), 64)[None]
                there.kernels.blend([frame.planes], [0], place, faces, masks, UNCHANGED[None], touched)
                downloader.fetch(frame)
                there.lane.synchronize()
                landed = downloader.land(frame)
                before = [plane.copy() for plane in same.planes]
                box = kernels.blend(same, place[0], face, mask, UNCHANGED)
                assert box is not None
                for number, (plane, expected, old) in enumerate(
                    zip(landed.planes, same.planes, before, strict=True)
                ):
                    codes = plane >> padding_bits
                    assert np.abs(codes.astype(int) - expected.astype(int)).max() <= 1
                    assert not np.array_equal(expected, old)
                    shift = int(number > 0)
                    around = tuple(
                        slice((box[axis] >> shift) - 2, (box[axis + 2] >> shift) + 3) for axis in (1, 0)
                    )
                    for elsewhere in (codes, old):
                        elsewhere[around] = 0
                    np.testing.assert_array_equal(codes, old)


@pytest.mark.needs_gpu
@pytest.mark.parametrize("kind", ["h264", "hevc"])
def test_a_gpu_gives_what_the_cpu_gives(tmp_path: Path, kind: str) -> None:
    """And gives its memory back, however many readers there were."""
    path = film(tmp_path, kind, width=320, height=240)
    with Reader(path, trusted=True) as reader:
        wanted = list(reader)
    device = choose("cuda").devices[0]
    with Lane(device) as lane:
        downloader = Downloader(lane)
        for _ in range(100):
            # The lane has made the context current on this thread.
            with Reader(path, trusted=True, hardware=Nvdec(device.index, nullcontext)) as reader:
                assert reader.decoded_on == f"cuda:{device.index} (nvdec)"
                for frame, same in zip(reader.decoded(), wanted, strict=True):
                    assert isinstance(frame, LaneFrame)
                    downloader.fetch(frame)
                    lane.synchronize()
                    assert_same(downloader.land(frame), same, reader.info.colour.padding_bits)

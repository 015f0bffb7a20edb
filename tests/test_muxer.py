"""What a container gets from us and not from libav: decode times, and the aspect ratio in Matroska."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import moving_picture

from crossface.engine.video.writing.decode_times import DecodeTimes
from crossface.engine.video.writing.matroska_aspect import roomy, set_aspect


@given(
    ratio=st.fractions(Fraction(1, 4), 4, max_denominator=100).filter(lambda ratio: ratio != 1),
    title=st.sampled_from([None, "A", "Ténèbres"]),
    width=st.sampled_from([720, 256, 96]),
)
@settings(max_examples=25)
def test_matroska_is_told_the_shape_of_pixels(ratio: Fraction, title: str | None, width: int) -> None:
    for container, codec in (("matroska", "ffv1"), ("webm", "libvpx-vp9")):
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(
                codec, rate=25, options={"deadline": "realtime"} if codec != "ffv1" else {}
            )
            stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
            stream.metadata["title"] = roomy(title)
            picture = moving_picture(0, width, 64)
            picture.pts, picture.time_base = 0, Fraction(1, 25)
            output.mux([*stream.encode(picture), *stream.encode(None)])
            output.close()
        size = len(file.getvalue())
        assert set_aspect(file, width, 64, ratio)
        assert len(file.getvalue()) == size
        file.seek(0)
        with av.open(file) as read:
            stream = read.streams.video[0]
            # libav's reader rounds to numbers below 256.
            assert float(stream.sample_aspect_ratio) == pytest.approx(float(ratio), rel=1e-3)
            assert stream.metadata.get("title") == title
            assert len(list(read.decode(video=0))) == 1


@given(
    durations=st.lists(st.integers(1, 3000), min_size=1, max_size=40),
    b_frames=st.integers(0, 4),
    start=st.integers(-5000, 5000),
    sane=st.booleans(),
)
def test_decode_times_rise_never_pass_the_pts_and_end_the_track(
    durations: list[int], b_frames: int, start: int, sane: bool
) -> None:
    times = DecodeTimes()
    pts = [start + sum(durations[:n]) for n in range(len(durations))]
    # Anchors come before the pictures between them; the delay is that of one frame.
    order: list[int] = [0]
    for anchor in range(1 + b_frames, len(pts) + b_frames, 1 + b_frames):
        last = min(anchor, len(pts) - 1)
        order += [
            last,
            *range(order[-1 - b_frames] + 1 if b_frames and len(order) > 1 else order[-1] + 1, last),
        ]
    order = list(dict.fromkeys(order))
    if sorted(order) != list(range(len(pts))):
        order = list(range(len(pts)))
    for time, duration in zip(pts, durations, strict=True):
        assert times.submit(time, duration) == time
    packets = []
    delayed = [pts[0] - durations[0], *pts]
    for rank, place in enumerate(order):
        packet = av.Packet(b"picture")
        packet.pts = pts[place]
        packet.dts = delayed[rank] if sane else -(10**15) + rank
        times.stamp(packet)
        packets.append(packet)
    times.stamp_last(packets[-1])
    stamps = [packet.dts for packet in packets]
    assert stamps == sorted(set(stamps))
    assert all(packet.dts <= packet.pts for packet in packets)
    assert packets[-1].duration >= 1

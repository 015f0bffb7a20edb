"""However a film is cut into parts, the joined one is the film that one pass makes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type as SideDataType
from copy_clips import copied, described, lossless_clip, pictures, shown_times
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from join_clips import in_parts, join
from make_clips import VFR_DURATIONS, make_clip, make_interlaced, remux_with_metadata
from make_streams import (
    caption,
    make_captioned,
    make_rich_matroska,
    make_transport_stream,
    make_two_angles,
    packets_of,
)

from crossface.engine.errors import BadInputError, CrossfaceError, InputMissingError, UsageError
from crossface.engine.video.info import ContentLight, MasteringDisplay
from crossface.engine.video.join import Join, check_part
from crossface.engine.video.part import PartWriter
from crossface.engine.video.planes import planes_of
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer
from crossface.engine.video.writing.codecs import choose_encoding
from crossface.engine.video.writing.joined_times import JoinedTimes
from crossface.engine.video.writing.passthrough import Span

EVERY_PICTURE_ALONE = {"g": "1"}
REORDERED = {"preset": "ultrafast", "crf": "20", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal"}


def samples(picture: av.VideoFrame) -> list[bytes]:
    return [plane.tobytes() for plane in planes_of(picture)]


def one_pass(source: Path, target: Path, **options: object) -> Path:
    with Reader(source, trusted=True) as reader, Writer(target, reader.info, **options) as writer:
        for frame in reader:
            writer.write(frame)
    return target


def rotated(path: Path) -> Path:
    return make_clip(
        path, rotation=-90, sample_aspect_ratio=Fraction(64, 45), tags=(9, 16, 9, 1), audio_s=(1.0, 2.0),
        pix_fmt="yuv420p10le", durations=VFR_DURATIONS, video_metadata={"timecode": "01:02:03:04"},
    )  # fmt: skip


def described_film(path: Path) -> Path:
    return remux_with_metadata(make_clip(path.with_name("plain.mp4"), audio_s=(1.0,)), path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("in.mov", rotated),
        ("in.mp4", described_film),
        ("in.mkv", lambda path: make_rich_matroska(path, sound=("aac", "flac"))),
        ("in.ts", make_transport_stream),
        ("in.mp4", make_two_angles),
    ],
)
def test_all_that_is_not_the_picture_is_as_in_one_pass(
    tmp_path: Path, name: str, make: Callable[[Path], Path], suffix: str
) -> None:
    source = make(tmp_path / name)
    once = one_pass(
        source, tmp_path / f"once{suffix}", codec="ffv1", options=dict(EVERY_PICTURE_ALONE), comment="swapped"
    )
    target = tmp_path / f"out{suffix}"
    info, encoding, parts = in_parts(source, target, (7, 1, 4), codec="ffv1", options=EVERY_PICTURE_ALONE)
    losses = join(target, info, encoding, parts, comment="swapped")
    assert len(parts) > 3
    # Pictures that stand alone are the same in parts: then every byte of the file is.
    assert target.read_bytes() == once.read_bytes()
    assert all(str(source) in loss or str(target) in loss for loss in losses)


@given(
    durations=st.lists(st.integers(200, 3000), min_size=2, max_size=14),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    start_pts=st.sampled_from([0, 512, 8960]),
    cut=st.none() | st.tuples(st.integers(0, 13), st.none() | st.integers(1, 14)),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cut_of_any_range_makes_the_same_file(
    tmp_path: Path,
    durations: list[int],
    lengths: list[int],
    start_pts: int,
    cut: tuple[int, int | None] | None,
) -> None:
    source = make_clip(
        tmp_path / "in.mp4", durations=durations, start_pts=start_pts, audio_s=(0.7,), audio_start_s=0.1,
        video_metadata={"timecode": "00:59:58:00"},
    )  # fmt: skip
    span = None
    if cut is not None:
        edges_s = [Fraction(start_pts + sum(durations[:n]), 12800) for n in range(len(durations) + 1)]
        first = min(cut[0], len(durations) - 1)
        end = None if cut[1] is None else min(first + cut[1], len(durations))
        span = Span(edges_s[first], None if end is None else edges_s[end])
    options = {"codec": "ffv1", "options": EVERY_PICTURE_ALONE}
    once = one_pass(source, tmp_path / "once.mp4", span=span, overwrite=True, **options)
    info, encoding, parts = in_parts(source, tmp_path / "out.mp4", lengths, span=span, **options)
    join(tmp_path / "out.mp4", info, encoding, parts, span=span)
    assert (tmp_path / "out.mp4").read_bytes() == once.read_bytes()


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "options"),
    [
        ("libx264", ".mp4", "yuv420p", REORDERED),
        ("libx264", ".mkv", "yuv422p10le", REORDERED),
        ("libx264", ".mp4", "yuv420p10le", {"preset": "ultrafast", "qp": "0"}),
        ("libx264", ".mov", "yuv420p", {"preset": "ultrafast", "g": "1"}),
        (
            "libx265",
            ".mp4",
            "yuv420p",
            {"preset": "fast", "x265-params": "lossless=1:bframes=4:b-adapt=0:b-pyramid=1"},
        ),
        ("libx265", ".mkv", "yuv420p10le", {"preset": "ultrafast", "x265-params": "bframes=2"}),
        ("libsvtav1", ".mp4", "yuv420p10le", {"preset": "12"}),
        ("libvpx-vp9", ".webm", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
        ("libvpx", ".webm", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
        ("prores", ".mov", "yuv422p10le", None),
        ("dnxhr", ".mov", "yuv422p10le", None),
        ("ffv1", ".mp4", "yuv420p", None),
        ("mpeg2video", ".mov", "yuv420p", {"bf": "2"}),
        ("mpeg4", ".mp4", "yuv420p", {"bf": "2"}),
        ("snow", ".mkv", "yuv420p", None),
    ],
)
def test_pictures_and_times_of_every_encoder(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, options: dict[str, str] | None
) -> None:
    source = lossless_clip(
        tmp_path / "in.mov", pix_fmt, durations=VFR_DURATIONS[::-1] * 2, start_pts=8960, width=256, height=144
    )
    target = tmp_path / f"out{suffix}"
    info, encoding, parts = in_parts(source, target, (11, 7, 1, 2), codec=codec, options=options)
    join(target, info, encoding, parts)
    found = pictures(target)
    decoded_apart = [picture for part in parts for picture in pictures(part.path)]
    assert list(map(samples, found)) == list(map(samples, decoded_apart))
    chosen = options or {}
    if codec == "ffv1" or chosen.get("qp") == "0" or "lossless" in chosen.get("x265-params", ""):
        assert list(map(samples, found)) == list(map(samples, pictures(source)))
    assert (parts[0].delay > 0) == any("bf" in key + value for key, value in chosen.items())
    exact = suffix in {".mp4", ".mov"}
    slack_s = 0 if exact else Fraction(1, 1000)
    for old, new in zip(shown_times(source), shown_times(target), strict=True):
        assert max(abs(old[0] - new[0]), abs(old[1] - new[1])) <= slack_s
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        if exact:
            delays = {shown - p.dts for shown, p in zip(sorted(p.pts for p in packets), packets, strict=True)}
            assert len(delays) == 1
            assert stream.duration == sum(VFR_DURATIONS) * 2
            assert all(packet.dts <= packet.pts for packet in packets)


def test_the_joined_file_is_the_same_every_time(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", audio_s=(1.2,))
    files = []
    for name in ("a", "b"):
        target = tmp_path / f"{name}.mp4"
        info, encoding, parts = in_parts(source, target, (9,), options=REORDERED)
        join(target, info, encoding, parts)
        files.append(target.read_bytes())
    assert files[0] == files[1]


def test_one_part_is_the_film(clips: Path, tmp_path: Path) -> None:
    source, options = clips / "single_face.mp4", {"preset": "veryfast", "crf": "23"}
    once = one_pass(source, tmp_path / "once.mp4", options=options, threads=2)
    info, encoding, parts = in_parts(source, tmp_path / "out.mp4", (1000,), options=options)
    join(tmp_path / "out.mp4", info, encoding, parts)
    assert (tmp_path / "out.mp4").read_bytes() == once.read_bytes()


def test_a_film_that_begins_before_0(tmp_path: Path) -> None:
    source = make_transport_stream(tmp_path / "in.ts")
    with Reader(source, trusted=True) as reader:
        info = replace(reader.info, start_pts=-7200)
        encoding = choose_encoding("ffv1", info, tmp_path / "out.mp4", options=EVERY_PICTURE_ALONE)
        with Writer(tmp_path / "once.mp4", info, codec="ffv1", options=EVERY_PICTURE_ALONE) as once:
            parts = []
            frames = [replace(frame, pts=3600 * number - 7200) for number, frame in enumerate(reader)]
            for first in range(0, len(frames), 4):
                with PartWriter(tmp_path / f"{first}.mp4", info, encoding, threads=1) as writer:
                    for frame in frames[first : first + 4]:
                        once.write(frame)
                        writer.write(frame)
                parts.append(writer.part)
    join(tmp_path / "out.mp4", info, encoding, parts)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "once.mp4").read_bytes()
    assert [part.first_pts for part in parts[:3]] == [-7200, 7200, 21600]


@pytest.mark.parametrize("codec", ["libx264", "ffv1", "mpeg2video"])
def test_fields_stay_fields(tmp_path: Path, codec: str) -> None:
    source = make_interlaced(tmp_path / "in.mov", bottom_first=True)
    info, encoding, parts = in_parts(source, tmp_path / "out.mkv", (4, 3), codec=codec, interlaced="fields")
    join(tmp_path / "out.mkv", info, encoding, parts)
    assert {picture.interlaced_frame for picture in pictures(tmp_path / "out.mkv")} == {True}
    with Reader(tmp_path / "out.mkv", trusted=True, interlaced="fields") as again:
        assert again.info.field_order == "bottom_first"


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_captions_inside_pictures_are_in_every_part(tmp_path: Path, codec: str) -> None:
    source = make_captioned(tmp_path / "in.ts")
    info, encoding, parts = in_parts(source, tmp_path / "out.mp4", (2, 1), codec=codec)
    join(tmp_path / "out.mp4", info, encoding, parts)
    found = [picture.side_data.get(SideDataType.A53_CC) for picture in pictures(tmp_path / "out.mp4")]
    assert [bytes(data) for data in found if data is not None] == [caption(number) for number in range(6)]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_mastering_display_is_in_every_part(tmp_path: Path, codec: str) -> None:
    source = lossless_clip(tmp_path / "in.mov", "yuv420p10le", durations=(512,) * 5, tags=(9, 16, 9, 1))
    point = (Fraction(1, 4), Fraction(1, 2))
    info = replace(
        described(source),
        mastering_display=MasteringDisplay((point,) * 3, point, Fraction(1, 100), Fraction(1000)),
        content_light=ContentLight(1000, 400),
        hdr_metadata=("mastering display", "content light level"),
    )
    options = {"preset": "12"} if codec == "libsvtav1" else {"preset": "ultrafast"}
    encoding = choose_encoding(codec, info, tmp_path / "out.mp4", options=options)
    parts = []
    with Reader(source, trusted=True) as reader:
        for frame in reader:
            with PartWriter(tmp_path / f"{frame.index}.mp4", info, encoding, threads=2) as writer:
                writer.write(frame)
            parts.append(writer.part)
    assert join(tmp_path / "out.mp4", info, encoding, parts) == []
    for path in (*(part.path for part in parts), tmp_path / "out.mp4"):
        for picture in pictures(path):
            assert SideDataType.MASTERING_DISPLAY_METADATA in picture.side_data
            assert SideDataType.CONTENT_LIGHT_LEVEL in picture.side_data


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple]:
    folder = tmp_path_factory.mktemp("film")
    source = make_clip(folder / "in.mp4", audio_s=(1.0,))
    return folder, in_parts(source, folder / "out.mp4", (10,), options=REORDERED)


def flipped(path: Path, target: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    target.write_bytes(data)
    return target


def refusal(folder: Path, info: object, encoding: object, parts: list) -> CrossfaceError:
    """The error of a join, which leaves the old output and nothing else."""
    target = folder / "film.mp4"
    target.write_text("precious")
    before = sorted(folder.iterdir())
    with (
        pytest.raises(CrossfaceError) as caught,
        Join(target, info, parts, encoding, overwrite=True) as joined,
    ):
        list(joined)
    assert sorted(folder.iterdir()) == before and target.read_text() == "precious"
    assert "\n" not in str(caught.value)
    return caught.value


def test_damaged_parts_are_named(film: tuple[Path, tuple]) -> None:
    folder, (info, encoding, parts) = film
    middle = parts[1]
    broken = replace(middle, path=flipped(middle.path, folder / "broken.mp4"))
    cut = replace(middle, path=folder / "cut.mp4")
    cut.path.write_bytes(middle.path.read_bytes()[:-200])
    gone = replace(middle, path=folder / "gone.mp4")
    for part, kind in ((broken, BadInputError), (cut, BadInputError), (gone, InputMissingError)):
        error = refusal(folder, info, encoding, [parts[0], part, parts[2]])
        assert (
            type(error) is kind
            and str(part.path) in str(error)
            and "run the same command again" in str(error)
        )
        with pytest.raises(kind, match=part.path.name):
            check_part(part)
    check_part(middle)


def test_parts_that_are_not_what_their_sidecars_say(film: tuple[Path, tuple]) -> None:
    folder, (info, encoding, parts) = film
    middle = parts[1]
    digest = "0d5d0a0e3cbd4c3f02c2ac1a4b1a9d1b7c1d1bd1"
    cases = [
        replace(middle, frames=middle.frames - 1),
        replace(middle, frames=middle.frames + 1),
        replace(middle, end_pts=middle.end_pts - 1000),
        replace(middle, first_pts=middle.first_pts - 600),
        replace(middle, first_pts=middle.first_pts + 9000, end_pts=middle.end_pts + 9000),
        replace(middle, sha256=digest),
    ]
    for case in cases:
        error = refusal(folder, info, encoding, [parts[0], case, parts[2]])
        # One that comes too late is met by the next.
        assert any(str(part.path) in str(error) for part in (case, parts[2]))
    for delay, why in ((0, "does not follow in time"), (1, "too late")):
        hasty = [replace(part, delay=delay) for part in parts]
        assert why in str(refusal(folder, info, encoding, hasty))
    for order in ([parts[1], parts[0]], [parts[0], parts[0]]):
        assert "begins before" in str(refusal(folder, info, encoding, order))
    assert isinstance(refusal(folder, info, encoding, []), UsageError)


def test_parts_of_another_encoding_are_refused(film: tuple[Path, tuple], tmp_path: Path) -> None:
    folder, (info, encoding, parts) = film
    source = folder / "in.mp4"
    for options in ({**REORDERED, "x264-params": "bframes=0:ref=4"}, {"crf": "20"}):
        _, _, others = in_parts(source, tmp_path / "out.mp4", (10,), options=options)
        error = refusal(folder, info, encoding, [parts[0], others[1], parts[2]])
        assert str(others[1].path) in str(error) and "same version" in str(error)
    _, _, others = in_parts(source, tmp_path / "out.mp4", (10,), codec="ffv1")
    assert str(others[1].path) in str(refusal(folder, info, encoding, [parts[0], others[1]]))


def test_a_range_that_the_parts_do_not_keep_to(film: tuple[Path, tuple]) -> None:
    folder, (info, encoding, parts) = film
    for span in (
        Span(parts[1].first_pts * info.time_base),
        Span(Fraction(0), parts[1].first_pts * info.time_base),
    ):
        with (
            pytest.raises(BadInputError, match="outside the range"),
            Join(folder / "range.mp4", info, parts, encoding, span=span) as joined,
        ):
            list(joined)
    assert not list(folder.glob("*range*"))


def test_leaving_early_leaves_nothing(film: tuple[Path, tuple]) -> None:
    folder, (info, encoding, parts) = film
    before = sorted(folder.iterdir())

    def events() -> object:
        with Join(folder / "early.mp4", info, parts, encoding) as joined:
            yield from joined

    closed = events()
    assert [next(closed), next(closed)] == [1, 2]
    closed.close()
    with Join(folder / "early.mp4", info, parts, encoding) as joined:
        next(iter(joined))
    with Join(folder / "early.mp4", info, parts, encoding):
        pass
    assert sorted(folder.iterdir()) == before


PROGRAM = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
from join_clips import in_parts, join
from crossface.engine.errors import CrossfaceError
source, target, limit, kind, lengths = sys.argv[1:]
options = {"preset": "ultrafast"}
info, encoding, parts = in_parts(Path(source), Path(target), json.loads(lengths), options=options)
resource.setrlimit(getattr(resource, kind), (int(limit), int(limit)))
try:
    join(Path(target), info, encoding, parts)
    print(json.dumps([0, len(parts)]))
except CrossfaceError as error:
    print(json.dumps([error.exit_code, str(error)]))
"""


def with_limit(source: Path, target: Path, limit: int, kind: str, lengths: list[int]) -> list:
    """Join in a process whose resources are limited; an exit code, and the error or the number of parts."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(source), str(target), str(limit), kind, json.dumps(lengths)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    return json.loads(run.stdout)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_an_output_error(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / "in.mp4", audio_s=(1.0,))
    for limit_bytes in (300, 9_000):
        code, message = with_limit(source, tmp_path / f"out{suffix}", limit_bytes, "RLIMIT_FSIZE", [5])
        assert code == 74 and f"out{suffix}" in message
    assert not (tmp_path / f"out{suffix}").exists() and not list(tmp_path.glob(".*"))


def test_more_parts_than_files_may_be_open(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", durations=(512,) * 60, audio_s=(1.0,))
    assert with_limit(source, tmp_path / "out.mp4", 24, "RLIMIT_NOFILE", [1]) == [0, 60]
    assert shown_times(tmp_path / "out.mp4") == shown_times(source)
    assert packets_of(tmp_path / "out.mp4") == packets_of(source)


@given(
    groups=st.lists(st.permutations(range(5)), min_size=1, max_size=30),
    gaps=st.lists(st.integers(1, 900), min_size=150, max_size=150),
)
def test_times_of_reordered_packets(groups: list[list[int]], gaps: list[int]) -> None:
    pts = [sum(gaps[:n]) for n in range(5 * len(groups))]
    decoded = [pts[5 * number + place] for number, group in enumerate(groups) for place in group]
    delay = max(shown - own for shown, own in zip(pts, decoded, strict=True))
    end = pts[-1] + 77
    times = JoinedTimes(delay, end)
    stamped = []
    for own in decoded:
        packet = av.Packet(b"picture")
        packet.pts = own
        if (ready := times.add(packet)) is not None:
            stamped.append(ready)
    stamped += times.rest()
    assert [packet.pts for packet in stamped] == decoded
    assert [packet.dts for packet in stamped] == [shown - delay for shown in pts]
    ends = dict(zip(pts, [*pts[1:], end], strict=True))
    assert all(packet.pts + packet.duration == ends[packet.pts] for packet in stamped[:-1])
    # Containers take the end of the last packet in decode order for that of the track.
    assert stamped[-1].dts + stamped[-1].duration == end - delay


def test_losses_are_those_of_one_pass(tmp_path: Path) -> None:
    source = make_rich_matroska(tmp_path / "in.mkv", sound=("aac",))
    _, losses = copied(source, tmp_path / "once.mov", codec="libx264")
    info, encoding, parts = in_parts(source, tmp_path / "out.mov", (20,))
    found = join(tmp_path / "out.mov", info, encoding, parts)
    assert [loss.replace("out.mov", "once.mov") for loss in found] == losses and losses

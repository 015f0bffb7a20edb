"""Parts of a film: exact, alone, the same every time, and gone if they are not finished."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from copy_clips import described, lossless_clip, pictures
from join_clips import in_parts
from make_clips import VFR_DURATIONS, make_clip

from crossface.engine.errors import BusyError, OutputError, OutputExistsError, UsageError
from crossface.engine.part_file import PartFile, sweep
from crossface.engine.video.part import PartWriter, needs_whole_film, part_suffix
from crossface.engine.video.reader import Reader
from crossface.engine.video.writing.codecs import choose_encoding

QUICK = {"preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0"}


@pytest.mark.parametrize("time_base", [Fraction(1, 12800), Fraction(1, 25), Fraction(1, 90000)])
def test_a_part_says_what_it_holds(tmp_path: Path, time_base: Fraction) -> None:
    unit = int(1 / (25 * time_base))
    durations = [unit, 3 * unit, unit, 2 * unit, unit, unit, 5 * unit]
    source = lossless_clip(tmp_path / "in.mp4", time_base=time_base, durations=durations, start_pts=70 * unit)
    edges = [70 * unit + sum(durations[:n]) for n in range(len(durations) + 1)]
    _, _, parts = in_parts(source, tmp_path / "out.mp4", (4,), options=QUICK)
    assert [(part.frames, part.first_pts, part.end_pts) for part in parts] == [
        (4, edges[0], edges[4]),
        (3, edges[4], edges[7]),
    ]
    for part, shown in zip(parts, (edges[:4], edges[4:7]), strict=True):
        data = part.path.read_bytes()
        assert (part.size_bytes, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        found = pictures(part.path)
        assert [picture.pts * picture.time_base for picture in found] == [
            (pts - part.first_pts) * time_base for pts in shown
        ]
        with av.open(str(part.path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            packets = [packet for packet in container.demux() if packet.size]
        assert packets[0].is_keyframe and packets[0].pts == 0
        # As late as its picture allows, no packet is decoded after it is shown.
        lateness = [
            shown - own.pts for shown, own in zip(sorted(p.pts for p in packets), packets, strict=True)
        ]
        assert part.delay == max(lateness) * packets[0].time_base / time_base


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", QUICK),
        ("libx265", {"preset": "ultrafast"}),
        ("libsvtav1", {"preset": "12"}),
        ("ffv1", None),
    ],
)
def test_two_runs_give_the_same_bytes_and_all_parts_the_same_extradata(
    tmp_path: Path, codec: str, options: dict[str, str] | None
) -> None:
    source = make_clip(tmp_path / "in.mp4", durations=VFR_DURATIONS, width=128, height=128)
    runs = []
    for name in ("a", "b"):
        _, _, parts = in_parts(source, tmp_path / f"{name}.mp4", (6, 1), codec=codec, options=options)
        runs.append([part.path.read_bytes() for part in parts])
    assert runs[0] == runs[1] and len(runs[0]) == 5
    extradata = set()
    for part in parts:
        with av.open(str(part.path)) as container:
            extradata.add(container.streams.video[0].codec_context.extradata)
    assert len(extradata) == 1 and None not in extradata


@pytest.mark.parametrize(
    ("codec", "suffix", "expected"),
    [
        ("libx264", ".mkv", ".mp4"),
        ("libx265", ".mov", ".mp4"),
        ("libsvtav1", ".webm", ".mp4"),
        ("libvpx-vp9", ".webm", ".mp4"),
        ("ffv1", ".mkv", ".mp4"),
        ("mpeg2video", ".mkv", ".mp4"),
        ("prores_ks", ".mkv", ".mov"),
        ("dnxhd", ".mov", ".mov"),
        ("libvpx", ".webm", ".nut"),
    ],
)
def test_the_container_of_parts(tmp_path: Path, codec: str, suffix: str, expected: str) -> None:
    pix_fmt = "yuv422p10le" if codec in {"prores_ks", "dnxhd"} else "yuv420p"
    info = described(lossless_clip(tmp_path / "in.mov", pix_fmt, durations=(512,)))
    encoding = choose_encoding(codec, info, tmp_path / f"out{suffix}")
    assert part_suffix(encoding) == expected
    wrong = tmp_path / "part.avi"
    with pytest.raises(UsageError, match=rf"part\.avi.*{expected}"):
        PartWriter(wrong, info, encoding, threads=1)


def test_an_encoder_that_no_exact_container_takes_is_refused(tmp_path: Path) -> None:
    info = described(lossless_clip(tmp_path / "in.mov", durations=(512,), width=176, height=144))
    with pytest.raises(UsageError, match="another --codec"):
        part_suffix(choose_encoding("rv10", info, tmp_path / "out.mkv"))


@pytest.mark.parametrize(
    ("codec", "options", "named"),
    [
        ("libx264", None, None),
        ("libx264", {"crf": "23", "preset": "slow", "tune": "film"}, None),
        ("libx264", {"b": "0", "crf": "20", "maxrate": "0"}, None),
        ("libx264", {"b": "8M"}, "b"),
        ("libx264", {"crf": "20", "maxrate": "8M", "bufsize": "16M"}, "maxrate"),
        ("libx264", {"crf": "20", "bufsize": "16M"}, "bufsize"),
        ("libx264", {"b": "8M", "flags": "+pass2"}, "flags pass"),
        ("libx264", {"x264-params": "keyint=48:crf=20"}, None),
        ("libx264", {"x264-params": "keyint=48:bitrate=9000"}, "x264-params bitrate"),
        ("libx264", {"x264-params": "crf=20:vbv_maxrate=9000"}, "x264-params vbv_maxrate"),
        ("libx264", {"x264-params": "nal-hrd=none"}, None),
        ("libx264", {"x264opts": "crf=20:vbv-bufsize=9000"}, "x264opts vbv-bufsize"),
        ("libx264", {"x264-params": "crf=20:zones=0,100,q=20"}, "x264-params zones"),
        ("libx265", None, None),
        ("libx265", {"x265-params": "pass=2:stats=a.log"}, "x265-params pass"),
        ("libx265", {"x265-params": "crf=20:hrd=1"}, "x265-params hrd"),
        ("libx265", {"x265-params": "crf=20:strict-cbr"}, "x265-params strict-cbr"),
        ("libsvtav1", None, None),
        ("libsvtav1", {"crf": "30"}, None),
        ("libsvtav1", {"svtav1-params": "rc=1:tbr=2000"}, "svtav1-params rc"),
        ("libsvtav1", {"svtav1-params": "tbr=2000"}, "svtav1-params tbr"),
        ("libsvtav1", {"crf": "30", "svtav1-params": "mbr=2000"}, "svtav1-params mbr"),
        ("libvpx-vp9", None, None),
        ("libvpx-vp9", {"b": "2M", "crf": "20"}, "b"),
        ("libvpx", None, None),
        ("libvpx", {"crf": "10"}, "b"),
        ("mpeg2video", None, None),
        ("mpeg2video", {"b": "8M"}, "b"),
        ("prores", {"profile": "3"}, None),
        ("dnxhd", {"profile": "dnxhd", "b": "120M"}, None),
        ("ffv1", {"g": "1"}, None),
        ("h264_nvenc", None, None),
        ("h264_qsv", None, "h264_qsv without a constant quality (qp or cq)"),
        ("h264_nvenc", {"rc": "constqp", "qp": "20"}, None),
        ("hevc_nvenc", {"rc": "vbr", "cq": "20", "b": "0"}, None),
        ("hevc_nvenc", {"rc": "cbr"}, "rc"),
    ],
)
def test_what_needs_the_whole_film(
    tmp_path: Path, codec: str, options: dict[str, str] | None, named: str | None
) -> None:
    pix_fmt = "yuv422p10le" if codec in {"prores", "dnxhd"} else "yuv420p"
    info = described(lossless_clip(tmp_path / "in.mov", pix_fmt, durations=(512,)))
    suffix = {"libvpx": ".webm", "prores": ".mov", "dnxhd": ".mov"}.get(codec, ".mp4")
    encoding = choose_encoding(codec, info, tmp_path / f"out{suffix}", options=options)
    assert needs_whole_film(encoding) == named


def test_parts_are_whole_or_absent(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    path = tmp_path / "part.mp4"
    with Reader(source) as reader:
        frames, info = list(reader), reader.info
    encoding = choose_encoding("libx264", info, tmp_path / "out.mp4", options=QUICK)
    with pytest.raises(UsageError, match="without frames"), PartWriter(path, info, encoding, threads=1):
        pass
    with pytest.raises(ZeroDivisionError), PartWriter(path, info, encoding, threads=1) as writer:
        writer.write(frames[0])
        raise ZeroDivisionError
    with PartWriter(path, info, encoding, threads=1) as writer:
        writer.write(frames[0])
        writer.abandon()
    assert [each.name for each in tmp_path.iterdir()] == ["in.mp4"]
    with PartWriter(path, info, encoding, threads=1) as writer:
        with pytest.raises(BusyError, match=r"part\.mp4"):
            PartWriter(path, info, encoding, threads=1)
        writer.write(frames[0])
    with pytest.raises(OutputExistsError):
        PartWriter(path, info, encoding, threads=1)
    with pytest.raises(OutputError):
        PartWriter(tmp_path / "absent" / "part.mp4", info, encoding, threads=1)
    with pytest.raises(UsageError, match="source itself"):
        PartWriter(source, info, encoding, threads=1, overwrite=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.mp4", "part.mp4"]
    assert len(pictures(path)) == writer.part.frames == 1


PROGRAM = """
import json, os, resource, signal, sys
from pathlib import Path
from crossface.engine.errors import CrossfaceError
from crossface.engine.video.part import PartWriter
from crossface.engine.video.reader import Reader
from crossface.engine.video.writing.codecs import choose_encoding
source, target, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with Reader(source) as reader:
        encoding = choose_encoding("libx264", reader.info, target, options={"preset": "ultrafast", "qp": "0"})
        with PartWriter(target, reader.info, encoding, threads=1) as writer:
            for frame in reader:
                writer.write(frame)
                if not limit and frame.index == 10:
                    os.kill(os.getpid(), signal.SIGKILL)
except CrossfaceError as error:
    print(json.dumps([error.exit_code, str(error)]))
"""


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", width=320, height=180)
    for limit_bytes in (20, 50_000):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(source), str(tmp_path / "part.mp4"), str(limit_bytes)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        exit_code, message = json.loads(run.stdout)
        assert exit_code == 74 and "part.mp4" in message
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_what_killed_processes_leave_is_swept_and_the_rest_stays(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", width=320, height=180)
    folder = tmp_path / "job"
    folder.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(source), str(folder / "part.mp4"), "0"], check=False
    )
    assert run.returncode == -signal.SIGKILL
    (folder / "plan.json").write_text("{}")
    (folder / "visible.part").write_text("somebody's")
    (folder / ".folder.part").mkdir()
    (folder / ".link.part").symlink_to(source)
    left = [".folder.part", ".link.part", "plan.json", "visible.part"]
    assert (folder / ".part.mp4.part").exists()
    with PartFile(folder / "live.mp4", overwrite=False):
        assert sweep(folder) == [folder / ".part.mp4.part"]
        assert sorted(os.listdir(folder)) == sorted([*left, ".live.mp4.part"])
    assert sweep(folder) == []
    assert sorted(os.listdir(folder)) == sorted([*left, "live.mp4"]) and source.exists()
    with pytest.raises(OutputError):
        sweep(folder / "plan.json" / "no folder")

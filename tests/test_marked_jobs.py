"""The imperceptible marks of whole jobs: the same however work is split, and another's for another job.

That segments which are done apart, in another order, give the same packets is in test_credentials.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from make_streams import packets_of
from split_clip import split_clip
from test_convert import edited, run
from test_resume import COMMAND, at, job

from crossface.engine import ConversionSettings, convert, verify
from crossface.engine.jobs.folder import folder_of
from crossface.engine.jobs.plan import Plan
from crossface.engine.provenance.mark.find import find_mark

SAMPLE = Path(__file__).parent.parent / "samples" / "demo.onnx"
OPTIONS = ["--segment-seconds", "0.4", "--crf", "20", "--preset", "ultrafast", "--encoder-threads", "1"]
SETTINGS = ConversionSettings(
    segment_s=0.4, encoder_options={"crf": "20", "preset": "ultrafast"}, encoder_threads=1
)
SEGMENTS = 3


@pytest.fixture(scope="module")
def clip(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of a talking head, as large as the clip itself."""
    path = tmp_path_factory.mktemp("clip") / "split.mp4"
    return split_clip(clips / "single_face.mp4", path, every=12, frames=36, width=640, height=360)


@pytest.fixture(scope="module")
def film(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by one process in one run."""
    path = tmp_path_factory.mktemp("film") / "out.mp4"
    run(convert(clip, SAMPLE, path, settings=SETTINGS, rights_stated=True, device="cpu"))
    assert len(plan_of(path).segments) == SEGMENTS
    return path


def plan_of(film: Path) -> Plan:
    return Plan.read(folder_of(film) / "plan.json")


def pictures(film: Path) -> list[tuple[Any, ...]]:
    """Times and payloads of the packets."""
    ((_, packets),) = packets_of(film, types=("video",))
    assert len(packets) == 36
    return packets


def test_a_remux_loses_the_credentials_and_the_faces_still_tell_the_job(film: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.mp4"
    with av.open(str(film)) as source, av.open(str(bare), "w") as copy:
        stream = source.streams.video[0]
        target = copy.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = target
                copy.mux(packet)
    found = verify(bare)
    assert found.mark is not None and found.mark.payload == plan_of(film).payload
    assert (found.credentials.state, found.verdict, found.exit_code) == ("absent", "carried", 5)
    report = json.loads((folder_of(film) / "report.json").read_text())
    assert report["provenance"]["imperceptible_mark"] == str(found.mark.payload)
    assert verify(film, look_at_faces=False).verdict == "marked"


def test_a_killed_job_that_several_workers_end_carries_the_same(
    clip: Path, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    command = [*COMMAND, "convert", str(clip), str(SAMPLE), "-o", str(out), *OPTIONS, "--i-have-the-rights"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert at("segment", out, process)
        process.send_signal(signal.SIGKILL)
    assert not out.exists() and (job(out) / "plan.json").exists()
    done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert pictures(out) == pictures(film)
    assert plan_of(out).payload == plan_of(film).payload


def test_an_edited_faces_file_makes_another_job_and_its_film_says_which(
    clip: Path, film: Path, tmp_path: Path
) -> None:
    def without_one(lines: list[dict[str, object]]) -> None:
        lines[1 + 20]["faces"] = []

    faces = edited(folder_of(film) / "shot.faces", tmp_path / "edited.faces", without_one)
    out = tmp_path / "edited.mp4"
    finished, _ = run(
        convert(clip, SAMPLE, out, faces=faces, settings=SETTINGS, rights_stated=True, device="cpu")
    )
    mine, others = plan_of(out).payload, plan_of(film).payload
    assert finished.faces == 35 and mine != others
    found = find_mark(out)
    assert found.state == "found" and found.payload == mine


def test_what_was_chosen_makes_the_payload_and_nothing_else(film: Path, tmp_path: Path) -> None:
    plan = plan_of(film)
    elsewhere = replace(
        plan, source=tmp_path / "other.mp4", output=tmp_path / "o.mov", fingerprint={"machine": "another"}
    )
    assert elsewhere.payload == plan.payload and elsewhere.id != plan.id
    (model,) = plan.models
    others = [
        replace(plan, source_hash="0" * 64),
        replace(plan, faces_hash="0" * 64),
        replace(plan, models=(replace(model, sha256="0" * 64),)),
        replace(plan, models=(replace(model, whom="0"),)),
        replace(plan, analysis=replace(plan.analysis, detect_every=7)),
        replace(plan, conversion=replace(plan.conversion, colour="mkl")),
        replace(plan, conversion=replace(plan.conversion, encoder_options={"crf": "21"})),
        replace(plan, reading=replace(plan.reading, end="2")),
    ]
    assert len({each.payload for each in (plan, *others)}) == 1 + len(others)
    unmarked = replace(plan.conversion, unmarked_because="a test of that")
    assert replace(plan, conversion=unmarked).payload is None

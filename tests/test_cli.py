"""The command as a user meets it: exit codes, one line of error, and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from make_clips import make_clip
from test_model_file import foreign

from crossface.engine import cli

COMMAND = [sys.executable, "-c", "from crossface.engine.cli import main; main()"]


@pytest.fixture
def crossface(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Runs the command in this process: exit code, lines of stdout, lines of stderr."""

    def run(*arguments: object) -> tuple[int, list[str], list[str]]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, printed.out.splitlines(), printed.err.splitlines()

    return run


Crossface = Callable[..., tuple[int, list[str], list[str]]]


def file_with(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def sound_only(path: Path) -> Path:
    import av
    import numpy as np

    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000)
        stream.layout = "mono"
        for start in range(0, 4096, 1024):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            tone.sample_rate, tone.pts = 48000, start
            output.mux(stream.encode(tone))
        output.mux(stream.encode(None))
    return path


CLIPS: dict[str, tuple[Callable[[Path, Path], Path], int]] = {
    "text": (lambda clips, folder: file_with(folder / "clip.mp4", b"this is no video\n" * 50), 65),
    "empty": (lambda clips, folder: file_with(folder / "clip.mp4", b""), 65),
    "truncated": (
        lambda clips, folder: file_with(
            folder / "clip.mp4", (clips / "single_face.mp4").read_bytes()[:100_000]
        ),
        65,
    ),
    "sound only": (lambda clips, folder: sound_only(folder / "clip.mp4"), 65),
    "missing": (lambda clips, folder: folder / "clip.mp4", 66),
    "a folder": (lambda clips, folder: folder, 66),
}


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("command", ["analyze", "convert", "extract"])
def test_clips_that_cannot_be_used(
    clips: Path, swapper: Path, tmp_path: Path, crossface: Crossface, kind: str, command: str
) -> None:
    make, expected = CLIPS[kind]
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    clip = make(clips, folder)
    output = out / {"analyze": "shot.faces", "convert": "out.mp4", "extract": "faceset"}[command]
    code, printed, errors = crossface(command, clip, *[swapper] * (command == "convert"), "-o", output)
    assert code == expected
    assert printed == []
    assert len(errors) == 1 and errors[0].startswith("crossface: ") and str(clip) in errors[0]
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("missing", 66), ("text", 65), ("foreign", 65), ("truncated", 65)],
)
def test_models_that_cannot_be_used(
    clips: Path, swapper: Path, tmp_path: Path, crossface: Crossface, kind: str, expected: int
) -> None:
    model, out = tmp_path / "model.onnx", tmp_path / "out"
    out.mkdir()
    if kind == "foreign":
        foreign(model)
    elif kind != "missing":
        content = swapper.read_bytes()
        model.write_bytes(b"text" if kind == "text" else content[: len(content) // 2])
    code, _, errors = crossface("convert", clips / "single_face.mp4", model, "-o", out / "out.mp4")
    assert code == expected
    assert len(errors) == 1 and str(model) in errors[0]
    assert list(out.iterdir()) == []


def test_no_face_at_all_is_an_error_of_extract(clips: Path, tmp_path: Path, crossface: Crossface) -> None:
    clip = make_clip(tmp_path / "clip.mp4", durations=(512,) * 5)
    code, printed, errors = crossface("extract", clip, "-o", tmp_path / "faceset")
    assert code == 65 and printed == []
    assert "no face found" in errors[-1] and str(clip) in errors[-1]
    assert sum(line.startswith("crossface: ") for line in errors) == 1
    assert list(tmp_path.iterdir()) == [clip]


def test_a_failed_extraction_keeps_the_old_faceset(clips: Path, tmp_path: Path, crossface: Crossface) -> None:
    faceset = tmp_path / "faceset"
    code, *_ = crossface("extract", clips / "single_face.mp4", "-o", faceset, "--every", 30)
    assert code == 0
    before = {path.name: path.read_bytes() for path in faceset.rglob("*") if path.is_file()}
    assert sorted(before) == ["000000.png", "000001.png", "000002.png", "faceset.jsonl"]
    code, _, errors = crossface("extract", clips / "single_face.mp4", "-o", faceset)
    assert code == 73 and len(errors) == 1
    faceless = make_clip(tmp_path / "clip.mp4", durations=(512,) * 3)
    assert crossface("extract", faceless, "-o", faceset, "--overwrite")[0] == 65
    assert {path.name: path.read_bytes() for path in faceset.rglob("*") if path.is_file()} == before
    code, *_ = crossface(
        "extract", clips / "single_face.mp4", "-o", faceset, "--overwrite", "--every", 10, "--range", "1-2"
    )
    assert code == 0
    records = [json.loads(line) for line in (faceset / "faceset.jsonl").read_text().splitlines()[1:]]
    assert len(records) >= 2
    assert all(record["frame"] % 10 == 0 and 1 <= record["time_s"] < 2 for record in records)
    assert sorted(f"faces/{path.name}" for path in (faceset / "faces").iterdir()) == [
        record["file"] for record in records
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "faceset"]


def test_outputs_that_cannot_be_written(
    clips: Path, swapper: Path, tmp_path: Path, crossface: Crossface
) -> None:
    clip = clips / "single_face.mp4"
    file = file_with(tmp_path / "file", b"")
    for folder in (tmp_path / "missing", file, Path("/proc")):
        for command, name in (("analyze", "shot.faces"), ("convert", "out.mp4")):
            output = folder / name
            code, _, errors = crossface(command, clip, *[swapper] * (command == "convert"), "-o", output)
            assert code == 74, errors
            assert len(errors) == 1 and str(output) in errors[0]
    code, _, errors = crossface("extract", clip, "-o", file / "faceset")
    assert code == 74 and len(errors) == 1 and str(file) in errors[0]
    assert list(tmp_path.iterdir()) == [file]


def test_an_output_that_exists_needs_overwrite(
    clips: Path, swapper: Path, tmp_path: Path, crossface: Crossface
) -> None:
    output = file_with(tmp_path / "out.mp4", b"an old film")
    arguments = ("convert", clips / "no_face.mp4", swapper, "-o", output)
    code, _, errors = crossface(*arguments)
    assert code == 73 and len(errors) == 1 and str(output) in errors[0] and "--overwrite" in errors[0]
    assert output.read_bytes() == b"an old film"
    code, printed, errors = crossface(*arguments, "--overwrite")
    assert code == 0 and printed == [str(output)]
    assert f"crossface: {swapper}: draws nobody: consent nobody is drawn" in errors
    assert sum(line.startswith("crossface: warning: ") for line in errors) == len(errors) - 1 > 0
    assert output.read_bytes() == (clips / "no_face.mp4").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "--no-such-option"],
        ["no-such-command"],
        ["analyze", "clip.mp4"],
        ["convert", "clip.mp4", "model.onnx", "-o", "out.mp4", "--colour", "grey"],
        ["convert", "clip.mp4", "model.onnx", "-o", "out.mp4", "--encoder-option", "crf"],
        ["extract", "clip.mp4", "-o", "faceset", "--range", "5-2"],
        ["extract", "clip.mp4", "-o", "faceset", "--range", "word"],
    ],
)
def test_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crossface: Crossface, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, errors = crossface(*arguments)
    assert code == 2 and printed == [] and errors
    assert list(tmp_path.iterdir()) == []


def test_the_source_as_output_is_refused(
    clips: Path, swapper: Path, tmp_path: Path, crossface: Crossface
) -> None:
    clip = file_with(tmp_path / "clip.mp4", (clips / "single_face.mp4").read_bytes())
    for arguments in (("convert", clip, swapper), ("analyze", clip), ("sheet", clip, clip)):
        overwrite = [] if arguments[0] == "sheet" else ["--overwrite"]
        code, _, errors = crossface(*arguments, "-o", clip, *overwrite)
        assert code == 2 and len(errors) == 1 and str(clip) in errors[0]
    assert clip.read_bytes() == (clips / "single_face.mp4").read_bytes()
    assert list(tmp_path.iterdir()) == [clip]


def test_progress_in_json(clips: Path, tmp_path: Path, crossface: Crossface) -> None:
    output = tmp_path / "shot.faces"
    code, printed, errors = crossface(
        "analyze", clips / "single_face.mp4", "-o", output, "--progress", "json"
    )
    assert code == 0 and errors == []
    *progress, done = [json.loads(line) for line in printed]
    assert done == {"ev": "done", "output": str(output), "frames": 72, "faces": 72, "already": False}
    assert progress and all(line["ev"] == "progress" and line["stage"] == "analyze" for line in progress)
    assert progress[-1]["frame"] == progress[-1]["of"] == 72
    assert [line["frame"] for line in progress] == sorted(line["frame"] for line in progress)


def test_faces_file_and_sheet_from_the_command_line(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path, crossface: Crossface
) -> None:
    clip, faces = clips / "single_face.mp4", analysed("single_face.mp4")
    out, picture = tmp_path / "out.mkv", tmp_path / "sheet.png"
    code, printed, errors = crossface(
        "convert", clip, swapper, "-o", out, "--faces", faces, "--preset", "ultrafast", "--crf", 28,
        "--colour", "mkl", "--batch", 3, "--encoder-option", "tune=film",
    )  # fmt: skip
    assert code == 0 and printed == [str(out)]
    told = "crossface: decode: cpu, networks: cpu, encode: libx264"
    drawn = f"crossface: {swapper}: draws nobody: consent nobody is drawn"
    assert [line for line in errors if "warning" not in line] == [drawn, told]
    code, printed, _ = crossface("sheet", out, clip, "-o", picture, "--faces", faces, "--rows", 2)
    assert code == 0 and printed == [str(picture)]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", [["analyze"], ["convert"]])
def test_tampered_weights_name_the_command_to_run(
    clips: Path,
    swapper: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crossface: Crossface,
    command: list[str],
) -> None:
    weights = Path(cli.weights.__file__).parent
    if not list(weights.glob("*.onnx")):
        pytest.fail('no face models beside the package; run "make setup"')
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    content = bytearray((folder / "face_mesh.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "face_mesh.onnx").write_bytes(content)
    monkeypatch.setenv("CROSSFACE_WEIGHTS", str(folder))
    clip, output = clips / "single_face.mp4", tmp_path / "out.mp4"
    code, _, errors = crossface(*command, clip, *[swapper] * (command == ["convert"]), "-o", output)
    assert code == 78
    (error,) = (line for line in errors if "draws nobody" not in line)
    assert str(folder / "face_mesh.onnx") in error and "crossface weights" in error
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stage", ["analyze", "convert"])
def test_a_signal_stops_the_work_and_leaves_nothing(
    clips: Path,
    analysed: Callable[[str], Path],
    swapper: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    stage: str,
) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    # So slow that no part of the work is done before the signal comes, also where this process has to wait.
    clip = clips / {"analyze": "WolfgangLanger_Pexels.mp4", "convert": "face_noface.mov"}[stage]
    slow = {"analyze": ["--detect-every", "1"], "convert": ["--faces", str(analysed(clip.name))]}[stage]
    options = ["--progress", "json", "--preset", "placebo"]
    with subprocess.Popen(
        [*COMMAND, "convert", clip, swapper, "-o", out / "out.mov", *slow, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        # A shell's background jobs, such as these tests may be, are born deaf to SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = map(json.loads, process.stdout)
        first = next((line for line in lines if line["ev"] == "progress"), None)
        assert first is not None and first["stage"] == stage, process.stderr.read()
        # Anywhere in the work, not at the moment after a line was printed.
        time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "unfinished outputs were removed" in errors and "Traceback" not in errors
    assert list(out.rglob("*")) == [] and list(scratch.rglob("*")) == []

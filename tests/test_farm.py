"""Job templates: what a farm is told, and the real ``openjd run`` of it with a stand-in for the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.errors import BadInputError, InputMissingError, OutputExistsError, UsageError
from crossface.engine.jobs.farm import FarmSettings, openjd_template, submit_command
from crossface.engine.jobs.plan import Plan, Segment
from crossface.engine.jobs.planning import make_plan
from crossface.engine.jobs.segment_range import parse_segments
from crossface.engine.jobs.yaml_text import yaml_text

# Writes down how it was called and, where a test asks for it, where it would find the plan's source.
STAND_IN = """#!{python}
import json, os, signal, sys, time
from pathlib import Path

home = Path(__file__).parent
call = {{"arguments": sys.argv[1:], "cores": os.environ.get("CROSSFACE_CORES")}}
if (home / "map").exists():
    from crossface.engine.jobs.path_mapping import PathMapping

    call["source"] = str(PathMapping.of_environment().here("/studio/clip.mov"))
with (home / "calls").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
if (home / "hang").exists():
    def stop(*_):
        (home / "stopped").touch()
        sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    (home / "hanging").touch()
    time.sleep(60)
if "--seg" in sys.argv and (home / "fail").exists():
    print("openjd_fail: clip.mov: frame 3 is damaged", flush=True)
    sys.exit(65)
print("openjd_progress: 100.0", flush=True)
"""


Plans = Callable[..., Plan]


@pytest.fixture(scope="module")
def plan_of(clips: Path, swapper: Path, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """Makes plans of any number of segments."""
    plan = make_plan(
        clips / "single_face.mp4",
        {None: swapper},
        tmp_path_factory.mktemp("plan") / "out.mp4",
    )

    def of(segments: int, **changes: Any) -> Plan:
        numbered = tuple(Segment(number, 250 * number, 250, None, None) for number in range(segments))
        return replace(plan, segments=numbered, **changes)

    return of


class Farm:
    """``openjd`` with a stand-in for ``crossface``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = folder / "crossface"
        self.command.write_text(STAND_IN.format(python=sys.executable))
        self.command.chmod(0o755)

    def template(self, plan: Plan, settings: FarmSettings | None = None, job: str = "out.mov.job") -> Path:
        plan_path = self.folder / job / "plan.json"
        plan_path.parent.mkdir()
        plan.write(plan_path)
        path = self.folder / "job.yaml"
        path.write_text(openjd_template(plan_path, plan, settings or FarmSettings()), encoding="utf-8")
        return path

    def openjd(self, verb: str, template: Path, *others: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "openjd", verb, str(template), *others]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")

    def run(self, template: Path, *others: str) -> subprocess.CompletedProcess[str]:
        return self.openjd("run", template, "-p", f"Crossface={self.command}", *others)

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


@pytest.mark.needs_openjd
@pytest.mark.parametrize(("segments", "chunk", "tasks"), [(1, 4, 1), (5, 2, 3), (10, 1, 10)])
def test_openjd_runs_analysis_then_conversion_then_the_join(
    farm: Farm, plan_of: Plans, segments: int, chunk: int, tasks: int
) -> None:
    template = farm.template(plan_of(segments), FarmSettings(chunk=chunk, vcpu=3))
    assert farm.openjd("check", template).returncode == 0
    ran = farm.run(template)
    assert ran.returncode == 0, ran.stdout
    calls = farm.calls
    plan = str(farm.folder / "out.mov.job" / "plan.json")
    assert {call["arguments"][1] for call in calls} == {plan}
    assert {call["cores"] for call in calls} == {"3"}
    stages = [call["arguments"][call["arguments"].index("--stage") + 1] for call in calls[:-1]]
    assert stages == ["analyze"] * tasks + ["convert"] * tasks
    for stage in (calls[:tasks], calls[tasks:-1]):
        ranges = [call["arguments"][call["arguments"].index("--seg") + 1] for call in stage]
        done = [number for text in ranges for number in parse_segments(text, segments)]
        assert done == list(range(segments))
    assert calls[-1]["arguments"] == ["join", plan, "--progress", "openjd"]
    assert all(call["arguments"][-2:] == ["--progress", "openjd"] for call in calls)


@pytest.mark.needs_openjd
def test_a_plan_with_its_faces_is_not_analysed(farm: Farm, plan_of: Plans) -> None:
    assert farm.run(farm.template(plan_of(4, faces=Path("/studio/shot.faces")))).returncode == 0
    assert [call["arguments"][0] for call in farm.calls] == ["segment", "join"]
    assert "convert" in farm.calls[0]["arguments"]


@pytest.mark.needs_openjd
def test_paths_are_mapped_where_disks_are_mounted_elsewhere(farm: Farm, plan_of: Plans) -> None:
    (farm.folder / "map").touch()
    rules = [("/studio", "/mnt/disk7"), (str(farm.folder), "/mnt/jobs")]
    mapping = {
        "version": "pathmapping-1.0",
        "path_mapping_rules": [
            {"source_path_format": "POSIX", "source_path": source, "destination_path": destination}
            for source, destination in rules
        ],
    }
    ran = farm.run(farm.template(plan_of(2)), "--path-mapping-rules", json.dumps(mapping))
    assert ran.returncode == 0, ran.stdout
    assert {call["arguments"][1] for call in farm.calls} == {"/mnt/jobs/out.mov.job/plan.json"}
    assert {call["source"] for call in farm.calls} == {"/mnt/disk7/clip.mov"}


@pytest.mark.needs_openjd
def test_a_failed_task_ends_the_job_before_the_join(farm: Farm, plan_of: Plans) -> None:
    (farm.folder / "fail").touch()
    ran = farm.run(farm.template(plan_of(3)))
    assert ran.returncode != 0
    assert "clip.mov: frame 3 is damaged" in ran.stdout
    assert [call["arguments"][0] for call in farm.calls] == ["segment"]


@pytest.mark.needs_openjd
def test_a_cancelled_task_is_asked_to_stop(farm: Farm, plan_of: Plans) -> None:
    (farm.folder / "hang").touch()
    template = farm.template(plan_of(3), FarmSettings(grace_s=20))
    command = [sys.executable, "-m", "openjd", "run", str(template), "-p", f"Crossface={farm.command}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not (farm.folder / "hanging").exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) != 0
    assert (farm.folder / "stopped").exists(), "killed without being asked"


@pytest.mark.needs_openjd
@pytest.mark.parametrize(
    "name", ["a {{Param.X}} b.mov", "schön 映画.mov", 'it\'s "quoted": #1 & *.mov', "x" * 200]
)
def test_names_that_mean_something_elsewhere(farm: Farm, plan_of: Plans, name: str) -> None:
    template = farm.template(plan_of(2, output=Path(f"/studio/{name}")), job=f"{name[:100]}.job")
    ran = farm.run(template)
    assert ran.returncode == 0, ran.stdout
    assert farm.calls[0]["arguments"][1] == str(farm.folder / f"{name[:100]}.job" / "plan.json")


@pytest.mark.parametrize("folder", ["a\nb", "a\tb", os.fsdecode(b"caf\xe9"), "long/" * 300])
def test_paths_that_no_farm_takes(plan_of: Plans, folder: str) -> None:
    with pytest.raises(UsageError, match=r"a farm takes (no such|paths of at most 1024)"):
        openjd_template(Path("/jobs") / folder / "plan.json", plan_of(1))


scalars = st.integers(-(10**9), 10**9) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = st.from_regex(r"[A-Za-z]{3,12}", fullmatch=True).filter(lambda key: key.lower() not in ("yes", "off"))
nodes = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4) | st.dictionaries(keys, inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.needs_openjd  # whose reader of YAML is used
@given(st.dictionaries(st.sampled_from(["a", "list", "name"]), nodes, min_size=1))
def test_yaml_is_read_as_it_was_meant(document: dict[str, Any]) -> None:
    import yaml

    assert yaml.safe_load(yaml_text(document)) == document


@pytest.mark.parametrize(
    "word", ["yes", "No", "null", "~", "1", "1e3", "0x1", "", " a", "a ", "-", "a: b", "1:30"]
)
def test_words_that_yaml_takes_for_something_else_are_quoted(word: str) -> None:
    assert yaml_text({"key": word}) == f'key: "{word}"\n'


class TestCommand:
    @pytest.fixture
    def plan(self, plan_of: Plans, tmp_path: Path) -> Path:
        plan_of(8).write(tmp_path / "plan.json")
        return tmp_path / "plan.json"

    def submit(self, *arguments: object) -> None:
        submit_command.main([str(argument) for argument in arguments], standalone_mode=False)

    def test_prints_or_writes(self, plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.submit(plan, "--format", "openjd", "--chunk", 3)
        printed = capsys.readouterr().out
        assert "specificationVersion: jobtemplate-2023-09" in printed and "default: 3" in printed
        self.submit(plan, "--chunk", 3, "-o", plan.with_name("job.yaml"))
        assert plan.with_name("job.yaml").read_text() == printed

    def test_the_plan_is_named_by_its_whole_path(
        self, plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(plan.parent)
        self.submit("plan.json")
        assert f'default: "{plan}"' in capsys.readouterr().out

    def test_refuses(self, plan: Path, tmp_path: Path) -> None:
        output = tmp_path / "job.yaml"
        output.touch()
        with pytest.raises(OutputExistsError):
            self.submit(plan, "-o", output)
        with pytest.raises(UsageError, match=r"end it in \.yaml"):
            self.submit(plan, "-o", tmp_path / "job.json")
        with pytest.raises(InputMissingError):
            self.submit(tmp_path / "none.json")
        with pytest.raises(BadInputError):
            self.submit(output)
        for option in (["--chunk", 0], ["--grace", 601], ["--format", "tractor"]):
            with pytest.raises(click.BadParameter):
                self.submit(plan, *option)


def test_submitted_templates_are_the_same_for_the_same_plan(plan_of: Plans) -> None:
    plan = plan_of(12)
    settings = replace(FarmSettings(), chunk=5)
    assert openjd_template(Path("/j/plan.json"), plan, settings) == openjd_template(
        Path("/j/plan.json"), plan, settings
    )

"""Job descriptions for render farms, made from a plan.

The form is Open Job Description (https://github.com/OpenJobDescription): a template of three steps,
Analyze, Convert and Join, that call ``crossface segment`` and ``crossface join``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import UsageError
from ..options import PATH, overwrite_option
from ..part_file import PartFile, keep_sources
from .fingerprint import is_of_gpu
from .path_mapping import VARIABLE as PATH_MAPPING
from .plan import Plan
from .yaml_text import Node, yaml_text

# Limits of the specification.
_VALUE_CHARACTERS = 1024
_NAME_CHARACTERS = 128
_GRACE_MAX_S = 600


@dataclass(frozen=True)
class FarmSettings:
    """What the tasks of a farm are like.

    Attributes:
        chunk: segments a task, which loads the networks once.
        vcpu: cores that a host must have free for a task, and that the task uses.
        memory_mib: memory that a host must have free for a task.
        grace_s: seconds between the request to stop (SIGTERM) and the kill, 1 to 600.
    """

    chunk: int = 4
    vcpu: int = 4
    memory_mib: int = 2048
    grace_s: int = 60


_DEFAULTS = FarmSettings()


def openjd_template(plan_path: Path, plan: Plan, settings: FarmSettings = _DEFAULTS) -> str:
    """Writes a job template, ``jobtemplate-2023-09`` with ``TASK_CHUNKING``, as YAML.

    A session runs in a folder of its own, so the plan's path is absolute. It goes to the tasks as a
    task parameter of type PATH, which the farm's path mapping changes where a host mounts the disks
    elsewhere. (A PATH parameter of the *job* may not have an absolute default.) What the plan itself
    names is mapped by `path_mapping` with the same rules.

    Args:
        plan_path: of the plan; the job folder is its folder.
        plan: what it holds.
        settings: of the tasks.

    Raises:
        UsageError: the path is too long for a job parameter, or has characters that no parameter may have.
    """
    location = str(plan_path.absolute())
    if not location.isprintable():
        raise UsageError(f"{plan_path}: a farm takes no such characters in a path: rename the folder")
    if len(location) > _VALUE_CHARACTERS:
        raise UsageError(
            f"{plan_path}: a farm takes paths of at most {_VALUE_CHARACTERS} characters: move it"
        )
    steps: list[dict[str, Node]] = []
    # Tasks work where the plan was made for.
    gpus = int(is_of_gpu(plan.fingerprint))
    if plan.faces is None:
        steps.append(_segments_step("Analyze", settings, gpus))
    steps.append(_segments_step("Convert", settings, gpus) | _after(steps))
    steps.append(_join_step(settings) | _after(steps))
    last = len(plan.segments) - 1
    return yaml_text(
        {
            "specificationVersion": "jobtemplate-2023-09",
            "extensions": ["TASK_CHUNKING"],
            # Braces mean something in a name, but nothing in a parameter's value.
            "name": "{{Param.Name}}",
            "parameterDefinitions": [
                _parameter("Name", "STRING", _name(plan), "What the farm calls the job."),
                _parameter("Plan", "STRING", location, "Its absolute path where you submit."),
                _parameter("Segments", "STRING", f"0-{last}" if last else "0", "Join needs all of them."),
                _parameter("SegmentsPerTask", "INT", settings.chunk, "The networks load once a task."),
                _parameter("Crossface", "STRING", "crossface", "The command, where it is not on the path."),
            ],
            "jobEnvironments": [
                {
                    "name": "Crossface",
                    "variables": {"CROSSFACE_CORES": str(settings.vcpu)},
                    # openjd 0.8 cannot fill in the name of the rules' file among the variables.
                    "script": {
                        "actions": {
                            "onEnter": {
                                "command": "echo",
                                "args": [f"openjd_env: {PATH_MAPPING}={{{{Session.PathMappingRulesFile}}}}"],
                            }
                        }
                    },
                }
            ],
            "steps": steps,
        }
    )


def _parameter(name: str, kind: str, default: str | int, description: str) -> dict[str, Node]:
    return {"name": name, "type": kind, "description": description, "default": default}


def _name(plan: Plan) -> str:
    name = "Crossface " + plan.output.name
    return "".join(c if c.isprintable() else "?" for c in name)[:_NAME_CHARACTERS]


def _after(steps: Sequence[Mapping[str, Node]]) -> dict[str, Node]:
    return {"dependencies": [{"dependsOn": steps[-1]["name"]}]} if steps else {}


def _segments_step(name: str, settings: FarmSettings, gpus: int) -> dict[str, Node]:
    segments: Node = {
        "name": "Segments",
        "type": "CHUNK[INT]",
        "range": "{{Param.Segments}}",
        "chunks": {"defaultTaskCount": "{{Param.SegmentsPerTask}}", "rangeConstraint": "CONTIGUOUS"},
    }
    arguments = ["--seg", "{{Task.Param.Segments}}", "--stage", name.lower()]
    return {
        "name": name,
        "parameterSpace": {"taskParameterDefinitions": [_PLAN, segments]},
        "script": _script("segment", arguments, settings),
        "hostRequirements": {
            "amounts": [
                {"name": "amount.worker.vcpu", "min": settings.vcpu},
                {"name": "amount.worker.memory", "min": settings.memory_mib},
                *({"name": "amount.worker.gpu", "min": gpus} for _ in range(gpus)),
            ]
        },
    }


def _join_step(settings: FarmSettings) -> dict[str, Node]:
    return {
        "name": "Join",
        "parameterSpace": {"taskParameterDefinitions": [_PLAN]},
        "script": _script("join", [], settings),
    }


_PLAN: Node = {"name": "Plan", "type": "PATH", "range": ["{{Param.Plan}}"]}


def _script(command: str, arguments: Sequence[str], settings: FarmSettings) -> Node:
    return {
        "actions": {
            "onRun": {
                "command": "{{Param.Crossface}}",
                "args": [command, "{{Task.Param.Plan}}", *arguments, "--progress", "openjd"],
                "cancelation": {
                    "mode": "NOTIFY_THEN_TERMINATE",
                    "notifyPeriodInSeconds": settings.grace_s,
                },
            }
        }
    }


@click.command("submit")
@click.argument("plan", type=PATH)
@click.option("--format", "form", type=click.Choice(["openjd"]), default="openjd", help="Of the description.")
@click.option("-o", "--output", type=PATH, help="The .yaml to write; without it, it is printed.")
@click.option("--chunk", type=click.IntRange(1, 1000), default=_DEFAULTS.chunk, help="Segments a task.")
@click.option("--vcpu", type=click.IntRange(1, 1024), default=_DEFAULTS.vcpu, help="Cores a task.")
@click.option(
    "--memory-mib", type=click.IntRange(256), default=_DEFAULTS.memory_mib, help="Memory a task, in MiB."
)
@click.option(
    "--grace",
    "grace_s",
    type=click.IntRange(1, _GRACE_MAX_S),
    default=_DEFAULTS.grace_s,
    help="Seconds between the request to stop and the kill.",
)
@overwrite_option
def submit_command(plan: Path, form: str, output: Path | None, overwrite: bool, **settings: int) -> None:
    """Write PLAN as a job for a render farm: analyze, convert, join.

    openjd is Open Job Description; try the job out with "openjd run".
    """
    template = openjd_template(plan, Plan.read(plan), FarmSettings(**settings))
    if output is None:
        click.echo(template, nl=False)
        return
    if output.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{output}: readers go by the name: end it in .yaml")
    keep_sources(output, plan)
    with PartFile(output, overwrite=overwrite) as part:
        part.write_text(template, encoding="utf-8")
    click.echo(output)

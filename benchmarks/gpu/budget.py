"""Steps of a long check, each under a budget of time: one over it is stopped, and the others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

# What a process may take to end by itself, before it is killed; and then to be gone.
PATIENCE_S = 3.0


@dataclass(frozen=True)
class Step:
    """Commands, one after the other.

    Attributes:
        name: of the step, and of its log.
        budget_s: wall time of all its commands together.
        commands: each ends with 0, or the step fails.
        environ: variables beside those of this process.
        record: a JSON object that the commands leave; None for no such file.
        needs: steps without which this one cannot be.
    """

    name: str
    budget_s: float
    commands: Sequence[Sequence[str]]
    environ: Mapping[str, str] = field(default_factory=dict)
    record: Path | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a step.

    Attributes:
        name: of the step.
        state: ``done``, ``failed``, ``stopped`` or ``not run``.
        detail: why it is not done, or the last line that it printed.
        seconds: wall time.
        record: what it left; None where it left nothing.
    """

    name: str
    state: str
    detail: str = ""
    seconds: float = 0.0
    record: dict[str, Any] | None = None

    @property
    def is_done(self) -> bool:
        return self.state == "done"


def run(step: Step, folder: Path, left_s: float) -> Outcome:
    """Runs a step under its budget.

    Args:
        step: what to run.
        folder: for its log.
        left_s: what is left of the time of all steps.
    """
    if left_s <= 0:
        return Outcome(step.name, "not run", "no time was left for it")
    if step.record is not None:
        # An earlier run's must not be taken for this one's.
        step.record.unlink(missing_ok=True)
    log = folder / f"{step.name}.log"
    begun_s, budget_s = time.monotonic(), min(step.budget_s, left_s)
    with log.open("wb") as output:
        for command in step.commands:
            try:
                code = _run_one(command, step.environ, output, begun_s + budget_s)
            except OSError as error:
                taken_s = time.monotonic() - begun_s
                return Outcome(step.name, "failed", f"{command[0]}: {error.strerror}", taken_s)
            taken_s = time.monotonic() - begun_s
            if code is None:
                return Outcome(step.name, "stopped", f"after {budget_s:.0f} s", taken_s)
            if code != 0:
                return Outcome(step.name, "failed", f"exit code {code}: {_last_line(log)}", taken_s)
    return _with_record(step, log, taken_s)


def _run_one(
    command: Sequence[str], environ: Mapping[str, str], output: BinaryIO, end_s: float
) -> int | None:
    """The exit code; None where it was stopped."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environ},
        # Its children, such as compilers, end with it.
        start_new_session=True,
    )
    try:
        return process.wait(max(0.0, end_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it started; does not wait for one that is stuck in a driver."""
    for deadly in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, deadly)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)


def _with_record(step: Step, log: Path, taken_s: float) -> Outcome:
    if step.record is None:
        return Outcome(step.name, "done", _last_line(log), taken_s)
    try:
        record = json.loads(step.record.read_text())
    except (OSError, ValueError):
        record = None
    if not record or not record.get("runs"):
        return Outcome(step.name, "failed", f"it measured nothing: {_last_line(log)}", taken_s)
    return Outcome(step.name, "done", _last_line(log), taken_s, record)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it printed nothing"

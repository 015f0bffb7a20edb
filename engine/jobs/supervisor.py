"""Segments side by side, in processes that keep their networks loaded and are replaced when they die."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import errors
from ..errors import BusyError, CrossfaceError
from ..events import Event, Progress
from ..part_file import sweep
from .cores import Cores, available, network_threads, share
from .faces import parts_needed
from .folder import JobFolder
from .plan import Plan, Stage

# How often a task may lose its worker before we look for the reason in the task.
_MOST_DEATHS = 5


def supervise(
    plan: Plan,
    folder: JobFolder,
    missing: Sequence[int],
    workers: int,
    *,
    watch: Sequence[int] | None = None,
) -> Generator[Event, None, bool]:
    """Makes segments in processes of their own; closed at any point, these end.

    Args:
        plan: of the job.
        folder: of the job, with the plan in it.
        missing: numbers of the segments to be made.
        workers: how many processes.
        watch: numbers of the segments to be analysed; where None, those that ``missing`` needs.

    Returns:
        False where no face was found in the whole clip, and nothing was converted therefore.

    Raises:
        CrossfaceError: of a worker, as it was; the others are stopped.
        BusyError: a task loses its worker again and again.
    """
    tasks = _Tasks(plan, folder, missing, watch)
    shares = share(available(), workers)
    messages: queue.Queue[tuple[_Process, dict[str, Any] | None]] = queue.Queue()
    processes: list[_Process] = []
    deaths: Counter[_Task | None] = Counter()
    frames_done: Counter[Stage] = Counter()
    try:
        processes += [_Process(folder, cores, messages) for cores in shares]
        while True:
            for process in processes:
                if process.task is None and (task := tasks.next()) is not None:
                    process.give(task)
            if all(process.task is None for process in processes):
                return tasks.any_face or not plan.copied_without_face
            process, message = messages.get()
            task = process.task
            if message is None:
                processes[processes.index(process)] = _Process(folder, process.cores, messages)
                deaths[task] += 1
                if deaths[task] >= _MOST_DEATHS:
                    raise _too_many_deaths(plan, task, process.exit_status())
                if task is not None:
                    tasks.again(task)
            elif "error" in message:
                raise _error(message)
            elif task is not None:
                frames = plan.segments[task.segment].frames
                if "done" in message:
                    tasks.finished(task, faces=message["faces"])
                    process.task = None
                    frames_done[task.stage] += frames
                    under_way = 0
                else:
                    under_way = message["frame"] * frames // max(1, message["of"])
                yield Progress(task.stage, frames_done[task.stage] + under_way, plan.frames, task.segment)
    finally:
        for process in processes:
            process.stop()
        sweep(folder.path)


@dataclass(frozen=True)
class _Task:
    segment: int
    stage: Stage


class _Tasks:
    """Which task is next: analysis as far ahead as a conversion needs it, else conversions in order."""

    def __init__(
        self, plan: Plan, folder: JobFolder, missing: Sequence[int], watch: Sequence[int] | None
    ) -> None:
        self._plan = plan
        self._to_convert = list(missing)
        self._watched = {each.number for each in plan.segments if folder.is_seen(each.number)}
        if plan.faces is not None:
            self._watched = {each.number for each in plan.segments}
        if watch is None:
            watch = range(max((parts_needed(plan, number) for number in missing), default=0))
        self._to_watch = [number for number in watch if number not in self._watched]
        # Where something was converted or given before, there are faces, or somebody wants it all the same.
        self.any_face = len(missing) < len(plan.segments) or plan.faces is not None
        if not self.any_face and self._watched:
            self._to_watch = sorted({*self._to_watch, *self._watched})
            self._watched = set()

    def next(self) -> _Task | None:
        ready = (self.any_face or (not self._to_watch and self._all_watched)) and self._to_convert
        go_on = self.any_face or not self._plan.copied_without_face
        if ready and go_on:
            number = self._to_convert[0]
            if all(part in self._watched for part in range(parts_needed(self._plan, number))):
                return _Task(self._to_convert.pop(0), "convert")
        if self._to_watch:
            return _Task(self._to_watch.pop(0), "analyze")
        return None

    @property
    def _all_watched(self) -> bool:
        return len(self._watched) == len(self._plan.segments)

    def again(self, task: _Task) -> None:
        tasks = self._to_watch if task.stage == "analyze" else self._to_convert
        tasks.append(task.segment)
        tasks.sort()

    def finished(self, task: _Task, *, faces: bool) -> None:
        if task.stage == "analyze":
            self._watched.add(task.segment)
            self.any_face = self.any_face or faces


@dataclass(eq=False)
class _Process:
    """A worker.

    Attributes:
        folder: of the job.
        cores: that it runs on.
        messages: where what it says goes, and None when it has died.
        task: that it is at; None where it waits for one.
    """

    folder: JobFolder
    cores: Cores
    messages: queue.Queue[tuple[_Process, dict[str, Any] | None]]
    task: _Task | None = None
    _popen: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "crossface.engine.jobs.worker", str(self.folder.plan_path)]
        command += ["--threads", str(network_threads(self.cores))]
        if self.cores.ids:
            command += ["--cores", ",".join(map(str, self.cores.ids))]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, name="worker", daemon=True).start()

    def give(self, task: _Task) -> None:
        assert self._popen.stdin is not None
        self.task = task
        # Where it has died, its end is on the way as a message.
        with contextlib.suppress(OSError):
            self._popen.stdin.write(json.dumps({"task": task.stage, "segment": task.segment}) + "\n")
            self._popen.stdin.flush()

    def exit_status(self) -> int:
        return self._popen.wait()

    def stop(self) -> None:
        """At once: what it was at is of no use, and appears whole or not at all."""
        self._popen.kill()
        self._popen.wait()
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue  # cut off by its death
                self.messages.put((self, message))
        self.messages.put((self, None))


def _error(message: dict[str, Any]) -> CrossfaceError:
    kind = getattr(errors, str(message["error"]), CrossfaceError)
    error: CrossfaceError = kind(message["message"])
    return error


def _too_many_deaths(plan: Plan, task: _Task | None, status: int) -> BusyError:
    how = f"signal {-status}" if status < 0 else f"exit code {status}"
    what = "a worker that waited"
    if task is not None:
        stage = {"analyze": "analysis", "convert": "conversion"}[task.stage]
        what = f"segment {task.segment}: its {stage}"
    advice = "memory may be short: use fewer --workers or a smaller --batch, and run it again"
    return BusyError(f"{plan.source}: {what} lost its process {_MOST_DEATHS} times ({how}): {advice}")

"""Processes that do segments of one job after another, and are replaced when they die."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from ..lifetime import Closeable
from .cores import Cores, available, network_threads, share
from .plan import Stage

Message = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One stage of one segment."""

    segment: int
    stage: Stage


class Workers(Closeable):
    """As many processes as asked for, each on its share of the cores; they keep their networks loaded.

    Args:
        count: at least 1.
        devices: GPUs that they are dealt out to, by ``--device``; none is the CPU.

    Attributes:
        processes: those that live, as far as is known.
    """

    def __init__(self, count: int, devices: Sequence[str] = ()) -> None:
        self.processes: list[WorkerProcess] = []
        turns = islice(cycle(devices or ("cpu",)), count)
        self._posts = list(zip(share(available(), count), turns, strict=True))
        self._messages: queue.Queue[tuple[WorkerProcess, Message | None]] = queue.Queue()
        self._plan_path: Path | None = None
        self._job = 0

    def begin(self, plan_path: Path) -> None:
        """What is given from now on are tasks of this plan."""
        self._plan_path = plan_path
        self._job += 1
        used = [(process.cores, process.device) for process in self.processes]
        self.processes += [self._process(*post) for post in self._posts if post not in used]

    def give(self, process: WorkerProcess, task: Task) -> None:
        """Hands a task to a process that has none."""
        process.give(task, job=self._job, plan=str(self._plan_path))

    def next_message(self) -> tuple[WorkerProcess, Message | None]:
        """What a process says next; None when it has died, and then another one takes its place."""
        while True:
            process, message = self._messages.get()
            if process not in self.processes:
                continue  # one that was stopped
            if message is None:
                self.processes[self.processes.index(process)] = self._process(process.cores, process.device)
            return process, message

    def stop_busy(self) -> None:
        """What they are at is of no use to anybody any more."""
        for process in [each for each in self.processes if each.task is not None]:
            self.processes.remove(process)
            process.stop()

    def close(self) -> None:
        while self.processes:
            self.processes.pop().stop()

    def _process(self, cores: Cores, device: str) -> WorkerProcess:
        return WorkerProcess(cores, device, self._messages)


@dataclass(eq=False)
class WorkerProcess:
    """A worker.

    Attributes:
        cores: that it runs on.
        device: where it makes pictures.
        messages: where what it says goes, and None when it has died.
        task: that it is at; None where it waits for one.
    """

    cores: Cores
    device: str
    messages: queue.Queue[tuple[WorkerProcess, Message | None]]
    task: Task | None = None
    _popen: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "crossface.engine.jobs.worker"]
        command += ["--threads", str(network_threads(self.cores)), "--device", self.device]
        if self.cores.ids:
            command += ["--cores", ",".join(map(str, self.cores.ids))]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, name="worker", daemon=True).start()

    def give(self, task: Task, *, job: int, plan: str) -> None:
        assert self._popen.stdin is not None
        self.task = task
        order = {"job": job, "plan": plan, "task": task.stage, "segment": task.segment}
        # Where it has died, its end is on the way as a message.
        with contextlib.suppress(OSError):
            self._popen.stdin.write(json.dumps(order) + "\n")
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

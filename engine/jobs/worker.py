"""A process that does tasks of jobs which its parent names: a JSON object a line, in and out.

In: ``{"job": 1, "plan": "/out.mp4.job/plan.json", "task": "analyze", "segment": 3}`` or ``"convert"``, with
another number for each job. Out: ``{"frame": 12, "of": 250}`` now and then, ``{"route": {...}}`` once a
segment (see `Routed`), ``{"warning": "..."}`` of what should be known, and at a task's end
``{"done": true, "faces": true}`` or ``{"error": "BadInputError", "message": "..."}``. When its input ends,
its parent is dead, and it ends too.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import CrossfaceError
from ..events import Progress, Routed
from ..lifetime import Closeable
from ..memory import return_large_blocks
from .drawers import planned_drawers
from .faces import lines_of
from .fingerprint import engines_of
from .folder import open_job
from .kept import Kept
from .segment import SegmentConverter
from .watching import WatchedParts, Watcher

_REPORT_S = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True, help="Of the networks.")
    parser.add_argument("--cores", help="Numbers of the cores to run on, with commas; any without it.")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:N.")
    options = parser.parse_args()
    return_large_blocks()
    # The parent decides what an interrupt at the terminal, which reaches both, is to mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.cores:
        os.sched_setaffinity(0, set(map(int, options.cores.split(","))))
    tasks = _read_tasks()
    worker = _Worker(options.threads, options.device)
    while True:
        task = tasks.get()
        try:
            job = worker.job(task["job"], Path(task["plan"]))
            _say(done=True, faces=job.do(task["task"], task["segment"]))
        except CrossfaceError as error:
            _say(error=type(error).__name__, message=str(error))
        except Exception as error:  # a bug of ours: the parent tells of it
            _say(error="CrossfaceError", message=f"internal error: {type(error).__name__}: {error}")


class _Worker:
    """Keeps a job open from task to task, and networks loaded from job to job."""

    def __init__(self, threads: int, device: str) -> None:
        self._threads, self._device = threads, device
        self._kept = Kept()
        self._number: int | None = None
        self._job: _Job | None = None

    def job(self, number: int, plan_path: Path) -> _Job:
        """The job of this number: the one that is open, or another."""
        if self._job is not None and number != self._number:
            self._job.close()
            self._job = None
        if self._job is None:
            self._number, self._job = number, _Job(plan_path, self._kept, self._threads, self._device)
        return self._job


class _Job(Closeable):
    """Keeps what the tasks of one job have in common."""

    def __init__(self, plan_path: Path, kept: Kept, threads: int, device: str) -> None:
        self._threads = threads
        self._plan, self._folder = open_job(plan_path)
        self._kept, self._chosen = kept, kept.choose(device)
        self._bench = kept.bench(self._chosen.place, engines_of(self._plan.fingerprint))
        self._watcher: Watcher | None = None
        self._lines = lines_of(self._plan, self._folder, watch=False)
        self._converter: SegmentConverter | None = None

    def close(self) -> None:
        self._lines.close()

    def do(self, task: str, number: int) -> bool:
        """Gives whether there are faces in the segment."""
        try:
            return self._watch(number) if task == "analyze" else self._convert(number)
        finally:
            for message in self._chosen.news():
                _say(warning=message)

    def _watch(self, number: int) -> bool:
        plan, segment = self._plan, self._plan.segments[number]
        self._watcher = self._watcher or Watcher(
            plan.source,
            plan.analysis,
            plan.reading,
            threads=self._threads,
            bench=self._bench,
            gate=plan.looked_at_by == "network",
        )
        faces, report = False, _Reporter()
        for n, frame in enumerate(WatchedParts(plan, self._folder, self._watcher).part(segment)):
            faces = faces or bool(frame.faces)
            report(n + 1, segment.frames)
        return faces

    def _convert(self, number: int) -> bool:
        if self._converter is None:
            drawers = planned_drawers(self._plan, self._kept.networks, self._bench, threads=self._threads)
            self._converter = SegmentConverter(self._plan, self._folder, self._lines, drawers)
        report = _Reporter()
        with closing(self._converter.convert(self._plan.segments[number])) as events:
            for event in events:
                if isinstance(event, Progress):
                    report(event.frame, event.of)
                elif isinstance(event, Routed):
                    _say(route=asdict(event))
        sidecar = self._folder.sidecar(number, self._plan)
        return sidecar is not None and sidecar.faces > 0


class _Reporter:
    """Reports a few times a second."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def __call__(self, frame: int, of: int) -> None:
        now = time.monotonic()
        if now - self._last_s >= _REPORT_S:
            self._last_s = now
            _say(frame=frame, of=of)


def _say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _read_tasks() -> queue.Queue[dict[str, Any]]:
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            tasks.put(json.loads(line))
        # The parent is gone without a word: what is under way is of no use to anybody, and would only
        # keep others from it.
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=read, name="tasks", daemon=True).start()
    return tasks


if __name__ == "__main__":
    main()

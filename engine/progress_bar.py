"""Progress as bars on a terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from . import events


class Bar:
    """A bar a stage, on stderr."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:.1f} fps"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def advance(self, progress: events.Progress) -> None:
        if progress.stage not in self._tasks:
            task = self._progress.add_task(progress.stage, total=progress.of or None, fps=0.0)
            self._tasks[progress.stage] = task, time.monotonic()
        task, started = self._tasks[progress.stage]
        fps = progress.frame / max(time.monotonic() - started, 1e-3)
        self._progress.update(task, completed=progress.frame, fps=fps)

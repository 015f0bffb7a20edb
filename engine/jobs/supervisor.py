"""Segments side by side: which worker does what next, and what becomes of a task whose worker dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence

from .. import errors
from ..errors import BusyError, CrossfaceError
from ..events import Event, Progress, Routed, Warned
from ..part_file import sweep
from .faces import parts_needed
from .folder import JobFolder
from .plan import Plan, Stage
from .workers import Message, Task, Workers

# How often a task may lose its worker before we look for the reason in the task.
_MOST_DEATHS = 5


def supervise(
    plan: Plan,
    folder: JobFolder,
    missing: Sequence[int],
    workers: Workers,
    *,
    watch: Sequence[int] | None = None,
) -> Generator[Event, None, bool]:
    """Makes segments in processes of their own; closed at any point, what they are at ends.

    Args:
        plan: of the job.
        folder: of the job, with the plan in it.
        missing: numbers of the segments to be made.
        workers: who does it.
        watch: numbers of the segments to be analysed; where None, those that ``missing`` needs.

    Returns:
        False where no face was found in the whole clip, and nothing was converted therefore.

    Raises:
        CrossfaceError: of a worker, as it was; the others are stopped.
        BusyError: a task loses its worker again and again.
    """
    tasks = _Tasks(plan, folder, missing, watch)
    deaths: Counter[Task | None] = Counter()
    frames_done: Counter[Stage] = Counter()
    routed = False
    try:
        workers.begin(folder.plan_path)
        while True:
            for process in workers.processes:
                if process.task is None and (task := tasks.next()) is not None:
                    workers.give(process, task)
            if all(process.task is None for process in workers.processes):
                return tasks.any_face or not plan.copied_without_face
            process, message = workers.next_message()
            task = process.task
            if message is None:
                deaths[task] += 1
                if deaths[task] >= _MOST_DEATHS:
                    raise _too_many_deaths(plan, task, process.exit_status())
                if task is not None:
                    tasks.again(task)
            elif "error" in message:
                raise _error(message)
            elif task is not None:
                frames = plan.segments[task.segment].frames
                if "route" in message:
                    if not routed:
                        yield Routed(**message["route"])
                    routed = True
                    continue
                if "warning" in message:
                    yield Warned(message["warning"])
                    continue
                if "done" in message:
                    tasks.finished(task, faces=message["faces"])
                    process.task = None
                    frames_done[task.stage] += frames
                    under_way = 0
                else:
                    under_way = message["frame"] * frames // max(1, message["of"])
                yield Progress(task.stage, frames_done[task.stage] + under_way, plan.frames, task.segment)
    finally:
        workers.stop_busy()
        sweep(folder.path)


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

    def next(self) -> Task | None:
        ready = (self.any_face or (not self._to_watch and self._all_watched)) and self._to_convert
        go_on = self.any_face or not self._plan.copied_without_face
        if ready and go_on:
            number = self._to_convert[0]
            if all(part in self._watched for part in range(parts_needed(self._plan, number))):
                return Task(self._to_convert.pop(0), "convert")
        if self._to_watch:
            return Task(self._to_watch.pop(0), "analyze")
        return None

    @property
    def _all_watched(self) -> bool:
        return len(self._watched) == len(self._plan.segments)

    def again(self, task: Task) -> None:
        tasks = self._to_watch if task.stage == "analyze" else self._to_convert
        tasks.append(task.segment)
        tasks.sort()

    def finished(self, task: Task, *, faces: bool) -> None:
        if task.stage == "analyze":
            self._watched.add(task.segment)
            self.any_face = self.any_face or faces


def _error(message: Message) -> CrossfaceError:
    kind = getattr(errors, str(message["error"]), CrossfaceError)
    error: CrossfaceError = kind(message["message"])
    return error


def _too_many_deaths(plan: Plan, task: Task | None, status: int) -> BusyError:
    how = f"signal {-status}" if status < 0 else f"exit code {status}"
    what = "a worker that waited"
    if task is not None:
        stage = {"analyze": "analysis", "convert": "conversion"}[task.stage]
        what = f"segment {task.segment}: its {stage}"
    advice = "memory may be short: use fewer --workers or a smaller --batch, and run it again"
    return BusyError(f"{plan.source}: {what} lost its process {_MOST_DEATHS} times ({how}): {advice}")

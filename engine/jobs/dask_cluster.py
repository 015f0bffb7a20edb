"""Hands the segments of a plan to the workers of a Dask cluster, a process for each.

A Dask worker only starts ``crossface segment`` and waits for its end: what a segment takes or breaks
stays in that process, which dies with its worker.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import (
    BadInputError,
    BusyError,
    ConfigurationError,
    CrossfaceError,
    DeviceUnavailableError,
    InputMissingError,
    OutputError,
    OutputExistsError,
    RefusedError,
    UsageError,
)
from ..events import Event, Progress, Warned
from .cores import available
from .plan import Segment, Stage

try:
    from distributed import Client, Future, KilledWorker, WorkerPlugin, get_worker
except ImportError as missing:
    raise ConfigurationError('Dask is not installed: run pip install "crossface[cluster]"') from missing

_ADDRESS = re.compile(r"dask://(?P<place>[^/\s]+:[0-9]{1,5})")
_CROSSFACE = ("-c", "from crossface.engine.cli import main; main()")
# Becomes the command after asking for its own death with its parent, who might be dead already.
_LAUNCHER = """
import ctypes, os, sys
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_STDERR_LINES = 50

_CONNECT_S = 5.0
_LOOK_S = 5.0
# Errors of ours, and processes that died, may have had a passing cause.
_ATTEMPTS = 3
# A worker that is lost says nothing about its segment, but there must be an end.
_LOSSES = 5
_BUSY_PAUSE_S = 2.0
_BUSY_PATIENCE_S = 900.0


@dataclass(frozen=True)
class Ended:
    """How the process of a segment ended.

    Attributes:
        code: its exit code; negative for a signal.
        stderr: its last lines.
        worker: address of who ran it.
    """

    code: int
    stderr: tuple[str, ...]
    worker: str


class SegmentProcesses(WorkerPlugin):  # type: ignore[misc]
    """The processes of a job on one worker. They are stopped when the job or the worker ends.

    Args:
        job: name of the job; registering another plugin of that name ends this one.
    """

    def __init__(self, job: str) -> None:
        self.name = job

    def setup(self, worker: Any) -> None:
        self._worker = str(worker.address)
        self._cores = max(1, available().count // worker.state.nthreads)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def teardown(self, worker: Any) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()

    def run(self, command: Sequence[str]) -> Ended:
        """Runs a command to its end, in a thread of the worker.

        Args:
            command: arguments of ``crossface``, or with a whole path at its head another command.
        """
        if not Path(command[0]).is_absolute():
            command = (sys.executable, *_CROSSFACE, *command)
        with self._lock:
            if self._ended:
                return Ended(-signal.SIGTERM, (), self._worker)
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCHER, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, "CROSSFACE_CORES": str(self._cores)},
            )
            self._running.add(process)
        with process:
            assert process.stderr is not None
            stderr = deque(map(str.rstrip, process.stderr), maxlen=_STDERR_LINES)
        with self._lock:
            self._running.remove(process)
        return Ended(process.returncode, tuple(stderr), self._worker)


def _run(job: str, command: Sequence[str]) -> Ended:
    processes: SegmentProcesses = get_worker().plugins[job]
    return processes.run(command)


def run_on_dask(
    address: str,
    plan_path: Path,
    stage: Stage,
    segments: Sequence[Segment],
    *,
    command: Sequence[str] = ("segment",),
) -> Generator[Event]:
    """Does one stage of segments on a cluster, in whatever order its workers take them.

    Workers that die are of no account: their segments go to others, and a segment that was done is
    done. A segment whose process fails without a typed error is tried three times; a typed error ends
    the job at once, except that a busy segment is waited for. Closing the generator stops the
    processes on all workers.

    Args:
        address: ``dask://HOST:PORT`` of the scheduler.
        plan_path: of the plan, under the same path on all workers.
        stage: of the work; ``convert`` wants all segments analysed.
        segments: of the plan.
        command: what a worker calls, before the plan's path.

    Yields:
        Progress after each segment, in frames of ``segments``; Warned.

    Raises:
        UsageError: no such address.
        DeviceUnavailableError: no scheduler answers there, or it went away.
        ConfigurationError: a worker cannot run Crossface.
        BusyError: another process holds a segment for too long.
        CrossfaceError: what a segment raised, of the same class.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UsageError(f"--executor {address}: write it as dask://HOST:PORT")
    try:
        client = Client(f"tcp://{found['place']}", timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceUnavailableError(
            f"{address}: no Dask scheduler answers there: start one (dask scheduler), or check the address"
        ) from error
    with _quiet(), client:
        yield from _Run(client, address, plan_path.absolute(), stage, command).events(segments)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Dask from telling of a lost scheduler, with tracebacks, what one error of ours will say."""
    logger = logging.getLogger("distributed.client")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Run:
    """One stage under way."""

    def __init__(
        self, client: Client, address: str, plan_path: Path, stage: Stage, command: Sequence[str]
    ) -> None:
        self._client, self._address, self._stage = client, address, stage
        self._plan, self._command = str(plan_path), command
        self._job = f"crossface {plan_path}"
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._under_way: dict[str, tuple[Future, Segment]] = {}
        self._later: list[tuple[float, int, Segment]] = []
        self._busy_since: dict[int, float] = {}
        self._failures: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()
        self._has_workers = True
        self._looked = 0.0

    def events(self, segments: Sequence[Segment]) -> Generator[Event]:
        of = sum(segment.frames for segment in segments)
        frames = 0
        try:
            self._register()
            for segment in segments:
                self._submit(segment)
            while self._under_way or self._later:
                while self._later and self._later[0][0] <= time.monotonic():
                    self._submit(heapq.heappop(self._later)[2])
                try:
                    future = self._ended.get(timeout=0.5)
                except queue.Empty:
                    yield from self._look_for_workers()
                    continue
                _, segment = self._under_way.pop(future.key)
                ended = self._outcome(future)
                yield from map(Warned, _warnings(ended))
                if ended.code == 0:
                    frames += segment.frames
                    yield Progress(self._stage, frames, of, segment.number)
                elif ended.code == BusyError.exit_code:
                    self._wait_for(segment, ended)
                else:
                    yield Warned(self._try_again(segment, ended))
        finally:
            self._stop()

    def _register(self) -> None:
        try:
            self._client.register_plugin(SegmentProcesses(self._job), name=self._job)
        except OSError as error:
            raise self._no_scheduler() from error
        except Exception as error:  # whatever Python says about an import or a version there
            raise self._unfit(error) from error

    def _submit(self, segment: Segment) -> None:
        command = (
            *self._command,
            *(self._plan, "--seg", str(segment.number), "--stage", self._stage, "--progress", "none"),
        )
        # Not pure: another attempt is another task, not the result of the last one.
        future = self._client.submit(_run, self._job, command, pure=False, priority=-segment.number)
        self._under_way[future.key] = future, segment
        future.add_done_callback(self._ended.put)

    def _outcome(self, future: Future) -> Ended:
        if future.status == "finished":
            ended: Ended = future.result()
            return ended
        error = future.exception() if future.status == "error" else None
        if error is None:
            raise self._no_scheduler()
        if isinstance(error, KilledWorker):
            return Ended(_LOST, (), error.last_worker.address)
        raise self._unfit(error) from error

    def _wait_for(self, segment: Segment, ended: Ended) -> None:
        """Somebody else is at it, perhaps a process of a worker that we have lost sight of."""
        now = time.monotonic()
        if now - self._busy_since.setdefault(segment.number, now) > _BUSY_PATIENCE_S:
            raise BusyError(_message(ended))
        heapq.heappush(self._later, (now + _BUSY_PAUSE_S, segment.number, segment))

    def _try_again(self, segment: Segment, ended: Ended) -> str:
        """Hands a failed segment out once more, and says so; or raises."""
        number, code = segment.number, ended.code
        if code in _ERRORS:
            raise _ERRORS[code](_message(ended))
        if code == _LOST or code in _ASKED_TO_STOP:
            reason, count, most = "its worker went away", self._losses, _LOSSES
        elif code < 0:
            reason, count, most = f"its process was killed by signal {-code}", self._failures, _ATTEMPTS
        else:
            reason, count, most = f"exit code {code}, {_message(ended)}", self._failures, _ATTEMPTS
        count[number] += 1
        what = f"{self._stage} of segment {number} failed on {ended.worker}: {reason}"
        if count[number] >= most:
            hint = "look at memory and logs there" if code < 0 or code == _LOST else "report it"
            raise CrossfaceError(f"{self._plan}: {what}, {most} times: {hint}, then give the command again")
        self._submit(segment)
        return f"{what}: trying again"

    def _look_for_workers(self) -> Generator[Event]:
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        try:
            has_workers = bool(self._client.nthreads())
        except (OSError, ValueError) as error:
            raise self._no_scheduler() from error
        if self._has_workers and not has_workers:
            yield Warned(f"{self._address}: has no workers: waiting for one (dask worker)")
        self._has_workers = has_workers

    def _stop(self) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone, and the error under way counts
            self._client.cancel([future for future, _ in self._under_way.values()])
            self._client.unregister_worker_plugin(self._job)

    def _no_scheduler(self) -> DeviceUnavailableError:
        return DeviceUnavailableError(
            f"{self._address}: the Dask scheduler went away: start it, then give the command again to go on"
        )

    def _unfit(self, error: BaseException) -> ConfigurationError:
        return ConfigurationError(
            f"{self._address}: a worker cannot run Crossface ({type(error).__name__}: {error}): "
            'install the same version there, with "crossface[cluster]"'
        )


# Codes of our own making: the worker died, again and again; the process was asked to stop.
_LOST = 1000
_ASKED_TO_STOP = frozenset(
    code for number in (signal.SIGINT, signal.SIGTERM) for code in (-number, 128 + number)
)
# Only those that another try would meet again.
_ERRORS = {
    error.exit_code: error
    for error in (
        UsageError,
        BadInputError,
        InputMissingError,
        DeviceUnavailableError,
        OutputExistsError,
        OutputError,
        RefusedError,
        ConfigurationError,
    )
}


def _warnings(ended: Ended) -> list[str]:
    prefix = "crossface: warning: "
    return [line.removeprefix(prefix) for line in ended.stderr if line.startswith(prefix)]


def _message(ended: Ended) -> str:
    """The error's line, as the command prints it last."""
    line = ended.stderr[-1] if ended.stderr else "no message"
    return f"{line.removeprefix('crossface: ')} (on {ended.worker})"

"""Segments on a real Dask cluster of this machine, with a stand-in for the work and with the work itself."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from unsigned import UNSIGNED

from crossface.engine.clip import ReadingSettings
from crossface.engine.errors import BadInputError, CrossfaceError, DeviceUnavailableError, UsageError
from crossface.engine.events import Event, Progress, Warned
from crossface.engine.jobs import dask_cluster
from crossface.engine.jobs.folder import JobFolder, folder_of
from crossface.engine.jobs.kept import Kept
from crossface.engine.jobs.plan import Plan, Segment
from crossface.engine.jobs.planning import make_plan
from crossface.engine.jobs.run import run
from crossface.engine.settings import ConversionSettings

pytestmark = pytest.mark.needs_cluster

SEGMENTS = [Segment(number, 10 * number, 10, None, None) for number in range(6)]

# Takes the arguments of "crossface segment". What befalls a segment on its first try, the test writes
# into the file "fates"; each try leaves a file that holds the process's id.
STAND_IN = """#!{python}
import json, os, signal, sys, time
from pathlib import Path

plan, _, number, _, stage = sys.argv[1:6]
folder = Path(plan).parent
tries = folder / "tries"
tries.mkdir(exist_ok=True)
earlier = len(list(tries.glob(f"{{stage}}-{{number}}-*")))
(tries / f"{{stage}}-{{number}}-{{earlier}}").write_text(str(os.getpid()))
fate = json.loads((folder / "fates").read_text()).get(number) if earlier == 0 else None
if fate == "worker killed":
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
elif fate == "hangs":
    time.sleep(60)
elif fate == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif fate:
    print(f"crossface: {{folder}}/clip.mp4: frame {{number}} is damaged", file=sys.stderr)
    sys.exit(fate)
print("crossface: warning: frame 3 is dark", file=sys.stderr)
(folder / f"part-{{number}}").write_bytes(number.encode() * 1000)
"""


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """Two workers, which start again when they are killed."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(dask: Any) -> str:
    address: str = dask.scheduler_address
    return address.replace("tcp://", "dask://")


class Job:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "stand-in"
        self.script.write_text(STAND_IN.format(python=sys.executable))
        self.script.chmod(self.script.stat().st_mode | stat.S_IXUSR)

    def run(self, address: str, fates: str = "{}", **others: Any) -> Generator[Event]:
        from crossface.engine.jobs.dask_cluster import run_on_dask

        (self.folder / "fates").write_text(fates)
        return run_on_dask(
            address,
            self.folder / "plan.json",
            others.pop("stage", "convert"),
            SEGMENTS,
            command=(str(self.script),),
        )

    def tries(self, number: int) -> list[int]:
        """Process ids."""
        return [int(path.read_text()) for path in sorted((self.folder / "tries").glob(f"*-{number}-*"))]

    @property
    def parts(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.glob("part-*")}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


WHOLE = {f"part-{number}": str(number).encode() * 1000 for number in range(6)}


def ends(process: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_every_segment_is_done_once_and_counted(cluster: str, job: Job) -> None:
    events = list(job.run(cluster, stage="analyze"))
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.frame for event in progress] == [10, 20, 30, 40, 50, 60]
    assert {event.of for event in progress} == {60} and {event.stage for event in progress} == {"analyze"}
    assert sorted(event.segment for event in progress if event.segment is not None) == [0, 1, 2, 3, 4, 5]
    assert [event for event in events if isinstance(event, Warned)] == [Warned("frame 3 is dark")] * 6
    assert job.parts == WHOLE
    assert all(len(job.tries(number)) == 1 for number in range(6))


@pytest.mark.parametrize("dask_tries_again", [True, False])
def test_a_worker_killed_in_a_segment_changes_nothing(
    dask: Any, cluster: str, job: Job, monkeypatch: pytest.MonkeyPatch, dask_tries_again: bool
) -> None:
    if not dask_tries_again:  # as after its fourth loss of a worker
        monkeypatch.setattr(dask.scheduler, "allowed_failures", 0)
    events = list(job.run(cluster, '{"1": "worker killed"}'))
    assert [event.frame for event in events if isinstance(event, Progress)][-1] == 60
    assert job.parts == WHOLE
    first, second = job.tries(1)
    assert ends(first) and first != second, "the segment's process outlived its worker"
    lost = [event for event in events if isinstance(event, Warned) and "worker went away" in event.message]
    assert bool(lost) is not dask_tries_again


def test_a_killed_or_busy_or_failed_segment_is_tried_again(cluster: str, job: Job) -> None:
    events = list(job.run(cluster, '{"0": "killed", "2": 75, "4": 70, "5": 143}'))
    assert job.parts == WHOLE
    assert [len(job.tries(number)) for number in range(6)] == [2, 1, 2, 1, 2, 2]
    retries = " ".join(event.message for event in events if isinstance(event, Warned))
    assert "segment 0" in retries and "signal 9" in retries and "segment 4" in retries and "70" in retries


def test_bad_input_ends_the_job_at_once(cluster: str, job: Job) -> None:
    with pytest.raises(BadInputError, match=r"clip\.mp4: frame 3 is damaged .on tcp://"):
        list(job.run(cluster, '{"3": 65}'))
    assert len(job.tries(3)) == 1


def test_a_segment_that_always_fails_ends_the_job(cluster: str, job: Job) -> None:
    job.script.write_text(f"#!{sys.executable}\nimport os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    with pytest.raises(CrossfaceError, match=r"segment \d.*signal 11.*3 times"):
        list(job.run(cluster))


def started(job: Job, address: str) -> Generator[Event]:
    """A run in which segment 0 hangs on a worker."""
    events = job.run(address, '{"0": "hangs"}')
    next(events)
    # Not by asking for another event: when all others are done, there is none to come.
    while not job.tries(0):
        time.sleep(0.01)
    return events


def test_closing_stops_what_runs(cluster: str, job: Job) -> None:
    started(job, cluster).close()
    assert all(ends(process) for process in job.tries(0))


def test_a_job_begun_anew_stops_what_the_last_run_left(cluster: str, job: Job) -> None:
    left_alone = started(job, cluster)
    list(job.run(cluster))
    first, second = job.tries(0)
    assert ends(first) and first != second
    assert job.parts == WHOLE
    left_alone.close()


def test_the_cluster_serves_the_next_job_as_well(cluster: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        list(job.run(cluster))
        assert job.parts == WHOLE


def worker_of(segment: str) -> int | None:
    """The process id of the Dask worker that is at a segment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--seg" in arguments and arguments[arguments.index(b"--seg") + 1] == segment.encode():
                return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return None


@pytest.fixture
def kept() -> Iterator[Kept]:
    with Kept() as open_kept:
        yield open_kept


def test_the_film_is_the_same_with_a_worker_killed_in_a_segment(
    cluster: str, clips: Path, swapper: Path, tmp_path: Path, kept: Kept
) -> None:
    from crossface.engine.jobs.dask_cluster import run_on_dask

    def planned(name: str) -> tuple[Plan, JobFolder]:
        plan = make_plan(
            clips / "face_noface.mov",
            {None: swapper},
            tmp_path / name,
            conversion=ConversionSettings(segment_s=0.9),
            reading=ReadingSettings(start="0", end="89"),
        )
        folder = JobFolder(folder_of(plan.output))
        folder.path.mkdir()
        plan.write(folder.plan_path)
        return plan, folder

    here, here_folder = planned("here.mov")
    list(run(here, here_folder, kept, UNSIGNED.signer()))
    there, folder = planned("there.mov")
    assert len(there.segments) == 3
    list(run_on_dask(cluster, folder.plan_path, "analyze", there.segments))

    killed = []

    def kill() -> None:
        while not killed:
            worker = worker_of("1") if any(folder.path.glob(".part-0001*")) else None
            if worker is not None:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)
            time.sleep(0.01)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    list(run_on_dask(cluster, folder.plan_path, "convert", there.segments))
    assert killed
    list(run(there, folder, kept, UNSIGNED.signer()))
    assert there.output.read_bytes() == here.output.read_bytes()


def test_nobody_there(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_S", 0.5)
    with pytest.raises(DeviceUnavailableError, match=r"dask://127\.0\.0\.1:9"):
        list(job.run("dask://127.0.0.1:9"))


def test_a_scheduler_that_goes_away(job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        dashboard_address=None,
        silence_logs=50,
    ) as own:
        events = started(job, own.scheduler_address.replace("tcp://", "dask://"))
    with pytest.raises(DeviceUnavailableError, match="the Dask scheduler went away"):
        list(events)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "dask://", "dask://host", "tcp://h:1", "dask://h:1/x"])
def test_addresses_that_are_none(job: Job, address: str) -> None:
    with pytest.raises(UsageError, match="dask://HOST:PORT"):
        list(job.run(address))

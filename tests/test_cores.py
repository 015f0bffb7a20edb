"""Cores: what limits them, and how they are shared. The machine is a folder that looks like one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.errors import UsageError
from crossface.engine.jobs.cores import Cores, available, share


class Machine:
    """A root folder with what the kernel tells about itself."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")

    def cores(self, **environ: str) -> Cores:
        return available(environ, root=self.root)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Eight cores, of which the affinity allows 0 to 7; no control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    return Machine(tmp_path)


def test_here() -> None:
    cores = available({})
    assert set(cores.ids) == os.sched_getaffinity(0)
    assert 1 <= cores.count <= len(cores.ids)


def test_no_limit_but_the_affinity(machine: Machine) -> None:
    assert machine.cores() == Cores(tuple(range(8)), 8)


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("400000 100000", 4), ("rubbish", 8)],
)
def test_quota_of_version_2(machine: Machine, quota: str, count: int) -> None:
    machine.write("proc/self/cgroup", "0::/slice/job")
    machine.write("sys/fs/cgroup/slice/job/cpu.max", quota)
    assert machine.cores().count == count
    assert machine.cores().ids == tuple(range(8))


def test_a_group_above_limits_too(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/slice/job/step")
    machine.write("sys/fs/cgroup/slice/job/step/cpu.max", "max 100000")
    machine.write("sys/fs/cgroup/slice/cpu.max", "300000 100000")
    assert machine.cores().count == 3


def test_a_container_that_sees_its_group_as_the_top(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/only/the/host/knows/this")
    machine.write("sys/fs/cgroup/cpu.max", "200000 100000")
    assert machine.cores().count == 2


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_quota_of_version_1(machine: Machine, mount: str) -> None:
    machine.write("proc/self/cgroup", "5:cpuset:/a\n4:cpu,cpuacct:/job\n0::/")
    machine.write(f"sys/fs/cgroup/{mount}/job/cpu.cfs_quota_us", "350000")
    machine.write(f"sys/fs/cgroup/{mount}/job/cpu.cfs_period_us", "100000")
    machine.write(f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us", "-1")
    machine.write(f"sys/fs/cgroup/{mount}/cpu.cfs_period_us", "100000")
    assert machine.cores().count == 3


def test_what_the_scheduler_says(machine: Machine) -> None:
    assert machine.cores(CUE_THREADS="3").count == 3
    assert machine.cores(CUE_THREADS="3", SLURM_CPUS_PER_TASK="5").count == 5
    assert machine.cores(CUE_THREADS="3", SLURM_CPUS_PER_TASK="5", CROSSFACE_CORES="2").count == 2
    assert machine.cores(CROSSFACE_CORES="64").count == 8, "it cannot give more than there are"
    assert machine.cores(OMP_NUM_THREADS="1", CUE_THREADS="").count == 8


@pytest.mark.parametrize("text", ["0", "-1", "two", "2.5", " 2", "٣", "9" * 20])
def test_a_variable_that_is_no_number(machine: Machine, text: str) -> None:
    with pytest.raises(UsageError, match="SLURM_CPUS_PER_TASK"):
        machine.cores(SLURM_CPUS_PER_TASK=text)


def test_both_threads_of_a_core_go_to_one_worker(machine: Machine) -> None:
    for core in range(8):
        machine.write(f"sys/devices/system/cpu/cpu{core}/topology/physical_package_id", "0")
        machine.write(f"sys/devices/system/cpu/cpu{core}/topology/core_id", str(core % 4))
    assert [set(worker.ids) for worker in share(machine.cores(), 4)] == [{0, 4}, {1, 5}, {2, 6}, {3, 7}]


def test_nobody_stands_on_chosen_cores_where_only_some_are_ours() -> None:
    assert share(Cores(tuple(range(16)), 4), 2) == [Cores(tuple(range(16)), 2)] * 2


@given(st.integers(1, 64), st.integers(1, 80))
def test_all_cores_are_shared_evenly(count: int, workers: int) -> None:
    shares = share(Cores(tuple(range(count)), count), workers)
    assert len(shares) == workers
    assert all(worker.count == len(worker.ids) >= 1 for worker in shares)
    assert max(worker.count for worker in shares) - min(worker.count for worker in shares) <= 1
    assert set().union(*(worker.ids for worker in shares)) == set(range(count))
    if workers <= count:
        assert sum(worker.count for worker in shares) == count


@given(st.integers(2, 64), st.integers(1, 63), st.integers(1, 8))
def test_a_quota_is_never_exceeded(ids: int, count: int, workers: int) -> None:
    count = min(count, ids - 1)
    shares = share(Cores(tuple(range(ids)), count), workers)
    assert sum(worker.count for worker in shares) == max(count, workers)

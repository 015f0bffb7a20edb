"""How many cores are ours on a machine that others use too, and how workers share them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

ROOT = Path("/")


@dataclass(frozen=True)
class Cores:
    """Cores that a process may use.

    Attributes:
        ids: cores that it may run on, neighbours (two threads of one physical core) side by side.
        count: cores that it may keep busy: fewer than ``ids`` where a quota or a scheduler says so.
    """

    ids: tuple[int, ...]
    count: int


def available(environ: Mapping[str, str] = os.environ, *, root: Path = ROOT) -> Cores:
    """The cores of this process, by the smallest of what limits it.

    The limits are its CPU affinity, the CPU quota of its control group, and what the scheduler that
    started it says: ``CROSSFACE_CORES`` before ``SLURM_CPUS_PER_TASK`` before ``CUE_THREADS``.
    ``OMP_NUM_THREADS`` is left out on purpose: many machines set it to 1 for the sake of NumPy.

    Args:
        environ: the variables.
        root: where ``/proc`` and ``/sys`` are.

    Raises:
        UsageError: a variable is no number from 1 on.
    """
    ids = sorted(os.sched_getaffinity(0), key=lambda core: (_physical_core(core, root), core))
    limits = (len(ids), _quota(root), _scheduled(environ))
    return Cores(tuple(ids), max(1, min(limit for limit in limits if limit is not None)))


def network_threads(cores: Cores) -> int:
    """Of the swapper's network in a process that decodes, analyses and encodes beside it.

    A second thread makes a network quicker and costs more time in all; the other cores have work anyway.
    """
    return max(1, cores.count // 2)


def share(cores: Cores, workers: int) -> list[Cores]:
    """Deals cores out to workers, as evenly as it goes; each gets at least one.

    Where all cores of the affinity are ours, each worker gets its own to run on. Where only some are
    (a quota), nobody knows which, and another job may have chosen the same first ones: then every
    worker may run on all of them, and only the counts are shared out. With more workers than cores
    some stand on the same core.

    Args:
        cores: what there is.
        workers: at least 1.
    """
    counts = [max(1, part) for part in _even_parts(cores.count, workers)]
    if cores.count < len(cores.ids):
        return [Cores(cores.ids, count) for count in counts]
    shares, start = [], 0
    for count in counts:
        ids = tuple(cores.ids[index % len(cores.ids)] for index in range(start, start + count))
        shares.append(Cores(ids, count))
        start += count
    return shares


def _even_parts(total: int, parts: int) -> list[int]:
    return [total // parts + (index < total % parts) for index in range(parts)]


_VARIABLES = ("CROSSFACE_CORES", "SLURM_CPUS_PER_TASK", "CUE_THREADS")


def _scheduled(environ: Mapping[str, str]) -> int | None:
    for name in _VARIABLES:
        text = environ.get(name, "")
        if not text:
            continue
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
            raise UsageError(f"{name}={text}: is no number of cores: set it to 1 or more, or unset it")
        return int(text)
    return None


def _physical_core(core: int, root: Path) -> tuple[int, int]:
    topology = root / f"sys/devices/system/cpu/cpu{core}/topology"
    try:
        package, number = (int((topology / name).read_text()) for name in ("physical_package_id", "core_id"))
    except (OSError, ValueError):
        return 0, core
    return package, number


def _quota(root: Path) -> int | None:
    """Whole cores that the control groups above this process pay for, at least 1; None without a limit.

    A part of a core is left unused: a thread more than the quota would stop all of them again and again.
    """
    quotas = [quota for folder in _groups(root) if (quota := _quota_of(folder)) is not None]
    return max(1, int(min(quotas))) if quotas else None


def _groups(root: Path) -> list[Path]:
    """Folders of our control groups, version 1 or 2, from the innermost to the top."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in ("cpu", "cpu,cpuacct", "cpuacct,cpu") if controllers else ("", "unified"):
            top = root / "sys/fs/cgroup" / mount
            # A container may see its own group as the top, under a path that only its host knows.
            below = Path(path.strip("/"))
            folders += [top / folder for folder in (below, *below.parents)]
    return folders


def _quota_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota_us, period_us = (folder / "cpu.max").read_text().split()
        else:
            quota_us, period_us = (
                (folder / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        return int(quota_us) / int(period_us) if int(quota_us) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such group here
        return None

"""Which CUDA devices this process is to use: what was asked for, and what a farm grants it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import DeviceUnavailableError, UsageError
from .probe.driver import CudaDevice, Driver, ask_driver

# Variables of farms that name GPUs by their place in the whole machine. Slurm sets CUDA_VISIBLE_DEVICES too,
# unless it is told not to; a step's GPUs are some of its job's.
_FARM_VARIABLES = ("CUE_GPU_CORES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


@dataclass(frozen=True)
class Choice:
    """What to work on.

    Attributes:
        devices: CUDA devices, the first one first; empty means the CPU.
        reason: why these, or why the CPU.
    """

    devices: tuple[CudaDevice, ...]
    reason: str


def choose(asked: str = "auto") -> Choice:
    """Chooses devices for this process, before anything in it starts CUDA.

    See `select`. It also makes CUDA number the devices by their place on the PCI bus here, as nvidia-smi
    and farms do, unless ``CUDA_DEVICE_ORDER`` is set.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if asked == "cpu":
        return select(asked, Driver("not asked"))
    return select(asked, ask_driver())


def select(asked: str, driver: Driver, environ: Mapping[str, str] = os.environ) -> Choice:
    """Chooses among the devices that a driver tells.

    ``--device cuda:N`` is taken at its word. Else all that the driver shows are taken, or those of them that
    a farm's variable gives to this process. ``CUDA_VISIBLE_DEVICES``, where it is set, counts before such a
    variable: the driver shows only its devices, and numbers them anew.

    Args:
        asked: ``auto`` (the CPU where there is no device), ``cpu``, ``cuda`` or ``cuda:N``.
        driver: what there is.
        environ: the variables.

    Raises:
        UsageError: asked for something else.
        DeviceUnavailableError: a CUDA device was asked for by name and is not here.
    """
    numbered = re.fullmatch(r"cuda:([0-9]{1,4})", asked)
    if asked not in ("auto", "cpu", "cuda") and not numbered:
        raise UsageError(f"--device {asked}: no such device: give auto, cpu, cuda or cuda:0")
    if asked == "cpu":
        return Choice((), "--device cpu")
    if numbered:
        found = tuple(device for device in driver.devices if device.index == int(numbered[1]))
        choice = Choice(found, f"--device {asked}" if found else _absent(driver))
    else:
        choice = _granted(driver, environ)
    if asked != "auto" and not choice.devices:
        raise DeviceUnavailableError(f"--device {asked}: {choice.reason}; or give --device cpu")
    return choice


def _granted(driver: Driver, environ: Mapping[str, str]) -> Choice:
    if not driver.devices:
        return Choice((), driver.detail)
    if "CUDA_VISIBLE_DEVICES" in environ:
        return Choice(driver.devices, "CUDA_VISIBLE_DEVICES")
    name = next((name for name in _FARM_VARIABLES if environ.get(name)), None)
    if name is None:
        return Choice(driver.devices, "all CUDA devices")
    said = f"{name}={environ[name]}"
    if not re.fullmatch(r"[0-9]{1,4}(,[0-9]{1,4})*", environ[name]):
        return Choice((), f"{said}: is no list of devices such as 0,2: correct or unset it")
    numbers = {int(number) for number in environ[name].split(",")}
    found = tuple(device for device in driver.devices if device.index in numbers)
    if len(found) < len(numbers) and len(driver.devices) <= len(numbers):
        # A container or control group shows only our own, and numbers them anew.
        return Choice(driver.devices, f"{said}, and no other is visible")
    if len(found) < len(numbers):
        return Choice((), f"{said}: {_absent(driver)}; correct or unset it")
    return Choice(found, said)


def _absent(driver: Driver) -> str:
    if not driver.devices:
        return driver.detail
    return f"no such device: there are {', '.join(f'cuda:{device.index}' for device in driver.devices)}"

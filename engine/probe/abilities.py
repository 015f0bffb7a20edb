"""What this machine can do, and which way a conversion takes on it."""

from __future__ import annotations

from dataclasses import dataclass

from ..device import Choice, select
from .driver import Driver, ask_driver
from .process import PATIENCE_S, try_out


@dataclass(frozen=True)
class Ability:
    """Something that a conversion on a GPU needs.

    Attributes:
        name: ``kernels`` (ours), ``pycuda``, ``nvdec``, ``nvenc``, ``tensorrt``, or ``onnxruntime`` (its CUDA
            provider).
        works: whether it was tried and works.
        detail: its version or what it covers; or why it does not work, and what to do.
    """

    name: str
    works: bool
    detail: str


@dataclass(frozen=True)
class Stage:
    """A stage of a conversion.

    Attributes:
        name: ``decode``, ``kernels``, ``networks`` or ``encode``.
        device: where it runs: ``cpu`` or ``cuda:N``.
        reason: why there.
    """

    name: str
    device: str
    reason: str


@dataclass(frozen=True)
class Probe:
    """What was found.

    Attributes:
        driver: the NVIDIA driver and its devices.
        choice: the devices that this process would use.
        tried: index of the device on which the abilities were tried: the first chosen one, or the driver's
            first where the CPU is chosen; None where there is none.
        abilities: of that device.
        stages: of a conversion as this version does it.
    """

    driver: Driver
    choice: Choice
    tried: int | None
    abilities: tuple[Ability, ...]
    stages: tuple[Stage, ...]


_ABILITIES = ("kernels", "pycuda", "nvdec", "nvenc", "tensorrt", "onnxruntime")
# What each stage needs on a GPU: of each group one.
_NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "decode": (("nvdec",),),
    "kernels": (("kernels",), ("pycuda",)),
    "networks": (("tensorrt", "onnxruntime"),),
    "encode": (("nvenc",),),
}


def probe(asked: str = "auto", patience_s: float = PATIENCE_S) -> Probe:
    """Tries what this machine can do, each thing in a process of its own.

    Whatever crashes or hangs there is told as what does not work.

    Args:
        asked: see `select`.
        patience_s: wall time for each trial.

    Raises:
        UsageError: no such kind of device.
        DeviceUnavailableError: a device was asked for by name and is not here.
    """
    driver = ask_driver(patience_s)
    choice = select(asked, driver)
    # On the CPU, too, everything is tried on the first device: the table is there to say what is missing.
    first = next(iter(choice.devices or driver.devices), None)
    tried = None if first is None else first.index
    abilities = {}
    for name in _ABILITIES:
        answer = try_out(name, tried, patience_s)
        abilities[name] = Ability(name, answer["works"], answer["detail"])
    stages = tuple(Stage(name, "cpu", _why_cpu(name, choice, abilities)) for name in _NEEDS)
    return Probe(driver, choice, tried, tuple(abilities.values()), stages)


def _why_cpu(stage: str, choice: Choice, abilities: dict[str, Ability]) -> str:
    """Conversion has no way over a GPU yet, whatever is here; says first what else would be in its way."""
    if not choice.devices:
        return choice.reason
    for group in _NEEDS[stage]:
        options = [abilities[name] for name in group]
        if not any(option.works for option in options):
            return "; ".join(f"{option.name}: {option.detail}" for option in options)
    return f"this version converts on the CPU only; {choice.devices[0].name} has what it takes"

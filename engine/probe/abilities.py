"""What this machine can do, and which way a conversion takes on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..device_choice import Choice, select
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
        stages: of a conversion here, by default.
    """

    driver: Driver
    choice: Choice
    tried: int | None
    abilities: tuple[Ability, ...]
    stages: tuple[Stage, ...]


_ABILITIES = ("kernels", "pycuda", "nvdec", "nvenc", "tensorrt", "onnxruntime")
# What all work on pictures needs on a GPU: of each group one. Without that, a conversion stays on the CPU.
_NEEDED: tuple[tuple[str, ...], ...] = (("kernels",), ("pycuda",), ("tensorrt", "onnxruntime"))


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
    return Probe(driver, choice, tried, tuple(abilities.values()), stages_of(choice, abilities))


def stages_of(choice: Choice, abilities: Mapping[str, Ability]) -> tuple[Stage, ...]:
    """The way that `convert` takes, see `on_device.choice`; decoders may differ from film to film."""
    why_not = _why_not(choice, abilities)
    if why_not is not None:
        return tuple(Stage(name, "cpu", why_not) for name in ("decode", "kernels", "networks", "encode"))
    device = f"cuda:{choice.devices[0].index}"
    runtime = next(ability for name in _NEEDED[-1] if (ability := abilities[name]).works)
    decoder, encoder = abilities["nvdec"], abilities["nvenc"]
    return (
        Stage("decode", device, f"{decoder.detail}; other films on the CPU")
        if decoder.works
        else Stage("decode", "cpu", f"nvdec: {decoder.detail}; frames are uploaded"),
        Stage("kernels", device, choice.reason),
        Stage("networks", device, f"{runtime.name}: {runtime.detail}"),
        Stage(
            "encode",
            "cpu",
            f"x264 unless told otherwise; --codec h264_nvenc and the like encode on {device}"
            if encoder.works
            else f"nvenc: {encoder.detail}",
        ),
    )


def _why_not(choice: Choice, abilities: Mapping[str, Ability]) -> str | None:
    """Why a conversion stays on the CPU; None where it does not."""
    if not choice.devices:
        return choice.reason
    for group in _NEEDED:
        options = [abilities[name] for name in group]
        if not any(option.works for option in options):
            return "; ".join(f"{option.name}: {option.detail}" for option in options)
    return None

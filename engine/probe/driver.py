"""The CUDA devices of this machine, as its driver tells them."""

from __future__ import annotations

from dataclasses import dataclass

from .process import PATIENCE_S, try_out


@dataclass(frozen=True)
class CudaDevice:
    """A GPU, or a part of one that is divided.

    Attributes:
        index: its number in CUDA and in ``--device``, in the order of the PCI bus unless
            ``CUDA_DEVICE_ORDER`` says otherwise, among those that ``CUDA_VISIBLE_DEVICES`` leaves.
        name: as NVIDIA sells it.
        capability: compute capability, such as ``(9, 0)``.
        memory_bytes: in all.
        uuid: as ``CUDA_VISIBLE_DEVICES`` takes it: ``GPU-``, or ``MIG-`` for a part, and hexadecimal digits.
        pci_bus: its address, such as ``0000:3b:00.0``.
    """

    index: int
    name: str
    capability: tuple[int, int]
    memory_bytes: int
    uuid: str
    pci_bus: str


@dataclass(frozen=True)
class Driver:
    """What the NVIDIA driver says.

    Attributes:
        detail: its version; without a device, why there is none, and what to do.
        devices: in the order of their indices; empty where there is no driver, or none that answers.
    """

    detail: str
    devices: tuple[CudaDevice, ...] = ()


def ask_driver(patience_s: float = PATIENCE_S) -> Driver:
    """Asks the driver in a process of its own: it may hang, and this one stays free of CUDA."""
    answer = try_out("driver", patience_s=patience_s)
    return Driver(
        answer["detail"],
        tuple(
            CudaDevice(**{**found, "capability": tuple(found["capability"])})
            for found in answer.get("devices", ())
        ),
    )

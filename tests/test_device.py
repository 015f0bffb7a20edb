"""Which devices are chosen: by the user, by the driver's variables, by a farm; in training, too."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from make_stub_driver import CHOOSING

from crossface.engine.device_choice import Choice, choose, select
from crossface.engine.errors import DeviceUnavailableError, InputMissingError, UsageError
from crossface.engine.events import Warned
from crossface.engine.probe.driver import CudaDevice, Driver

pytestmark = pytest.mark.usefixtures("no_choice_from_outside")

DEVICES = tuple(CudaDevice(i, f"GPU {i}", (9, 0), 1 << 34, f"GPU-{i}", f"0000:0{i}:00.0") for i in range(4))
FOUR, NONE = Driver("CUDA 13.0", DEVICES), Driver("no NVIDIA driver: install it")


@pytest.mark.parametrize(
    ("asked", "variables", "chosen"),
    [
        ("auto", {}, (0, 1, 2, 3)),
        ("cuda", {}, (0, 1, 2, 3)),
        ("cpu", {"CUE_GPU_CORES": "1"}, ()),
        ("cuda:2", {}, (2,)),
        ("cuda:2", {"CUE_GPU_CORES": "1", "SLURM_JOB_GPUS": "0"}, (2,)),
        # The driver has left only four of more, and numbered them anew.
        ("auto", {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "CUE_GPU_CORES": "1"}, (0, 1, 2, 3)),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "4,5,6,7"}, (1,)),
        ("auto", {"CUE_GPU_CORES": "1,3"}, (1, 3)),
        ("cuda", {"CUE_GPU_CORES": "3"}, (3,)),
        ("auto", {"CUE_GPU_CORES": "", "SLURM_JOB_GPUS": "2"}, (2,)),
        ("auto", {"SLURM_STEP_GPUS": "1", "SLURM_JOB_GPUS": "1,2"}, (1,)),
        # A control group shows the four that are ours, of eight.
        ("auto", {"SLURM_JOB_GPUS": "4,5,6,7"}, (0, 1, 2, 3)),
        ("auto", {"CUE_GPU_CORES": "9"}, ()),
        ("auto", {"CUE_GPU_CORES": "all"}, ()),
    ],
)
def test_what_is_chosen(asked: str, variables: dict[str, str], chosen: tuple[int, ...]) -> None:
    choice = select(asked, FOUR, variables)
    assert tuple(device.index for device in choice.devices) == chosen
    named = [name for name in CHOOSING if variables.get(name) and asked in ("auto", "cuda")]
    assert not named or named[0] in choice.reason


@pytest.mark.parametrize(
    ("asked", "driver", "variables", "words"),
    [
        ("cuda", NONE, {}, "--device cuda: no NVIDIA driver: install it; or give --device cpu"),
        ("cuda:0", NONE, {}, "no NVIDIA driver"),
        ("cuda:4", FOUR, {}, "no such device: there are cuda:0, cuda:1, cuda:2, cuda:3"),
        ("cuda", FOUR, {"CUE_GPU_CORES": "9"}, "CUE_GPU_CORES=9: no such device"),
        ("cuda", FOUR, {"SLURM_JOB_GPUS": "0-3"}, "SLURM_JOB_GPUS=0-3: is no list of devices"),
    ],
)
def test_a_device_that_is_not_there(
    asked: str, driver: Driver, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(DeviceUnavailableError) as raised:
        select(asked, driver, variables)
    assert words in str(raised.value) and raised.value.exit_code == 69


@pytest.mark.parametrize("asked", ["", "gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999", "CPU", "cuda:²"])
def test_no_kind_of_device(asked: str) -> None:
    with pytest.raises(UsageError):
        select(asked, FOUR, {})


def test_auto_without_a_device_says_why() -> None:
    assert select("auto", NONE, {}) == Choice((), "no NVIDIA driver: install it")


def test_choosing_sets_the_order_for_this_process_too(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_DEVICES", "2")
    assert [device.name for device in choose("cuda").devices] == ["Stub A", "Stub B"]
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.needs_torch
def test_training_takes_the_same_devices(stub: pytest.MonkeyPatch) -> None:
    import torch

    from crossface.training.train import train

    def start(device: str) -> None:
        next(train("no_faces_a", "no_faces_b", "no_model", steps=1, device=device))

    stub.setenv("STUB_DEVICES", "1")
    with pytest.raises(UsageError, match="--device gpu"):
        start("gpu")
    with pytest.raises(DeviceUnavailableError, match="no such device: there are cuda:0"):
        start("cuda:1")
    stub.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceUnavailableError, match="this PyTorch cannot use CUDA"):
        start("cuda")
    with pytest.raises(InputMissingError, match="no_faces_a"):
        start("auto")


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"STUB_DEVICES": "0"}, "training on the CPU: no CUDA device: the driver finds no device"),
        ({"STUB_INIT": "crash"}, r"training on the CPU: crashes \(signal 6\)"),
        ({"STUB_DEVICES": "2", "CUE_GPU_CORES": "5"}, "training on the CPU: CUE_GPU_CORES=5: no such device"),
        ({"STUB_DEVICES": "2", "CUE_GPU_CORES": "all"}, "training on the CPU: CUE_GPU_CORES=all: is no list"),
        ({"STUB_DEVICES": "1"}, "training on the CPU: this PyTorch cannot use CUDA"),
    ],
)
def test_training_says_why_it_takes_the_cpu(
    stub: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    import torch
    from make_faceset import TINY, make_faceset

    from crossface.training.events import StepDone
    from crossface.training.train import train

    faces = [make_faceset(tmp_path / name, 3, (200, 150, 120)) for name in "ab"]
    stub.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in variables.items():
        stub.setenv(name, value)
    events = train(faces[0], faces[1], tmp_path / "model", preset=TINY, steps=1, batch=1)
    warned = next(events)
    assert isinstance(warned, Warned) and re.match(words, warned.message)
    assert isinstance(next(events), StepDone)
    asked = train(faces[0], faces[1], tmp_path / "asked", preset=TINY, steps=1, batch=1, device="cpu")
    assert isinstance(next(asked), StepDone)

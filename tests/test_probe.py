"""What `crossface probe` tells, of this machine and of drivers of our own.

The drivers are stubs in C (stub_libcuda.c) that a trial's process loads as the real one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from make_stub_driver import make_library

from crossface.engine.device_choice import Choice, select
from crossface.engine.errors import DeviceUnavailableError
from crossface.engine.probe import process
from crossface.engine.probe.abilities import Ability, probe, stages_of
from crossface.engine.probe.driver import CudaDevice, Driver, ask_driver
from crossface.engine.probe.process import try_out
from crossface.engine.probe.trial import TINY_NETWORK, try_encoder

pytestmark = pytest.mark.usefixtures("no_choice_from_outside")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", "from crossface.engine.cli import main; main()", "probe", *arguments]
    return subprocess.run(start, capture_output=True, text=True, timeout=120)


# This machine.


def test_every_trial_answers_here() -> None:
    found = probe()
    assert len(found.abilities) == 6
    for tried in found.abilities:
        assert tried.detail and "\n" not in tried.detail
        assert not tried.works or found.driver.devices
    assert [stage.name for stage in found.stages] == ["decode", "kernels", "networks", "encode"]
    if not found.driver.devices:
        assert {stage.device for stage in found.stages} == {"cpu"}
    assert bool(found.choice.devices) == bool(found.driver.devices) == (found.tried is not None)


def test_the_command_prints_a_table_and_json() -> None:
    table = command()
    assert table.returncode == 0, table.stderr
    for word in (
        "nvdec",
        "nvenc",
        "tensorrt",
        "pycuda",
        "onnxruntime",
        "kernels",
        "decode",
        "encode",
    ):
        assert word in table.stdout
    answer = command("--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert {stage["name"] for stage in found["stages"]} == {"decode", "kernels", "networks", "encode"}
    assert found["driver"]["detail"]


def test_the_command_refuses_a_device_that_is_not_there() -> None:
    refused = command("--device", "cuda:4095")
    assert refused.returncode == 69
    assert refused.stderr.startswith("crossface: --device cuda:4095: ") and refused.stderr.count("\n") == 1
    assert command("--device", "gpu").returncode == 2


def test_asking_does_not_load_the_driver_here(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_DEVICES", "1")
    script = (
        "from crossface.engine.device_choice import choose; from pathlib import Path; "
        "print(len(choose().devices), 'libcuda' in Path('/proc/self/maps').read_text())"
    )
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert asked.stdout == "1 False\n", asked.stderr


def test_the_trial_of_encoders_tells_one_that_works_from_one_that_does_not() -> None:
    assert try_encoder("libx264", {"preset": "ultrafast"}) is None
    assert try_encoder("no_such_encoder", {})


def test_the_network_of_the_trial_is_one() -> None:
    import numpy as np
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load_from_string(TINY_NETWORK), full_check=True)
    session = onnxruntime.InferenceSession(TINY_NETWORK, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.arange(9, dtype=np.float16).reshape(1, 1, 3, 3)})
    assert y.dtype == np.float16 and y.tolist() == [[[[36]]]]


# Drivers of our own.


def test_two_devices(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_DEVICES", "2")
    assert ask_driver().devices == (
        CudaDevice(0, "Stub A", (7, 5), 1 << 34, "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", "0000:3B:00.0"),
        CudaDevice(1, "Stub B", (9, 0), 2 << 34, "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f", "0000:3C:00.0"),
    )


@pytest.mark.parametrize("part", [" MIG 1g.5gb", " MIG 1c.3g.20gb"])
def test_parts_of_a_divided_gpu_are_told_as_they_are_chosen(stub: pytest.MonkeyPatch, part: str) -> None:
    stub.setenv("STUB_DEVICES", "1")
    stub.setenv("STUB_PART", part)
    (device,) = ask_driver().devices
    assert device.name == f"Stub A{part}"
    assert device.uuid == "MIG-00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_an_order_that_the_user_sets_stays(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_DEVICES", "2")
    stub.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert [device.name for device in ask_driver().devices] == ["Stub B", "Stub A"]


def test_a_probe_with_devices(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_DEVICES", "2")
    found = probe("cuda:1")
    assert [device.name for device in found.choice.devices] == ["Stub B"]
    assert found.driver.detail.endswith("CUDA 13.0")
    for stage in found.stages:
        assert stage.device == "cpu" and "no NVIDIA driver" not in stage.reason
    table = command("--device", "cuda:1").stdout
    assert re.search(r"cuda:0 +no +Stub A, 16 GiB, compute capability 7.5", table)
    assert re.search(r"cuda:1 +yes +Stub B, 32 GiB, compute capability 9.0", table)
    assert re.search(r"cpu +no\n *\(--device cuda:1\)\n", table)
    assert re.search(r"ABILITY +WORKS +WHICH, OR WHAT TO DO \(tried on cuda:1\)\n", table)
    answer = json.loads(command("--json").stdout)
    assert answer["driver"]["devices"][1]["capability"] == [9, 0] and answer["tried"] == 0


ALL = {
    name: Ability(name, True, "1.0")
    for name in ("kernels", "pycuda", "nvdec", "nvenc", "tensorrt", "onnxruntime")
}
ONE = Choice((CudaDevice(3, "GPU", (9, 0), 1 << 34, "GPU-3", "0000:03:00.0"),), "all CUDA devices")


@pytest.mark.parametrize(
    ("missing", "devices", "words"),
    [
        ([], ["cuda:3", "cuda:3", "cuda:3", "cpu"], "--codec h264_nvenc"),
        (["tensorrt"], ["cuda:3", "cuda:3", "cuda:3", "cpu"], "onnxruntime: 1.0"),
        (["nvdec", "nvenc"], ["cpu", "cuda:3", "cuda:3", "cpu"], "nvdec: gone; frames are uploaded"),
        (["pycuda"], ["cpu"] * 4, "pycuda: gone"),
        (["tensorrt", "onnxruntime"], ["cpu"] * 4, "tensorrt: gone; onnxruntime: gone"),
    ],
)
def test_the_way_of_a_conversion(missing: list[str], devices: list[str], words: str) -> None:
    abilities = {**ALL, **{name: Ability(name, False, "gone") for name in missing}}
    stages = stages_of(ONE, abilities)
    assert [stage.device for stage in stages] == devices
    assert any(words in stage.reason for stage in stages)
    assert {stage.device for stage in stages_of(Choice((), "no driver"), ALL)} == {"cpu"}


@pytest.mark.needs_nvcc
@pytest.mark.parametrize(
    ("result", "works", "detail"),
    [("0", True, "the driver takes them"), ("209", False, "newer nvcc"), ("222", False, "driver is older")],
)
def test_the_driver_is_given_the_kernels(
    stub: pytest.MonkeyPatch, result: str, works: bool, detail: str
) -> None:
    stub.setenv("STUB_DEVICES", "1")
    stub.setenv("STUB_MODULE", result)
    answer = try_out("kernels", 0)
    assert answer["works"] == works and detail in answer["detail"]


def test_a_build_without_kernels_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FATBIN", tmp_path / "kernels.fatbin")
    assert try_out("kernels", 0)["detail"].startswith("not in this build: install nvcc")


def test_an_old_driver_tells_its_version(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_DEVICES", "1")
    stub.setenv("STUB_VERSION", "11040")
    assert ask_driver().detail.endswith("CUDA 11.4")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"STUB_DEVICES": "0"}, "no CUDA device: the driver finds no device"),
        ({"STUB_DEVICES": "0", "CUDA_VISIBLE_DEVICES": ""}, 'CUDA_VISIBLE_DEVICES="" leaves none'),
        ({"STUB_INIT": "803"}, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: the driver's kernel module and libraries"),
        ({"STUB_INIT": "999"}, "error 999: the driver is in disorder"),
        ({"STUB_INIT": "crash"}, "crashes (signal 6)"),
    ],
)
def test_a_driver_without_devices_says_why(
    stub: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        stub.setenv(name, value)
    driver = ask_driver()
    assert driver.devices == () and words in driver.detail
    assert select("auto", driver).reason == driver.detail
    with pytest.raises(DeviceUnavailableError, match="--device cpu"):
        select("cuda", driver)


def test_a_driver_that_hangs_is_left_behind(stub: pytest.MonkeyPatch) -> None:
    stub.setenv("STUB_INIT", "hang")
    start_s = time.monotonic()
    assert "does not answer within 0.5 s" in ask_driver(patience_s=0.5).detail
    assert time.monotonic() - start_s < 10


def test_a_library_that_is_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"nonsense")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert "no NVIDIA driver" in ask_driver().detail and str(tmp_path) in ask_driver().detail


def test_a_driver_that_lacks_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.c").write_text("int cuInit(unsigned flags) { return (int)flags; }\n")
    make_library(tmp_path / "libcuda.so.1", tmp_path / "old.c")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert ask_driver().detail == "the NVIDIA driver has no cuDriverGetVersion: update it"


# A decoder of H.264 in 8 bits and HEVC in 8 and 10: the fields of CUVIDDECODECAPS where cuviddec.h has them.
DECODER = """
#include <string.h>
int cuvidGetDecoderCaps(unsigned char* caps) {
    int in[3];
    memcpy(in, caps, sizeof in);
    for (int i = 12; i < 88; ++i) if (caps[i]) return 1;
    caps[24] = in[1] == 1 && ((in[0] == 4 && in[2] == 0) || (in[0] == 8 && in[2] <= 2));
    memset(caps + 25, 255, 88 - 25);
    return 0;
}
"""


def test_nvdec_is_asked_codec_by_codec(stub: pytest.MonkeyPatch, stub_folder: Path, tmp_path: Path) -> None:
    stub.setenv("STUB_DEVICES", "1")
    (tmp_path / "decoder.c").write_text(DECODER)
    make_library(tmp_path / "libnvcuvid.so.1", tmp_path / "decoder.c")
    stub.setenv("LD_LIBRARY_PATH", f"{stub_folder}:{tmp_path}")
    assert try_out("nvdec", 0)["codecs"] == ["h264 8 bit", "hevc 8 bit", "hevc 10 bit"]


def test_nvenc_that_opens_nothing_says_what_libav_says(
    stub: pytest.MonkeyPatch, stub_folder: Path, tmp_path: Path
) -> None:
    stub.setenv("STUB_DEVICES", "1")
    (tmp_path / "encoder.c").write_text("int nothing;\n")
    make_library(tmp_path / "libnvidia-encode.so.1", tmp_path / "encoder.c")
    stub.setenv("LD_LIBRARY_PATH", f"{stub_folder}:{tmp_path}")
    answer = try_out("nvenc", 0)
    assert not answer["works"] and answer["detail"].startswith("opens no encoder: ")


@pytest.mark.parametrize(
    ("version", "detail"),
    [
        ("10.15.1.29", "version 10.15.1.29 is not supported: install 10.16, or 11"),
        ("10.16.1.11", "is here, but there is no CUDA device for it"),
        ("11.4.0.106", "is here, but there is no CUDA device for it"),
        ("12.0.0", "version 12.0.0 is not supported: install 10.16, or 11"),
    ],
)
def test_versions_of_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, detail: str
) -> None:
    (tmp_path / "tensorrt.py").write_text(f"__version__ = {version!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert try_out("tensorrt")["detail"] == detail


def test_a_tensorrt_that_does_not_start(stub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub.setenv("STUB_DEVICES", "1")
    (tmp_path / "tensorrt.py").write_text(
        "__version__ = '11.4.0.106'\n"
        "class Logger:\n"
        "    ERROR = 1\n"
        "    def __init__(self, severity): pass\n"
        "def Runtime(logger): raise TypeError('pybind11::init(): factory function returned nullptr')\n"
    )
    stub.syspath_prepend(str(tmp_path))
    detail = "version 11.4.0.106 does not start: does it fit the driver's CUDA?"
    assert try_out("tensorrt", 0)["detail"] == detail


def test_a_module_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise FileNotFoundError('libnvinfer.so.11\\nis not here')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert try_out("tensorrt")["detail"] == "installed, but cannot be loaded: libnvinfer.so.11"
    (tmp_path / "tensorrt.py").write_text("import tensorrt_libs_that_are_not_here\n")
    assert try_out("tensorrt")["detail"].startswith("installed, but cannot be loaded: No module named")


# ONNX Runtime loads cuDNN when it comes to a convolution, and not before.
WITHOUT_CUDNN = """
__version__ = "1.99"
get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]

class SessionOptions:
    def add_session_config_entry(self, name, value):
        pass

class InferenceSession:
    def __init__(self, network, *options, **more):
        self.network = network
    def get_providers(self):
        return get_available_providers()
    def run(self, names, feeds):
        if b"Conv" in self.network:
            raise RuntimeError("cuDNN is not available: libcudnn.so.9")
"""
# The real one for CPUs, which claims to know CUDA: as where the libraries of CUDA are missing.
WITHOUT_CUDA = """
import sys
del sys.path[0], sys.modules["onnxruntime"]
import onnxruntime
onnxruntime.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
"""


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [(WITHOUT_CUDNN, "libcudnn.so.9"), (WITHOUT_CUDA, "fallback to CPU EP has been explicitly disabled")],
)
def test_an_onnx_runtime_that_lacks_a_library_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, reason: str
) -> None:
    (tmp_path / "onnxruntime.py").write_text(runtime)
    monkeypatch.syspath_prepend(str(tmp_path))
    answer = try_out("onnxruntime", 0)
    assert not answer["works"]
    assert reason in answer["detail"] and "onnxruntime-gpu[cuda,cudnn]" in answer["detail"]


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("os.abort()", "crashes (signal 6)"),
        ("os.write(1, b'{'); os.dup2(1, 2); os._exit(3)", "without an answer (exit code 3)"),
        ("print('noise'); __version__ = '11.0'", "is here"),
        ("import time; time.sleep(60)", "does not answer within 2 s"),
    ],
)
def test_a_trial_survives_what_it_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, words: str
) -> None:
    (tmp_path / "tensorrt.py").write_text(f"import os\n{ending}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert words in try_out("tensorrt", patience_s=2)["detail"]


def test_a_frozen_program_has_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert ask_driver() == Driver("not tried, as this program has no Python interpreter to start")

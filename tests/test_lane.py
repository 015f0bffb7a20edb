"""`Lane`: on a GPU its order and its data; with pycuda on a driver that only keeps the books, its balance."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_stub_driver import make_stub_driver

from crossface.engine.device import SIGNATURES, Lane
from crossface.engine.device_choice import choose
from crossface.engine.probe.process import try_out

KERNELS = Path(__file__).parents[1] / "kernels"


def test_signatures_are_those_of_the_sources() -> None:
    source = "\n".join(path.read_text() for path in sorted(KERNELS.glob("*.cu")))
    found = re.findall(r'extern "C" __global__ void __launch_bounds__\(.*\)\s+(\w+)\(([^)]*)\)', source)
    assert len(found) == 33
    for name, parameters in found:
        types = [one.split()[0] for one in parameters.replace("const ", "").split(",")]
        kinds = [
            "P" if each.endswith("*") else {"int": "i", "float": "f", "double": "d"}[each] for each in types
        ]
        assert SIGNATURES[re.sub("(_f(16|32))+$", "", name)] == "".join(kinds), name
    assert {re.sub("(_f(16|32))+$", "", name) for name, _ in found} == set(SIGNATURES)


# What a lane does to the driver, told by the stub; in a process of its own, which loads the stub.

BOOKS = """
import ctypes, json, sys, threading
import numpy as np
from crossface.engine.device import Lane, attached
from crossface.engine.device_choice import choose
from crossface.engine.errors import DeviceUnavailableError, OutOfMemoryError

stub = ctypes.CDLL("libcuda.so.1")
stub.stub_last_launch.restype = ctypes.c_char_p
(device, other) = choose("cuda").devices
found = {}

def depth_and_live():
    return [stub.stub_depth(), stub.stub_live()]

with Lane(device) as lane:
    found["stream flags"] = stub.stub_last_stream_flags()
    found["inside"] = depth_and_live()
    buffer = lane.device_buffer(4096)
    there, back = lane.pinned((3, 4), np.float16), lane.pinned((3, 4), np.float16)
    there[:] = np.arange(12).reshape(3, 4)
    back[:] = -1
    lane.upload(buffer, there)
    lane.download(back, buffer)
    lane.synchronize()
    found["round trip"] = bool((back == there).all())
    found["handle"] = lane.handle != 0
    found["stream"] = [lane.stream.device, lane.stream.handle == lane.handle]
    found["aligned"] = buffer.address % 256
    found["event flags"] = stub.stub_last_event_flags()
    lane.launch("crop_f16", (1, 2, 3), (16, 8, 1), buffer, 0x1122334455667788, 256, np.uint64(7))
    found["crop"] = stub.stub_last_launch().decode()
    lane.launch("stats_totals", (1, 1, 1), (32, 1, 1), buffer.address, np.int32(5), buffer)
    found["totals"] = stub.stub_last_launch().decode()
    found["modules"] = stub.stub_modules()
    found["address"] = buffer.address
    event = lane.record()
    found["over"] = lane.is_over(event)
    started = lane.record(timed=True)
    found["timed flags"] = stub.stub_last_event_flags()
    again = lane.device_buffer(4096)
    lane.copy(again, buffer)
    back[:] = -1
    lane.download(back, again)
    found["elapsed ms"] = lane.elapsed_ms(started, lane.record(timed=True))
    found["copied"] = bool((back == there).all())
    with Lane(other) as second:
        found["two"] = stub.stub_depth()
        found["second stream"] = [second.stream.device, second.stream.handle == second.handle]
        second.follow(event)
        found["waits"] = stub.stub_waits()
        second.launch("crop_f32", (1, 1, 1), (1, 1, 1), 1, 2, 3, 4)
    for name, mistake in {
        "too large": lambda: lane.device_buffer(2 << 30),
        "too much pinned": lambda: lane.pinned(2 << 30, np.uint8),
        "no kernel": lambda: lane.launch("nothing_f16", (1, 1, 1), (1, 1, 1)),
        "wrong count": lambda: lane.launch("crop_f16", (1, 1, 1), (1, 1, 1), 1, 2, 3),
        "no block": lambda: lane.launch("crop_f16", (1, 1, 1), (0, 1, 1), 1, 2, 3, 4),
        "does not fit": lambda: lane.upload(buffer, np.zeros(5000, np.uint8)),
        "copy too large": lambda: lane.copy(lane.device_buffer(64), buffer),
        "not contiguous": lambda: lane.download(back[:, ::2], buffer),
    }.items():
        try:
            mistake()
            found[name] = None
        except Exception as error:
            found[name] = [type(error).__name__, str(error)]
del event, started
found["after"] = depth_and_live()

def attach():
    with attached(device):
        found["attached"] = stub.stub_depth()
    found["detached"] = stub.stub_depth()

decoder = threading.Thread(target=attach)
decoder.start()
decoder.join()

def work(wrong, i):
    try:
        with Lane(device) as lane:
            assert stub.stub_depth() == 1
            lane.pinned(100, np.uint8)
            buffer = lane.device_buffer(100)
            lane.launch("stats_totals", (1, 1, 1), (1, 1, 1), buffer, i, buffer)
            lane.synchronize(lane.record())
            if i % 10 == 0:
                raise KeyError(i)
    except KeyError:
        pass
    except BaseException as error:
        wrong.append(repr(error))
    wrong += [depth] if (depth := stub.stub_depth()) else []

wrong = []
threads = [threading.Thread(target=work, args=(wrong, i)) for i in range(100)]
for start in range(0, 100, 4):
    for thread in threads[start : start + 4]:
        thread.start()
    for thread in threads[start : start + 4]:
        thread.join()
for i in range(20):
    work(wrong, i)
found["wrong"] = wrong
found["in the end"] = [*depth_and_live(), stub.stub_retained(), stub.stub_modules()]
print(json.dumps(found))
"""


def stub_for_pycuda(folder: Path) -> Path:
    import pycuda

    (driver,) = Path(pycuda.__file__).parent.glob("_driver*.so")
    return make_stub_driver(folder, driver)


def run_on_stub(folder: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "LD_LIBRARY_PATH": str(stub_for_pycuda(folder)),
        "STUB_DEVICES": "2",
        **variables,
    }
    for name in ("CUDA_VISIBLE_DEVICES", "CUE_GPU_CORES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        environ.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, timeout=120
    )


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = run_on_stub(tmp_path_factory.mktemp("books"), BOOKS)
    assert done.returncode == 0 and not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.needs_pycuda
@pytest.mark.needs_nvcc
class TestBooks:
    def test_a_lane_is_one_context_and_a_blocking_stream(self, books: dict[str, Any]) -> None:
        assert books["stream flags"] == 0
        assert books["inside"] == [1, 1]
        assert books["handle"]
        assert books["two"] == 1  # pycuda keeps only the one on top current

    def test_its_stream_can_be_lent(self, books: dict[str, Any]) -> None:
        assert books["stream"] == [0, True]
        assert books["second stream"] == [1, True]

    def test_copies(self, books: dict[str, Any]) -> None:
        assert books["round trip"] and books["copied"] and books["aligned"] == 0

    def test_waiting_threads_sleep(self, books: dict[str, Any]) -> None:
        assert books["event flags"] == 1 | 2  # blocking synchronisation, no timing
        assert books["over"] and books["waits"] == 1

    def test_events_measure_only_where_they_are_to(self, books: dict[str, Any]) -> None:
        assert books["timed flags"] == 1
        assert books["elapsed ms"] == 1.5  # as the stub has it

    def test_arguments_lie_as_c_lays_them(self, books: dict[str, Any]) -> None:
        crop = np.zeros((), np.dtype([("a", "u8"), ("b", "u8"), ("c", "i4"), ("d", "u8")], align=True))
        crop["a"], crop["b"], crop["c"], crop["d"] = books["address"], 0x1122334455667788, 256, 7
        assert books["crop"] == f"crop_f16 1,2,3 16,8,1 {crop.tobytes().hex()}"
        totals = np.zeros((), np.dtype([("a", "u8"), ("b", "i4"), ("c", "u8")], align=True))
        totals["a"], totals["b"], totals["c"] = books["address"], 5, books["address"]
        assert books["totals"] == f"stats_totals 1,1,1 32,1,1 {totals.tobytes().hex()}"

    @pytest.mark.parametrize(
        ("mistake", "error", "words"),
        [
            ("too large", "OutOfMemoryError", "cuda:0 (Stub A): its memory is full"),
            ("too much pinned", "OutOfMemoryError", "cuda:0 (Stub A): the host's locked memory is full ("),
            ("no kernel", "KeyError", "nothing"),
            ("wrong count", "error", "exactly 4 arguments"),
            ("no block", "DeviceUnavailableError", "cuda:0 (Stub A): "),
            ("does not fit", "ValueError", "5000 bytes"),
            ("not contiguous", "ValueError", "not contiguous"),
            ("copy too large", "ValueError", "4096 bytes"),
        ],
    )
    def test_mistakes(self, books: dict[str, Any], mistake: str, error: str, words: str) -> None:
        assert books[mistake] is not None
        assert books[mistake][0] == error and words in books[mistake][1]

    def test_nothing_stays_of_120_lanes_but_the_context_and_its_kernels(self, books: dict[str, Any]) -> None:
        assert books["after"] == [0, 0]
        assert (books["attached"], books["detached"]) == (1, 0), "other threads, while they are attached"
        assert books["wrong"] == []
        depth, live, retained, modules = books["in the end"]
        assert (depth, live) == (0, 0)
        assert (retained, modules) == (2, 2)  # one for each of two devices


@pytest.mark.needs_pycuda
def test_a_lane_that_does_not_open_leaves_nothing(tmp_path: Path) -> None:
    script = """
import ctypes
from crossface.engine.device import Lane
from crossface.engine.device_choice import choose
from crossface.engine.errors import OutOfMemoryError
try:
    Lane(choose("cuda").devices[0])
except OutOfMemoryError as error:
    print(error)
stub = ctypes.CDLL("libcuda.so.1")
print(stub.stub_depth(), stub.stub_live())
"""
    done = run_on_stub(tmp_path, script, STUB_STREAM="2")
    assert not done.stderr
    assert done.stdout.startswith("cuda:0 (Stub A): its memory is full") and done.stdout.endswith("\n0 0\n")


@pytest.mark.needs_pycuda
@pytest.mark.needs_nvcc
def test_a_process_ends_quietly_whose_lanes_were_in_other_threads(tmp_path: Path) -> None:
    script = """
import threading
from crossface.engine.device import Lane
from crossface.engine.device_choice import choose
device = choose("cuda").devices[0]
events = []
def work():
    with Lane(device) as lane:
        lane.launch("stats_totals", (1, 1, 1), (1, 1, 1), 1, 2, 3)
        events.append(lane.record())
        kept = lane.record()
for _ in range(3):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
with Lane(device) as lane:
    lane.follow(events[0])
    lane.synchronize(events[1])
    print(lane.is_over(events[2]))
"""
    done = run_on_stub(tmp_path, script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


@pytest.mark.needs_pycuda
def test_a_process_that_numbers_devices_otherwise_is_told(tmp_path: Path) -> None:
    script = """
import os
from crossface.engine.device import Lane
from crossface.engine.device_choice import choose
device = choose("cuda").devices[0]
os.environ["CUDA_DEVICE_ORDER"] = "FASTEST_FIRST"
Lane(device)
"""
    done = run_on_stub(tmp_path, script)
    assert "DeviceUnavailableError: cuda:0 (Stub A): something has started CUDA" in done.stderr
    assert done.returncode == 1


@pytest.mark.needs_pycuda
def test_the_probe_tries_pycuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(stub_for_pycuda(tmp_path)))
    monkeypatch.setenv("STUB_DEVICES", "2")
    answer = try_out("pycuda", 0)
    assert answer["works"] and answer["detail"].endswith(", 2 devices")
    monkeypatch.setenv("STUB_INIT", "999")
    assert not try_out("pycuda", 0)["works"]


def test_without_pycuda_a_lane_says_what_to_install() -> None:
    script = """
import sys
sys.modules["pycuda"] = None
from crossface.engine.device import Lane
from crossface.engine.probe.driver import CudaDevice
Lane(CudaDevice(0, "GPU", (9, 0), 1, "GPU-0", "0000:00:00.0"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert "ConfigurationError: pycuda cannot be loaded" in done.stderr
    assert 'pip install "crossface[cuda]"' in done.stderr


# On a GPU.

SPIN = """
extern "C" __global__ void spin(unsigned long long nanoseconds, int* flag) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
    do { asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); } while (now - start < nanoseconds);
    *flag = 1;
}
"""
SPIN_NS = 200_000_000


@pytest.fixture(scope="module")
def spin_fatbin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spin")
    (folder / "spin.cu").write_text(SPIN)
    major, minor = choose("cuda").devices[0].capability
    path = os.pathsep.join(
        [os.environ.get("PATH", ""), os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin"]
    )
    subprocess.run(
        ["nvcc", "-fatbin", f"-arch=sm_{major}{minor}", "-o", folder / "spin.fatbin", folder / "spin.cu"],
        check=True,
        env={**os.environ, "PATH": path},
    )
    return folder / "spin.fatbin"


@pytest.mark.needs_gpu
class TestGpu:
    def test_a_round_trip(self) -> None:
        with Lane(choose("cuda").devices[0]) as lane:
            data = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
            there, back = lane.pinned(data.shape, np.uint8), lane.pinned(data.shape, np.uint8)
            there[:], back[:] = data, 0
            buffer = lane.device_buffer(data.nbytes)
            lane.upload(buffer, there)
            lane.download(back, buffer)
            lane.synchronize()
            assert np.array_equal(back, data)

    @pytest.mark.needs_nvcc
    @pytest.mark.parametrize(("blocking", "seen"), [(True, 1), (False, 0)])
    def test_the_default_stream_waits_for_a_slow_kernel(
        self, spin_fatbin: Path, blocking: bool, seen: int
    ) -> None:
        """As libav's encoder does. The control is a stream that does not block, where it sees too little."""
        import pycuda.driver as cuda

        with Lane(choose("cuda").devices[0]) as lane:
            flag = lane.device_buffer(4)
            there, back = lane.pinned(1, np.int32), lane.pinned(1, np.int32)
            there[:], back[:] = 0, -1
            lane.upload(flag, there)
            lane.synchronize()
            stream = lane._stream if blocking else cuda.Stream(1)
            spin = cuda.module_from_file(str(spin_fatbin)).get_function("spin").prepare("QP")
            spin.prepared_async_call((1, 1, 1), (1, 1, 1), stream, SPIN_NS, flag.address)
            cuda.memcpy_dtoh_async(back, flag.address, None)
            cuda.Context.synchronize()
            assert back[0] == seen

    @pytest.mark.needs_nvcc
    def test_a_lane_follows_another(self, spin_fatbin: Path) -> None:
        import pycuda.driver as cuda

        device = choose("cuda").devices[0]
        with Lane(device) as first, Lane(device) as second:
            flag = first.device_buffer(4)
            there, back = first.pinned(1, np.int32), first.pinned(1, np.int32)
            there[:], back[:] = 0, -1
            first.upload(flag, there)
            spin = cuda.module_from_file(str(spin_fatbin)).get_function("spin").prepare("QP")
            spin.prepared_async_call((1, 1, 1), (1, 1, 1), first._stream, SPIN_NS, flag.address)
            event = first.record()
            assert not first.is_over(event)
            second.follow(event)
            second.download(back, flag)
            second.synchronize()
            assert back[0] == 1 and first.is_over(event)

    def test_no_thread_keeps_a_context_after_100_lanes(self) -> None:
        import ctypes

        driver = ctypes.CDLL("libcuda.so.1")
        device = choose("cuda").devices[0]
        left: list[int | None] = []

        def work() -> None:
            with Lane(device) as lane:
                lane.device_buffer(1 << 20)
            current = ctypes.c_void_p()
            driver.cuCtxGetCurrent(ctypes.byref(current))
            left.append(current.value)

        for _ in range(25):
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert left == [None] * 100

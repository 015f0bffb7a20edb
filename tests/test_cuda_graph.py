"""Recording a graph: the calls of the driver, their order and their handles, against a driver of our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Says what it is called with, in the types of cuda.h. A stream records between begin and end.
_DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
typedef unsigned long long handle;
static int capturing;
static int said(const char *what, handle a, handle b, int result) {
    printf("%s %llx %llx\n", what, a, b);
    fflush(stdout);
    const char *failing = getenv("FAILING");
    for (const char *f = failing, *w = what; f && (*f == *w || !*f); f++, w++)
        if (!*f && !*w) return 901;
    return result;
}
int cuStreamCreate(handle *stream, unsigned flags) {
    int result = said("create", flags, 0, 0);
    *stream = result ? 0 : 0xfeedfacecafe0003ull;
    return result;
}
int cuStreamDestroy_v2(handle stream) { return said("destroy stream", stream, capturing, stream ? 0 : 1); }
int cuStreamBeginCapture_v2(handle stream, int mode) {
    int result = said("begin", stream, mode, 0);
    capturing = !result;
    return result;
}
int cuStreamEndCapture(handle stream, handle *graph) {
    int result = said("end", stream, capturing, 0);
    *graph = result ? 0 : 0xfeedfacecafe0001ull;
    capturing = 0;
    return result;
}
int cuGraphInstantiateWithFlags(handle *executable, handle graph, unsigned long long flags) {
    int result = said("instantiate", graph, flags, 0);
    *executable = result ? 0 : 0xfeedfacecafe0002ull;
    return result;
}
int cuGraphLaunch(handle executable, handle stream) { return said("launch", executable, stream, 0); }
int cuGraphDestroy(handle graph) { return said("destroy", graph, 0, graph ? 0 : 1); }
int cuGraphExecDestroy(handle executable) { return said("destroy executable", executable, 0, 0); }
int cuGetErrorName(int error, const char **name) {
    *name = error == 901 ? "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" : 0;
    return !*name;
}
"""

_PROGRAM = """
import sys
from crossface.engine.errors import DeviceUnavailableError
from crossface.engine.runtime.base import Stream
from crossface.engine.runtime.cuda_graph import CudaGraph

def enqueue(stream_handle):
    print(f"enqueue {stream_handle:x}", flush=True)
    if sys.argv[1:]:
        raise KeyError("enqueue")

try:
    graph = CudaGraph(Stream(3, 0x7abbccddeeff0011), enqueue)
    graph.launch()
    graph.launch()
    del graph
except (DeviceUnavailableError, KeyError) as error:
    print(f"{type(error).__name__}: {error}", flush=True)
"""

STREAM, GRAPH, EXECUTABLE = "7abbccddeeff0011", "feedfacecafe0001", "feedfacecafe0002"
# Of its own, and apart from the default stream: CU_STREAM_NON_BLOCKING is 1.
RECORDING = "feedfacecafe0003"
RECORDED = ["create 1 0", f"begin {RECORDING} 1", f"enqueue {RECORDING}", f"end {RECORDING} 1"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libcuda that only talks."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(_DRIVER)
    # Called as C++ compilers are, one of which is here: the kernels are built with it.
    command = ["c++", "-x", "c", "-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder


def _said(driver: Path, *arguments: str, failing: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env={"LD_LIBRARY_PATH": str(driver), "FAILING": failing},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_graph_is_recorded_once_and_launched_on_its_stream(driver: Path) -> None:
    assert _said(driver) == [
        *RECORDED,
        f"destroy stream {RECORDING} 0",
        f"instantiate {GRAPH} 0",
        f"destroy {GRAPH} 0",
        f"launch {EXECUTABLE} {STREAM}",
        f"launch {EXECUTABLE} {STREAM}",
        f"destroy executable {EXECUTABLE} 0",
    ]


def test_nothing_is_left_of_a_recording_that_failed(driver: Path) -> None:
    assert _said(driver, "raises") == [
        *RECORDED,
        f"destroy {GRAPH} 0",
        f"destroy stream {RECORDING} 0",
        "KeyError: 'enqueue'",
    ]


@pytest.mark.parametrize(
    ("failing", "function"),
    [
        ("create", "cuStreamCreate"),
        ("begin", "cuStreamBeginCapture_v2"),
        ("end", "cuStreamEndCapture"),
        ("instantiate", "cuGraphInstantiateWithFlags"),
        ("launch", "cuGraphLaunch"),
    ],
)
def test_what_the_driver_refuses_is_told(driver: Path, failing: str, function: str) -> None:
    said = _said(driver, failing=failing)
    (error,) = (line for line in said if line.startswith("DeviceUnavailableError: cuda:3: "))
    assert f"({function}: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)" in error
    # What was made until then is given back.
    assert (f"destroy stream {RECORDING} 0" in said) == (failing != "create")
    assert (f"destroy {GRAPH} 0" in said) == (failing in ("instantiate", "launch"))
    assert (f"destroy executable {EXECUTABLE} 0" in said) == (failing == "launch")

"""How many faces a second do the networks draw on a GPU, and how near is that to what it can multiply?

For each network, precision, runtime and batch, with a CUDA graph and without: faces a second and TFLOP/s by
CUDA events; the share of what a large matrix product reaches in the same precision on the same card, in
between; and the microseconds that the host's thread is busy a run. Weights are random, which costs the same.

    python benchmarks/gpu/bench_runner.py [--batches 1,8,32] [--presets fast-128] [--json FILE]

Never executed: written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import onnx
import torch
from multiply_adds import multiply_adds

from crossface.engine.errors import CrossfaceError
from crossface.engine.runtime.base import DeviceRunner, Stream
from crossface.engine.runtime.engine_cache import EngineCache
from crossface.engine.runtime.onnx_bound import BoundOnnxRunner
from crossface.engine.runtime.tensorrt import TensorRtNetwork, TensorRtRunner
from crossface.training.export import to_onnx
from crossface.training.models import build
from crossface.training.presets import PRESETS

sys.path.append(str(Path(__file__).parents[1]))
from machine import write_result

PRECISIONS = {"fp16": torch.float16, "fp32": torch.float32}
MATRIX_SIDE = 8192
ROUNDS = 7
LEAST_ROUND_S = 0.1

Load = Callable[[Path, tuple[int, ...], Stream, bool], DeviceRunner]


def by_onnx(model: Path, shape: tuple[int, ...], stream: Stream, graph: bool) -> DeviceRunner:
    return BoundOnnxRunner(model, shape, stream=stream, graph=graph)


def by_tensorrt(model: Path, shape: tuple[int, ...], stream: Stream, graph: bool) -> DeviceRunner:
    network = TensorRtNetwork(
        model,
        shape,
        gpu=torch.cuda.get_device_name(0),
        compute_capability=".".join(map(str, torch.cuda.get_device_capability(0))),
        cache=EngineCache(model.parent / "engines", tell=print),
        tell=lambda line: print(line, file=sys.stderr),
    )
    return TensorRtRunner(network, stream=stream, graph=graph)


RUNTIMES: dict[str, Load] = {"onnxruntime": by_onnx, "tensorrt": by_tensorrt}


def seconds_a_call(work: Callable[[], object], stream: torch.cuda.Stream) -> float:
    """On the device, by its events: the median of rounds, each of which is long enough to be measured."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    calls = 1
    rounds: list[float] = []
    while len(rounds) < ROUNDS:
        begin.record(stream)
        for _ in range(calls):
            work()
        end.record(stream)
        end.synchronize()
        taken_s = begin.elapsed_time(end) / 1000
        if not rounds and taken_s < LEAST_ROUND_S:
            calls *= 2
        else:
            rounds.append(taken_s / calls)
    return statistics.median(rounds)


def host_us(work: Callable[[], object], stream: torch.cuda.Stream) -> float:
    """What one call keeps the host's thread busy, while the device has nothing to do before it."""
    taken_us = []
    for _ in range(50):
        stream.synchronize()
        begun_s = time.perf_counter()
        work()
        taken_us.append(1e6 * (time.perf_counter() - begun_s))
    stream.synchronize()
    return statistics.median(taken_us)


def matrix_tflops(dtype: torch.dtype, stream: torch.cuda.Stream) -> float:
    """What the card reaches in a square matrix product; float32 is float32, not TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    with torch.cuda.stream(stream):
        matrix = torch.randn(MATRIX_SIDE, MATRIX_SIDE, device="cuda", dtype=dtype)
        product = torch.empty_like(matrix)
        taken_s = seconds_a_call(lambda: torch.mm(matrix, matrix, out=product), stream)
    return 2 * MATRIX_SIDE**3 / taken_s / 1e12


def network_of(name: str, precision: str) -> onnx.ModelProto:
    """The same weights each time."""
    torch.manual_seed(0)
    return to_onnx(build(PRESETS[name]).eval(), "b", precision, "direct")  # type: ignore[arg-type]


def measured(load: Load, model: Path, shape: tuple[int, ...], stream: torch.cuda.Stream, graph: bool) -> Any:
    runner = load(model, shape, Stream(0, stream.cuda_stream), graph)
    buffers = [
        torch.rand(tensor.fixed_shape, device="cuda", dtype=getattr(torch, tensor.dtype.name))
        for tensor in (runner.input, *runner.outputs)
    ]
    torch.cuda.synchronize()
    face, *drawn = (buffer.data_ptr() for buffer in buffers)
    runner.bind(face, drawn)
    return {"s": seconds_a_call(runner.enqueue, stream), "host_us": host_us(runner.enqueue, stream)}


def measure(
    presets: list[str], precisions: list[str], batches: list[int], runtimes: list[str], folder: Path
) -> Iterator[dict[str, Any]]:
    """A row for each kind of run: with its figures, or with why there are none."""
    stream = torch.cuda.Stream(0)
    for preset, precision in product(presets, precisions):
        model, graph = folder / f"{preset}-{precision}.onnx", network_of(preset, precision)
        onnx.save(graph, str(model))
        face = (3, PRESETS[preset].size_px, PRESETS[preset].size_px)
        flops = 2 * multiply_adds(graph, (1, *face))
        for runtime, batch, recorded in product(runtimes, batches, (False, True)):
            row = {
                "network": preset,
                "precision": precision,
                "runtime": runtime,
                "batch": batch,
                "graph": recorded,
                "gflop_per_face": flops / 1e9,
            }
            try:
                # Beside each figure, for clocks change with heat.
                ceiling = matrix_tflops(PRECISIONS[precision], stream)
                figures = measured(RUNTIMES[runtime], model, (batch, *face), stream, recorded)
            except (CrossfaceError, torch.cuda.OutOfMemoryError) as error:
                row["failed"] = str(error).splitlines()[0]
            else:
                tflops = flops * batch / figures["s"] / 1e12
                row |= {
                    "faces_per_s": batch / figures["s"],
                    "ms": 1000 * figures["s"],
                    "host_us": figures["host_us"],
                    "tflops": tflops,
                    "matrix_tflops": ceiling,
                    "share": tflops / ceiling,
                }
            # What PyTorch keeps for itself, the runtimes cannot have.
            torch.cuda.empty_cache()
            yield row


def usable(runtimes: list[str], folder: Path) -> list[str]:
    """Those that run a small network here; says in a line each why the others do not."""
    model, found = folder / "trial.onnx", []
    onnx.save(network_of("fast-128", "fp16"), str(model))
    stream = torch.cuda.Stream(0)
    for runtime in runtimes:
        try:
            RUNTIMES[runtime](model, (1, 3, 128, 128), Stream(0, stream.cuda_stream), False)
            found.append(runtime)
        except (CrossfaceError, torch.cuda.OutOfMemoryError) as error:
            print(f"{runtime}: not measured: {error}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--presets", default="original-64,fast-128,df-256-d,cross-256")
    parser.add_argument("--precisions", default="fp16", help="of fp16,fp32")
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench_runner: no GPU that PyTorch can use: nothing is measured", file=sys.stderr)
        sys.exit(69)
    card = torch.cuda.get_device_name(0)
    print(f"{card}, PyTorch {torch.__version__}")
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtimes = usable(options.runtimes.split(","), folder)
        if not runtimes:
            sys.exit(69)
        print(
            "network       type  runtime      batch  graph    faces/s       ms   TFLOP/s  of matrix  host us"
        )
        batches = [int(batch) for batch in options.batches.split(",")]
        presets, precisions = options.presets.split(","), options.precisions.split(",")
        for row in measure(presets, precisions, batches, runtimes, folder):
            results.append(row)
            kind = (
                f"{row['network']:13} {row['precision']:5} {row['runtime']:12} {row['batch']:5}"
                f"  {'yes' if row['graph'] else 'no':5}"
            )
            figures = (
                f"      {row['failed']}"
                if "failed" in row
                else f"{row['faces_per_s']:11.0f}{row['ms']:9.3f}"
                f"{row['tflops']:10.2f}{row['share']:11.2f}{row['host_us']:9.0f}"
            )
            print(kind + figures, flush=True)
    if options.json:
        write_result(
            options.json,
            "Faces a second of the networks on a GPU, and the share of a matrix product's rate",
            ("onnxruntime", "onnxruntime-gpu", "tensorrt", "torch", "onnx"),
            {
                "gpu": card,
                "cuda": torch.version.cuda,
                "runs": results,
            },
        )


if __name__ == "__main__":
    main()

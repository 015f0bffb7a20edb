"""What does a face cost in the network, by form, precision and batch, and what do bytes cost in picture?

CPU-ms a face are of the session alone, in a process of its own each, and the median of rounds in which
all take turns; memory is what the network adds to that process, at its peak. Machines differ by a factor
of two: ``gemm`` is what one core reaches in a matrix product during the same rounds, in float32 and in
bytes, and ``of peak`` the share of it that the network's plain multiplications would take (above 1 where
the form needs fewer).

The picture is compared on faces that bytes were not calibrated on: differences of BT.709 luma in codes of
8 bits, and the energy of its gradients over that of float.

    python benchmarks/bench_network.py [MODEL ...] [--calibrate FACESET] [--faces FACESET] [--json FILE]

MODEL is a folder of ``crossface train``; without one, what ``make sample-model`` left is taken.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from machine import cpu_model, write_result
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.swap.model import Swapper
from crossface.training.cost import cost as cost_of
from crossface.training.export import export
from crossface.training.faceset import Faceset
from crossface.training.model_card import ModelCard
from crossface.training.store import load_store

KINDS: dict[str, dict[str, str]] = {
    "fp32 direct": {"precision": "fp32", "form": "direct"},
    "fp32 winograd": {"precision": "fp32", "form": "winograd"},
    "int8": {"precision": "int8"},
}
BATCHES = (1, 8, 16)
ROUNDS = 5
SAMPLE = Path(__file__).parents[1] / "build/sample"
GEMM_SIDE = 1024
BT709 = np.array([0.2126, 0.7152, 0.0722], np.float32)


def serve(model: Path, batch: int, threads: int) -> None:
    """Times one run for each line on stdin; then prints how much memory the network took at most."""
    before_mb = _memory_mb("VmRSS")
    runner = OnnxRunner(model, threads=threads)
    size_px = runner.input.shape[2] or 0
    faces = np.random.default_rng(0).random((batch, 3, size_px, size_px), np.float32)
    runner.run(faces)
    print("ready", flush=True)
    for _ in sys.stdin:
        started_s = time.process_time()
        runner.run(faces)
        print(1000 * (time.process_time() - started_s) / batch, flush=True)
    print(_memory_mb("VmHWM") - before_mb, flush=True)


def _memory_mb(what: str) -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) / 1024


def gemm_gops(product: Callable[[], object]) -> float:
    """10^9 operations a second, of which a multiplication and its addition are two."""
    started_s = time.process_time()
    product()
    return 2 * GEMM_SIDE**3 / (time.process_time() - started_s) / 1e9


def byte_product() -> Callable[[], object]:
    """The runtime's own product of matrices of bytes, with int32 sums."""
    shape = [GEMM_SIDE, GEMM_SIDE]
    ends = [helper.make_tensor_value_info("a", TensorProto.UINT8, shape)]
    weights = [numpy_helper.from_array(np.ones(shape, np.int8), "b")]
    nodes = [helper.make_node("MatMulInteger", ["a", "b"], ["y"])]
    output = [helper.make_tensor_value_info("y", TensorProto.INT32, shape)]
    graph = helper.make_graph(nodes, "product", ends, output, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    bytes_in = {"a": np.ones(shape, np.uint8)}
    return lambda: session.run(None, bytes_in)


def speeds(
    models: dict[str, Path], threads: int
) -> tuple[dict[str, dict[int, dict[str, float]]], dict[str, float]]:
    """CPU-ms a face and peak MB by kind and batch; matrix products meanwhile, in 10^9 operations a second."""
    servers = {}
    for kind, model in models.items():
        for batch in BATCHES:
            command = [sys.executable, __file__, "--serve", str(model), str(batch), str(threads)]
            servers[kind, batch] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            _answer(servers[kind, batch])
    times: dict[tuple[str, int], list[float]] = {key: [] for key in servers}
    matrix = torch.ones(GEMM_SIDE, GEMM_SIDE)
    products = {"float": lambda: matrix @ matrix, "bytes": byte_product()}
    gemms: dict[str, list[float]] = {kind: [] for kind in products}
    torch.set_num_threads(1)
    for _ in range(ROUNDS):
        for kind, product in products.items():
            gemms[kind].append(gemm_gops(product))
        for key, server in servers.items():
            assert server.stdin
            server.stdin.write("\n")
            server.stdin.flush()
            times[key].append(float(_answer(server)))
    results: dict[str, dict[int, dict[str, float]]] = {kind: {} for kind in models}
    for (kind, batch), server in servers.items():
        peak_mb = float(server.communicate()[0])
        results[kind][batch] = {"cpu_ms": float(np.median(times[kind, batch])), "peak_mb": peak_mb}
    return results, {kind: float(np.median(each)) for kind, each in gemms.items()}


def _answer(server: subprocess.Popen[str]) -> str:
    assert server.stdout
    line = server.stdout.readline()
    if not line:
        raise SystemExit(f"{server.args!r} ended with code {server.wait()}")
    return line


def picture_cost(fp32: Path, int8: Path, faces: NDArray[np.float32]) -> dict[str, float]:
    (drawn, masks, *_), (drawn_int8, masks_int8, *_) = (
        Swapper(model, batch=16).swap(faces) for model in (fp32, int8)
    )
    expected, made = (255 * np.tensordot(pictures, BT709, (1, 0)) for pictures in (drawn, drawn_int8))
    off = np.abs(made - expected)
    return {
        "faces": len(faces),
        "mean_luma": float(off.mean()),
        "p99_luma": float(np.percentile(off, 99)),
        "max_luma": float(off.max()),
        "gradient_energy": _gradient_energy(made) / _gradient_energy(expected),
        "mean_mask": 255 * float(np.abs(masks_int8 - masks).mean()),
    }


def _gradient_energy(luma: NDArray[np.float32]) -> float:
    return float(sum((np.diff(luma, axis=axis) ** 2).sum(dtype=np.float64) for axis in (1, 2)))


def measure(model: Path, calibrate: Path, faces: Path, threads: int, folder: Path) -> dict[str, Any]:
    card = ModelCard.read(model)
    files = {
        kind: export(
            model,
            to="b",
            output=folder / f"{model.name}-{kind.replace(' ', '-')}.onnx",
            calibrate=calibrate if kind == "int8" else None,
            **options,  # type: ignore[arg-type]
        )
        for kind, options in KINDS.items()
    }
    by_kind, gemms = speeds(files, threads)
    plain_gflop = cost_of(card.preset).gflops
    print(
        f"\n{model.name}: {card.preset.name}, {plain_gflop:.2f} GFLOP a face; "
        f"gemm {gemms['float']:.0f} GFLOP/s, in bytes {gemms['bytes']:.0f}"
    )
    print("                 batch   CPU ms/face   of peak   peak MB   file MB")
    for kind, by_batch in by_kind.items():
        for batch, figures in by_batch.items():
            peak = gemms["bytes" if kind == "int8" else "float"]
            share = plain_gflop / (figures["cpu_ms"] / 1000) / peak
            figures["of_peak"] = share
            size_mb = files[kind].stat().st_size / 1e6
            print(
                f"{kind:16}{batch:6}{figures['cpu_ms']:14.1f}{share:10.2f}"
                f"{figures['peak_mb']:10.0f}{size_mb:10.0f}"
            )
    store = load_store(Faceset.load(faces), card.preset, torch.device("cpu"))
    pictures = store.centred(list(range(len(store))), card.preset.size_px)[:, :3].numpy()
    cost = picture_cost(files["fp32 direct"], files["int8"], pictures)
    print(
        f"int8 on {cost['faces']:.0f} other faces: luma off by {cost['mean_luma']:.2f} in the mean, "
        f"99 % within {cost['p99_luma']:.2f}; gradient energy {cost['gradient_energy']:.3f}; "
        f"mask {cost['mean_mask']:.2f}"
    )
    return {
        "architecture": card.preset.name,
        "gflop_per_face": plain_gflop,
        "gemm_gops": gemms,
        "networks": by_kind,
        "int8_picture": cost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL")
    parser.add_argument("--calibrate", type=Path, metavar="FACESET", default=SAMPLE / "man")
    parser.add_argument("--faces", type=Path, metavar="FACESET", default=SAMPLE / "woman")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        model, batch, threads = options.serve
        serve(Path(model), int(batch), int(threads))
        return
    if not options.models:
        if not (SAMPLE / "model").is_dir():
            print(f"{SAMPLE}: no trained model there; give one, or run make sample-model")
            return
        options.models = [SAMPLE / "model"]
    print(f"{cpu_model()}, {options.threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        results = {
            model.name: measure(model, options.calibrate, options.faces, options.threads, Path(folder))
            for model in options.models
        }
    if options.json:
        write_result(
            options.json,
            "CPU time of the networks by form, precision and batch; what bytes cost in picture",
            ("onnxruntime", "torch", "onnx"),
            {
                "threads": options.threads,
                "models": results,
            },
        )


if __name__ == "__main__":
    main()

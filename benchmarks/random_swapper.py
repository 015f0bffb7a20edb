"""Swappers that were never trained: as fast as trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def write_random_swapper(path: Path, network: str, precision: Literal["fp32", "fp16"] = "fp32") -> None:
    """Writes a network with random weights, by the training code, which needs PyTorch.

    Args:
        path: the ONNX file.
        network: name of a preset.
        precision: ``fp32`` in the form that is best on a processor, or ``fp16`` in plain convolutions.
    """
    # In here, so that scripts which only measure do not carry PyTorch's memory.
    import onnx
    import torch

    from crossface.engine.face.align import TEMPLATE
    from crossface.engine.swap.model import METADATA_KEY, ModelMetadata
    from crossface.training.export import to_onnx
    from crossface.training.models import build
    from crossface.training.onnx_layout import laid_out
    from crossface.training.presets import PRESETS

    torch.manual_seed(0)
    preset = PRESETS[network]
    graph = to_onnx(build(preset).eval(), "b", precision)
    metadata = ModelMetadata(
        template=TEMPLATE,
        coverage=preset.coverage,
        size_px=preset.size_px,
        output_px=preset.size_px,
        identity="nobody",
        architecture=preset.name,
        steps=0,
        data_hash="0" * 64,
        software="a benchmark",
        precision=precision,
    )
    onnx.helper.set_model_props(graph, {METADATA_KEY: metadata.to_json()})
    path.write_bytes(laid_out(graph))

"""PyTorch's networks as ONNX graphs."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import onnx
import torch

OPSET = 18


def traced(
    network: torch.nn.Module, example: torch.Tensor, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """A network of one input as a graph with a free batch size, without a trace of this machine."""
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            verbose=False,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    _forget_origin(graph)
    return graph


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of libraries that we do not use and of its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about the code it saw: it holds paths of this machine."""
    model.producer_name, model.producer_version = "crossface", version("crossface")
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "swapper"
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]

"""A trained model as one ONNX file that says how it must be used."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ..engine.errors import UsageError
from ..engine.part_file import PartFile
from ..engine.swap.model import METADATA_KEY, ModelMetadata
from .checkpoint import ModelCard, load_average
from .faceset import Faceset
from .inference import Direct, Winograd, winograd_fits, winograd_pays
from .models import FaceNetwork, Person, SharedAutoencoder, build
from .onnx_layout import laid_out
from .quantize import quantized

Precision = Literal["fp32", "fp16", "fp16-storage", "int8"]
Form = Literal["auto", "direct", "winograd"]

OPSET = 18
# Small tensors are shapes and biases: nothing to gain.
_STORED_AS_HALF_FROM = 1024


def export(
    model: Path,
    *,
    to: Person,
    output: Path,
    precision: Precision = "fp32",
    form: Form = "auto",
    calibrate: Path | None = None,
    morph: float = 1.0,
    consent: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write encoder and one decoder, with the averaged weights of the last checkpoint.

    The same checkpoint, faceset and options give the same bytes.

    Args:
        model: folder that `train` made.
        to: whose face is drawn.
        output: the ONNX file.
        precision: ``fp16`` computes in half precision, with half-precision input and outputs;
            ``fp16-storage`` only stores so, which halves the file and computes in float32; ``int8`` computes
            in bytes, with float32 input and outputs, for processors.
        form: ``winograd`` takes fewer multiplications and a larger file, for processors in ``fp32``;
            ``direct`` is plain convolutions; ``auto`` is the better one on a processor.
        calibrate: faceset of the faces that the model will be given, from which ``int8`` takes its ranges.
        morph: how much the face becomes that of ``to``, 0..1: below 1 for ``liae`` presets only.
        consent: reference to the consent of the person drawn.
        overwrite: replace a file that is there.

    Raises:
        UsageError: ``int8`` without ``calibrate`` or the reverse, a form that the precision or the preset has
            not, or a morph that the preset has not.
        InputMissingError, BadInputError: no model or faceset there, or a damaged one.
        OutputExistsError, OutputError: the file exists or cannot be written.
    """
    if (precision == "int8") != (calibrate is not None):
        raise UsageError("--precision int8 and --calibrate FACESET need each other")
    if form == "winograd" and precision != "fp32":
        raise UsageError("--form winograd is for --precision fp32: leave one of them out")
    card = ModelCard.read(Path(model))
    if form == "winograd" and not winograd_fits(card.preset):
        raise UsageError(f"--form winograd is not for {card.preset.name}: leave it out")
    if not 0 <= morph <= 1:
        raise UsageError(f"--morph {morph:g}: give a number from 0 to 1")
    if morph != 1 and card.preset.family != "liae":
        raise UsageError(f"--morph is for liae presets, and {model} is {card.preset.name}: leave it out")
    faceset = None if calibrate is None else Faceset.load(Path(calibrate))
    with PartFile(Path(output), overwrite=overwrite) as part:
        network = build(card.preset).eval()
        steps = load_average(Path(model), network).step
        metadata = ModelMetadata(
            template=card.template,
            coverage=card.preset.coverage,
            size_px=card.preset.size_px,
            output_px=card.preset.size_px,
            identity=card.identity(to),
            architecture=card.preset.name,
            steps=steps,
            data_hash=card.data_hash,
            software=card.software,
            consent=consent,
            precision=precision if precision in ("fp16", "int8") else "fp32",
        )
        if faceset is None:
            graph = to_onnx(network, to, precision, form, morph)
        else:
            graph = quantized(to_onnx(network, to, form="direct", morph=morph), faceset, card.preset)
        helper.set_model_props(graph, {METADATA_KEY: metadata.to_json()})
        onnx.checker.check_model(graph, full_check=True)
        part.write_bytes(laid_out(graph))
    return Path(output)


def to_onnx(
    network: FaceNetwork,
    person: Person,
    precision: Precision = "fp32",
    form: Form = "auto",
    morph: float = 1.0,
) -> onnx.ModelProto:
    """The graph without our metadata; input and outputs have a free batch size."""
    dtype = torch.float16 if precision == "fp16" else torch.float32
    if form == "auto":
        form = "winograd" if precision == "fp32" and winograd_pays(network.preset) else "direct"
    # A copy, for the cast would reach the caller's network.
    network = copy.deepcopy(network)
    if form == "winograd" and isinstance(network, SharedAutoencoder):
        swapper: nn.Module = Winograd(network, person)
    else:
        swapper = Direct(network, person, morph)
    swapper.to(dtype).eval()
    size_px = network.preset.size_px
    # Two faces: the exporter takes a size of one for a constant.
    example = torch.zeros(2, 3, size_px, size_px, dtype=dtype)
    with _quiet():
        program = torch.onnx.export(
            swapper,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["face"],
            output_names=["swapped", "mask"],
            dynamic_shapes={"face": {0: torch.export.Dim("N", min=1)}},
            verbose=False,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    _forget_origin(graph)
    if precision == "fp16-storage":
        _store_as_half(graph)
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


def _store_as_half(model: onnx.ModelProto) -> None:
    """Weights as float16, each cast to float32 where it is used; the runtime folds the cast when it loads."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _STORED_AS_HALF_FROM:
            continue
        full = weight.name
        half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{full}.half")
        weight.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [full], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

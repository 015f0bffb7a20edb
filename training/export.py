"""A trained model as one ONNX file that says how it must be used."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ..engine.errors import InputMissingError, UsageError
from ..engine.part_file import PartFile
from ..engine.provenance.consent import Consent
from ..engine.swap.dfm import DFM_SUFFIX, is_dfm
from ..engine.swap.model import METADATA_KEY, ModelMetadata
from .card_page import card_page
from .checkpoint import load_average
from .dfm import to_dfm
from .faceset import Faceset
from .inference import Direct, Winograd, winograd_fits, winograd_pays
from .model_card import ModelCard
from .models import FaceNetwork, Person, SharedAutoencoder, build
from .onnx_layout import laid_out
from .preview import PREVIEW_NAME
from .quantize import quantized
from .tracing import traced

Precision = Literal["fp32", "fp16", "fp16-storage", "int8"]
Form = Literal["auto", "direct", "winograd"]

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
    dfm: bool = False,
    consent: Consent | None = None,
    best: bool = False,
    picture: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write encoder and one decoder, with the averaged weights of the last checkpoint, and a model card.

    The same checkpoint, faceset and options give the same bytes. The card lies beside the file, with
    ``.card.md`` in the place of its suffix.

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
        dfm: write a DFM, for other tools; see `training.dfm`. Who is drawn is then the name of the file.
        consent: of the person drawn; what `train` was given where None.
        best: of the checkpoint that drew held-out faces best, instead of the last one.
        picture: show the training's last preview in the card; both people are in it.
        overwrite: replace a file that is there.

    Raises:
        UsageError: ``int8`` without ``calibrate`` or the reverse, a form that the precision or the preset has
            not, a morph that the preset has not, or what a DFM cannot hold.
        InputMissingError, BadInputError: no model or faceset there, or a damaged one.
        OutputExistsError, OutputError: the file exists or cannot be written.
    """
    if (precision == "int8") != (calibrate is not None):
        raise UsageError("--precision int8 and --calibrate FACESET need each other")
    if form == "winograd" and precision != "fp32":
        raise UsageError("--form winograd is for --precision fp32: leave one of them out")
    if dfm != is_dfm(Path(output)):
        raise UsageError(f"{output}: --dfm and a name that ends in {DFM_SUFFIX} need each other")
    if dfm and (precision, form, morph, consent) != ("fp32", "auto", 1.0, None):
        raise UsageError(
            "--dfm has no --precision, --form or --morph, and holds no --consent: leave them out"
        )
    card = ModelCard.read(Path(model))
    if form == "winograd" and not winograd_fits(card.preset):
        raise UsageError(f"--form winograd is not for {card.preset.name}: leave it out")
    if not 0 <= morph <= 1:
        raise UsageError(f"--morph {morph:g}: give a number from 0 to 1")
    if morph != 1 and card.preset.family != "liae":
        raise UsageError(f"--morph is for liae presets, and {model} is {card.preset.name}: leave it out")
    faceset = None if calibrate is None else Faceset.load(Path(calibrate))
    with PartFile(Path(output), overwrite=overwrite) as part:
        shown = _show(Path(model), Path(output)) if picture else None
        network = build(card.preset).eval()
        progress = load_average(Path(model), network, best=best)
        metadata = ModelMetadata(
            template=card.template,
            coverage=card.preset.coverage,
            size_px=card.preset.size_px,
            output_px=card.preset.size_px,
            identity=card.identity(to),
            architecture=card.preset.name,
            steps=progress.step,
            data_hash=card.data_hash,
            software=card.software,
            consent=consent or card.consent(to),
            precision=precision if precision in ("fp16", "int8") else "fp32",
        )
        if dfm:
            graph = to_dfm(network, to)
        elif faceset is None:
            graph = to_onnx(network, to, precision, form, morph)
        else:
            graph = quantized(to_onnx(network, to, form="direct", morph=morph), faceset, card.preset)
        if not dfm:
            helper.set_model_props(graph, {METADATA_KEY: metadata.to_json()})
        onnx.checker.check_model(graph, full_check=True)
        part.write_bytes(laid_out(graph))
    with PartFile(Path(output).with_suffix(".card.md"), overwrite=True) as part:
        name = Path(output).name
        page = card_page(
            name, card, progress, to, precision=precision, consent=metadata.consent, picture=shown
        )
        part.write_text(page, encoding="utf-8")
    return Path(output)


def _show(model: Path, output: Path) -> str:
    """Lays the training's last preview beside the card; gives its name.

    Raises:
        InputMissingError: there is none.
    """
    try:
        content = (model / PREVIEW_NAME).read_bytes()
    except OSError as error:
        raise InputMissingError(
            f"{model / PREVIEW_NAME}: cannot be read ({error.strerror}): train on, or leave out --picture"
        ) from error
    path = output.with_suffix(".card.png")
    with PartFile(path, overwrite=True) as part:
        part.write_bytes(content)
    return path.name


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
    graph = traced(swapper, example, ["face"], ["swapped", "mask"])
    if precision == "fp16-storage":
        _store_as_half(graph)
    return graph


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

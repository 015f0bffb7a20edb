"""A swapper without training: it inverts colours under an oval, so that what it touched is plain to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from crossface.engine.face.align import TEMPLATE
from crossface.engine.provenance.consent import Consent
from crossface.engine.swap.model import METADATA_KEY, ModelMetadata

SIZE_PX = 64


def metadata(**changes: Any) -> ModelMetadata:
    """Valid metadata of the inverting swapper, with some fields changed."""
    fields: dict[str, Any] = {
        "template": TEMPLATE,
        "coverage": 1.4,
        "size_px": SIZE_PX,
        "output_px": SIZE_PX,
        "identity": "nobody",
        "architecture": "inverting",
        "steps": 0,
        "data_hash": "0" * 64,
        "software": "a test",
        "consent": Consent("nobody is drawn"),
    }
    return ModelMetadata(**{**fields, **changes})


def oval(size_px: int) -> NDArray[np.float32]:
    """The mask that the swapper gives for every face: a hard-edged ellipse, ``[size_px, size_px]``."""
    x, y = np.meshgrid(*[(np.arange(size_px) + 0.5) / size_px - 0.5] * 2)
    inside: NDArray[np.float32] = ((x / 0.3) ** 2 + (y / 0.4) ** 2 <= 1).astype(np.float32)
    return inside


def make_swapper(
    path: Path,
    text: str | None = None,
    *,
    enlarge: int = 1,
    mask: NDArray[np.float32] | None = None,
    gain: float = -1.0,
) -> Path:
    """Write the ONNX file.

    Args:
        path: the file.
        text: its metadata; valid for this graph where None, left out where empty.
        enlarge: output side over input side.
        mask: of every face, ``[R, R]``; `oval` where None.
        gain: ``swapped = gain * face + 1``; NaN makes a network that has gone wrong.
    """
    output_px = SIZE_PX * enlarge
    mask = oval(output_px) if mask is None else mask
    constants = {
        "gain": np.array(gain, np.float32),
        "one": np.array(1, np.float32),
        "nothing": np.array(0, np.float32),
        "outline": mask[None, None],
        "enlarged": np.array([1, 1, enlarge, enlarge], np.float32),
        "first": np.array([0]),
    }
    nodes = [
        helper.make_node("Mul", ["face", "gain"], ["negative"]),
        helper.make_node("Add", ["negative", "one"], ["inverted"]),
        helper.make_node(
            "Resize",
            ["inverted", "", "enlarged"],
            ["swapped"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        # Only to give the constant mask the batch's length.
        helper.make_node("Gather", ["swapped", "first"], ["red"], axis=1),
        helper.make_node("IsNaN", ["red"], ["broken"]),
        helper.make_node("Where", ["broken", "nothing", "red"], ["number"]),
        helper.make_node("Mul", ["number", "nothing"], ["blank"]),
        helper.make_node("Add", ["blank", "outline"], ["mask"]),
    ]
    graph = helper.make_graph(
        nodes,
        "inverting",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, ["N", 3, SIZE_PX, SIZE_PX])],
        [
            helper.make_tensor_value_info("swapped", TensorProto.FLOAT, ["N", 3, output_px, output_px]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 1, output_px, output_px]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    text = metadata(output_px=output_px).to_json() if text is None else text
    if text:
        helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, str(path))
    return path

"""DFM files without training, built by hand from what their readers ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE_PX = 96
INPUT = ("in_face:0", 3)
OUTPUTS = (("out_face_mask:0", 1), ("out_celeb_face:0", 3), ("out_celeb_face_mask:0", 1))
MORPH = "morph_value:0"
# Blue, green, red: what the network multiplies by. Another order shows.
GAINS_BGR = np.array([0.25, 0.5, 1.0], np.float32)

Shape = list[Any]


def ellipse(size_px: int, half_width: float, half_height: float) -> NDArray[np.float32]:
    """A soft one in the middle: ``[size_px, size_px, 1]``, 0..1."""
    x, y = np.meshgrid(*[(np.arange(size_px) + 0.5) / size_px - 0.5] * 2)
    outside = np.hypot(x / half_width, y / half_height) - 1
    soft: NDArray[np.float32] = np.clip(0.5 - 8 * outside, 0, 1).astype(np.float32)[..., None]
    return soft


def face_mask(size_px: int) -> NDArray[np.float32]:
    """What every DFM of ours says of the face that goes in."""
    return ellipse(size_px, 0.4, 0.3)


def drawn_mask(size_px: int) -> NDArray[np.float32]:
    """What it says of the face that it draws: narrower, and higher."""
    return ellipse(size_px, 0.3, 0.4)


def make_dfm(
    path: Path,
    *,
    size_px: int = SIZE_PX,
    morph: bool = False,
    batch: int | str = "N",
    side: int | str | None = None,
    shapes: bool = True,
    reorder: bool = False,
    rename: dict[str, str] | None = None,
    changes: dict[str, Shape] | None = None,
) -> Path:
    """Write one: it multiplies by `GAINS_BGR`, or by 1 where ``morph_value`` is 1.

    Args:
        path: the file.
        size_px: side of faces.
        morph: it has the second input: ``face * (gains + (1 - gains) * morph)``.
        batch: what the file says of the length of a batch.
        side: what it says of the side of its pictures instead of the truth.
        shapes: it says the shapes of its outputs.
        reorder: the outputs come the other way round.
        rename: new names of tensors.
        changes: what it says of the shape of a tensor, by name.
    """
    names = {name: name for name in (INPUT[0], MORPH, *(name for name, _ in OUTPUTS))} | (rename or {})
    constants = {
        "gains": GAINS_BGR,
        "rest": 1 - GAINS_BGR,
        "nothing": np.array(0, np.float32),
        "first": np.array([0]),
        "mask": face_mask(size_px),
        "drawn_mask": drawn_mask(size_px),
    }
    face, drawn = names[INPUT[0]], names["out_celeb_face:0"]
    nodes = [
        # Only to give constant masks the batch's length.
        helper.make_node("Gather", [face, "first"], ["channel"], axis=3),
        helper.make_node("Mul", ["channel", "nothing"], ["blank"]),
        helper.make_node("Add", ["blank", "mask"], [names["out_face_mask:0"]]),
        helper.make_node("Add", ["blank", "drawn_mask"], [names["out_celeb_face_mask:0"]]),
    ]
    if morph:
        nodes.append(helper.make_node("Mul", ["rest", names[MORPH]], ["share"]))
        nodes.append(helper.make_node("Add", ["gains", "share"], ["factors"]))
    nodes.append(helper.make_node("Mul", [face, "factors" if morph else "gains"], [drawn]))

    def told(name: str, channels: int) -> onnx.ValueInfoProto:
        px = size_px if side is None else side
        shape: Shape | None = (changes or {}).get(name, [batch, px, px, channels])
        if name != INPUT[0] and not shapes:
            shape = None
        return helper.make_tensor_value_info(names[name], TensorProto.FLOAT, shape)

    inputs = [told(*INPUT)]
    if morph:
        shape = (changes or {}).get(MORPH, [1])
        inputs.append(helper.make_tensor_value_info(names[MORPH], TensorProto.FLOAT, shape))
    outputs = [told(*output) for output in OUTPUTS]
    graph = helper.make_graph(
        nodes,
        "SAEHD",
        inputs,
        outputs[::-1] if reorder else outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    onnx.save(model, str(path))
    return path

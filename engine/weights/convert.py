"""The networks of others as Crossface ships them: ONNX, any batch size.

All inputs are named ``image`` and are RGB, channels first; only their range
differs. Runs as ``python -m crossface.engine.weights.convert SOURCES RESULTS``
because ``onnx`` and ``tflite`` may be there for this one process only.

centerface: ``[N, 3, H, W]`` in 0..255, H and W multiples of 32 -> four maps at
stride 4, ``[N, channels, H / 4, W / 4]``. Cell (row, column) of
    heatmap   [1]   probability that a face is centred there,
    size      [2]   height_px = 4 exp(size[0]), width_px = 4 exp(size[1]),
    offset    [2]   centre y_px = 4 (row + 0.5 + offset[0]), x_px = 4 (column + 0.5 + offset[1]),
    landmarks [10]  y, x of five points (eye, eye, nose tip, mouth corner, mouth corner; the one
                    on the left of the picture first) as fractions of the box:
                    y_px = top_px + height_px landmarks[2 j], x_px = left_px + width_px landmarks[2 j + 1].
Local maxima of the heat map (3 x 3) above a threshold are faces; boxes of
neighbours still overlap and need non-maximum suppression.

face_mesh: ``[N, 3, 192, 192]`` in 0..1 -> ``landmarks`` ``[N, 468, 3]`` (x, y in px of
the 192-px crop, z in the same unit) and ``presence`` ``[N, 1]``, 0..1.

blazeface_back: ``[N, 3, 256, 256]`` in -1..1 -> ``regressors`` ``[N, 896, 16]`` and
``scores`` ``[N, 896]`` (logits; clip to -100..100 before a sigmoid). Anchor k lies in cell
k // 2 of a 16 x 16 grid for the first 512, and in cell (k - 512) // 6 of an 8 x 8 grid for the
rest, row by row, at the cell's centre. A regressor is centre x, y, width, height, then x, y of
six points (eye, eye, nose, mouth, ear, ear), all in px of the 256-px crop; centre and points
are relative to the anchor.

face_identity: ``[N, 3, 150, 150]`` in 0..1, of a face laid straight as `looks` does -> ``look``
``[N, 128]``; two looks farther apart than 0.6 are two people (dlib's own advice).

content_gate: ``[N, 3, 224, 224]`` in 0..1, the whole picture squeezed to a square -> ``classes`` ``[N, 5]``,
of sum 1: drawing, explicit drawing, neutral, explicit photograph, suggestive.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from ..errors import BadInputError
from . import dlib_net, tfjs, tflite

_CENTERFACE_OUTPUTS = {"537": "heatmap", "538": "size", "539": "offset", "540": "landmarks"}


def centerface(source: bytes) -> onnx.ModelProto:
    """Frees batch, height and width, which the published file fixes to 10, 32 and 32."""
    model = onnx.load_model_from_string(source)
    graph = model.graph
    if [output.name for output in graph.output] != list(_CENTERFACE_OUTPUTS):
        raise BadInputError(
            'centerface: its outputs are not those of the pinned file; run "crossface weights"'
        )
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = "image" if name == "input.1" else _CENTERFACE_OUTPUTS.get(name, name)

    channels = {output.name: output.type.tensor_type.shape.dim[1].dim_value for output in graph.output}
    # Weights listed among the inputs could be fed at run time, which forbids folding them.
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.name = "centerface"
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"]))
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels[published], "H/4", "W/4"])
        for published, name in _CENTERFACE_OUTPUTS.items()
    )

    used = {name for node in graph.node for name in node.input}
    for weight in [weight for weight in graph.initializer if weight.name not in used]:
        graph.initializer.remove(weight)

    # Every operator used reads the same in opset 9, the file's own, and in ours.
    result = helper.make_model(
        graph,
        producer_name=tflite.PRODUCER,
        ir_version=tflite.IR_VERSION,
        opset_imports=[helper.make_opsetid("", tflite.OPSET)],
    )
    onnx.checker.check_model(result, full_check=True)
    return result


def face_mesh(source: bytes) -> onnx.ModelProto:
    """468 points and a presence, which the published file leaves a logit."""
    return tflite.convert(
        source,
        "face_mesh",
        [
            tflite.Output("conv2d_20", "landmarks", (468, 3)),
            tflite.Output("conv2d_30", "presence", (1,), sigmoid=True),
        ],
    )


def blazeface_back(source: bytes) -> onnx.ModelProto:
    """896 anchors with box, six points and a score each."""
    return tflite.convert(
        source,
        "blazeface_back",
        [
            tflite.Output("regressors", "regressors", (896, 16)),
            tflite.Output("classificators", "scores", (896,)),
        ],
    )


def content_gate(source: bytes) -> onnx.ModelProto:
    """Five classes of a picture; the source is the file of the graph, then those of its weights."""
    return tfjs.convert(source, "content_gate", "classes")


_BUILDERS = {
    "centerface": centerface,
    "face_mesh": face_mesh,
    "blazeface_back": blazeface_back,
    "face_identity": dlib_net.convert,
    "content_gate": content_gate,
}


def main(sources: Path, results: Path) -> None:
    """Converts every ``sources/NAME`` to ``results/NAME.onnx``."""
    for name, build in _BUILDERS.items():
        source = sources / name
        if source.exists():
            model = build(source.read_bytes())
            (results / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""A trained model as a DFM, the file that live and batch tools of DeepFaceLab's kin take.

Their readers go by names, order and layout (see `engine.swap.dfm`), and lay faces straight by DeepFaceLab's
whole face, which shows more than our crop does. So the graph cuts our crop out of theirs, px by px, and lays
what it draws back into the picture that it was given.
"""

from __future__ import annotations

import copy

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engine.errors import UsageError
from ..engine.swap.dfm import INPUT_NAME, OUTPUT_NAMES
from ..engine.swap.whole_face import FACE_HEIGHT, TEMPLATE_CENTRE, WHOLE_FACE_COVERAGE
from .inference import Direct
from .models import FaceNetwork, Person
from .presets import Preset
from .tracing import traced

# Readers run old versions of ONNX Runtime; for these operators nothing that we use has changed since.
_OPSET, _IR_VERSION = 12, 7
_UNCHANGED = {
    *("Add", "Concat", "Conv", "DepthToSpace", "Gather", "Gemm", "LeakyRelu", "Mul"),
    *("Pad", "Reshape", "Sigmoid", "Slice", "Sub", "Transpose"),
}
# Width of the edge of our crop over which the drawn face fades out, in crop sides: a reader that has no use
# for masks must not see that edge.
_FADE = 0.06


def to_dfm(network: FaceNetwork, person: Person) -> onnx.ModelProto:
    """The graph that draws ``person``, with the other person's decoder for the mask of the face that goes in.

    Raises:
        UsageError: the network sees more than a whole face, or has layers that old readers do not know.
    """
    drawing = WholeFace(copy.deepcopy(network), person).eval()
    # Two faces: the exporter takes a size of one for a constant.
    example = torch.zeros(2, drawing.side_px, drawing.side_px, 3)
    graph = traced(drawing, example, [INPUT_NAME], list(OUTPUT_NAMES))
    unknown = {node.op_type for node in graph.graph.node} - _UNCHANGED
    if unknown or graph.functions:
        raise UsageError(
            f"{network.preset.name}: readers of a .dfm do not know its {', '.join(sorted(unknown))}: "
            "export it without --dfm"
        )
    _lower(graph)
    return onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True)


class WholeFace(nn.Module):
    """`in_face` `[N,R,R,3]` BGR 0..1 -> `[N,R,R,1]`, `[N,R,R,3]`, `[N,R,R,1]` in the order of `OUTPUT_NAMES`.

    Attributes:
        side_px: R.
        place: of our crop in theirs, px: left, top, and how far it is from the right and bottom.
        share: `[1,1,R,R]`, 0..1: of what is drawn in what comes out; 0 outside of our crop.
    """

    share: Tensor

    def __init__(self, network: FaceNetwork, person: Person) -> None:
        super().__init__()
        size_px = network.preset.size_px
        self.network = network
        self.drawing = Direct(network, person)
        self.other = Direct(network, "a" if person == "b" else "b")
        self.side_px, (left, top) = crop_in_whole_face(network.preset)
        self.place = (left, self.side_px - size_px - left, top, self.side_px - size_px - top)
        self.size_px = size_px
        centre = torch.arange(size_px) + 0.5
        ramp = (torch.minimum(centre, size_px - centre) / (_FADE * size_px)).clamp(max=1.0)
        share = torch.minimum(ramp[:, None], ramp[None])[None, None]
        self.register_buffer("share", functional.pad(share, self.place))

    def forward(self, in_face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        left, _, top, _ = self.place
        whole = in_face.permute(0, 3, 1, 2)
        rows, columns = slice(top, top + self.size_px), slice(left, left + self.size_px)
        code = self.network.code(whole[:, :, rows, columns].flip(1))
        (drawn, drawn_mask), (_, face_mask) = (
            each.draw(self.network.expand(code, each.person), in_face.dtype)
            for each in (self.drawing, self.other)
        )
        drawn = functional.pad(drawn.flip(1), self.place)
        masks = (functional.pad(mask, self.place) * self.share for mask in (face_mask, drawn_mask))
        face_mask, drawn_mask = (mask.permute(0, 2, 3, 1) for mask in masks)
        laid = whole + self.share * (drawn - whole)
        return face_mask, laid.permute(0, 2, 3, 1), drawn_mask


def crop_in_whole_face(preset: Preset) -> tuple[int, tuple[int, int]]:
    """Side R of a whole face in the px of a preset's crop, and the crop's left and top in it.

    R is as much larger as it has to be, to half a px on each side: nothing is resampled.

    Raises:
        UsageError: the crop is not inside.
    """
    size_px = preset.size_px
    unit_px = size_px / (preset.coverage * FACE_HEIGHT)
    around_px = round((WHOLE_FACE_COVERAGE * unit_px - size_px) / 2)
    left, top = (round(around_px + centre * unit_px) for centre in TEMPLATE_CENTRE)
    if not (0 <= left <= 2 * around_px and 0 <= top <= 2 * around_px):
        raise UsageError(f"{preset.name}: sees more than the faces in a .dfm show: export it without --dfm")
    return size_px + 2 * around_px, (left, top)


def _lower(graph: onnx.ModelProto) -> None:
    """To `_OPSET`: versions of these operators differ in what they may be given, not in what they do."""
    for node in graph.graph.node:
        if node.op_type == "Reshape":
            # Allows sides of 0, of which there is none.
            kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)
    del graph.opset_import[:]
    graph.opset_import.add(domain="", version=_OPSET)
    graph.ir_version = _IR_VERSION
    graph.graph.name = "SAEHD"
    onnx.checker.check_model(graph, full_check=True)

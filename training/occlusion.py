"""Trains the network that tells what lies before a face; see `engine.swap.occlusion`.

Nobody has drawn around hands in thousands of frames for us. So real faces get things drawn before them
(`obstacles`), whose outlines are known. Shadows that fall on a face are drawn too: they are no obstacles.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from ..engine.errors import BadInputError, InputMissingError, UsageError
from ..engine.part_file import PartFile
from ..engine.swap.occlusion import INPUT_NAME, OUTPUT_NAMES, SIZE_PX
from .augment import Augmentation, augment
from .complexions import Bare, other_people
from .damage import blurred, compressed, rescaled
from .draw import Draw
from .faceset import Faceset
from .obstacles import Obstacle, Surroundings, glasses, hand, microphone, moving, panel, strands
from .onnx_layout import laid_out
from .precision import bfloat16_pays
from .presets import PRESETS
from .seeds import generator
from .store import FaceStore, load_store
from .tracing import traced

# Of the crops that it learns on; they vary by a fifth, which holds those of all networks.
_COVERAGE = 1.3
_BATCH = 16
# Steps that learn from the same drawings, which cost more than a step.
_USES = 2
_RATE = 3e-3
_AUGMENTATION = Augmentation(
    rotation_deg=15.0,
    scale=0.17,
    shift=0.05,
    warp=0.0,
    gain=0.04,
    gamma=0.3,
    input_gain=0.08,
    grey=0.15,
    rough=0.0,
    occlude=0.0,
    rescale=0.0,
    compress=0.0,
)
# How many of a batch have what before them; the rest have nothing but a shadow.
_DRAWN: tuple[tuple[Callable[[Draw, Surroundings], Obstacle], int], ...] = (
    (hand, 5),
    (microphone, 2),
    (panel, 1),
    (glasses, 1),
    (strands, 1),
)
# Where there is no face nobody asks; a little weight keeps the answer smooth towards there.
_WEIGHT_OUTSIDE = 0.03
# How much more what is covered counts, until a network has begun to see it.
_GAIN_COVERED = 1.0


class OcclusionNetwork(nn.Module):
    """A small U of convolutions: `[N,3,64,64]` in 0..1 -> logits `[N,1,64,64]` that the face is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Layer(12, 16)
        self.down = nn.ModuleList(
            [
                nn.Sequential(_Layer(16, 32, stride=2), _Layer(32, 32)),
                nn.Sequential(_Layer(32, 64, stride=2), _Layer(64, 64)),
                nn.Sequential(_Layer(64, 80, stride=2), _Layer(80, 80)),
            ]
        )
        self.up = nn.ModuleList(
            [
                nn.Sequential(_Layer(80 + 64, 56, side=1), _Layer(56, 48)),
                nn.Sequential(_Layer(48 + 32, 32, side=1), _Layer(32, 32)),
                nn.Sequential(_Layer(32 + 16, 16, side=1), _Layer(16, 16)),
            ]
        )
        self.head = nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, faces: Tensor) -> Tensor:
        x = self.stem(functional.pixel_unshuffle(faces * 2 - 1, 2))
        seen = []
        for down in self.down:
            seen.append(x)
            x = down(x)
        for up in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = up(torch.cat((x, seen.pop()), dim=1))
        return functional.pixel_shuffle(self.head(x), 2)


class Exported(nn.Module):
    """As conversion uses it: `visible` `[N,1,64,64]` and `covered` `[N,1]`, both in 0..1.

    The ramp ends within the logits' range, so that what is sure is exactly 0 or 1, and does not flicker.
    """

    middle: Tensor

    def __init__(self, network: OcclusionNetwork) -> None:
        super().__init__()
        self.network = network
        at = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX * 2 - 1
        inside = (at[None] / 0.6) ** 2 + (at[:, None] / 0.75) ** 2 < 1
        self.register_buffer("middle", (inside.float() / inside.sum())[None, None])

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        visible = (self.network(faces) / 4 + 0.5).clamp(0, 1)
        return visible, ((1 - visible) * self.middle).sum(dim=(2, 3))


@dataclass(frozen=True)
class OcclusionStep:
    """A step is done.

    Attributes:
        step: from 1.
        of: how many there are.
        loss: mean over the last steps.
        missed: share of what lay before faces that was not found.
        alarms: share of the faces that was taken for something else.
    """

    step: int
    of: int
    loss: float
    missed: float
    alarms: float


class Example(NamedTuple):
    """What is learnt from; all `[N,...,64,64]` in 0..1.

    Attributes:
        pictures: three channels.
        visible: one: the share of each pixel that nothing covers.
        face: one: where there is a face, covered or not.
    """

    pictures: Tensor
    visible: Tensor
    face: Tensor


def train_occlusion(
    facesets: Sequence[Path],
    output: Path,
    *,
    steps: int,
    base: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Generator[OcclusionStep]:
    """Train on the faces of several people, and write the network as ONNX.

    The facesets must show bare faces: a hand that is in a picture already is learnt to be a face.

    Args:
        facesets: each of one person; all count the same, whatever their size.
        output: the ONNX file.
        steps: of 16 faces.
        base: a network that this command wrote before, to go on from.
        seed: of all that is drawn.
        overwrite: replace a file that is there.

    Yields:
        Every 50 steps and at the last one how it goes.

    Raises:
        UsageError: a single person: their skin would be what a face is.
        InputMissingError, BadInputError: a faceset or the base is not there, or damaged.
        OutputExistsError, OutputError: the file exists or cannot be written.
    """
    if len(facesets) < 2:
        raise UsageError("what all faces have in common is not learnt from one person: give more facesets")
    with PartFile(output, overwrite=overwrite) as part:
        stores = [load_faces(path) for path in facesets]
        torch.manual_seed(seed)
        network = OcclusionNetwork()
        peak = _RATE
        if base is not None:
            _begin_from(network, base, make_example(stores, generator(seed, 0), 4 * _BATCH).pictures)
            peak = _RATE / 2
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=1e-3)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=steps, pct_start=0.05)
        sums = torch.zeros(4)
        in_bfloat16 = bfloat16_pays(torch.device("cpu"))
        for step in range(1, steps + 1):
            if step % _USES == 1:
                example = make_example(stores, generator(seed, step))
            else:
                example = Example(*(each.flip(3) for each in example))
            with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
                logits = network(example.pictures.contiguous(memory_format=torch.channels_last)).float()
            # Little of a picture is covered: without more weight nothing is for a long time.
            gain = _GAIN_COVERED if base is None else 0.0
            weight = example.face.clamp_min(_WEIGHT_OUTSIDE) * (1 + gain * (1 - example.visible))
            each = functional.binary_cross_entropy_with_logits(logits, example.visible, reduction="none")
            loss = (each * weight).sum() / weight.sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
            sums += torch.tensor([float(loss.detach()), *_errors(logits.detach(), example), 1.0])
            if step % 50 == 0 or step == steps:
                mean = (sums[:3] / sums[3]).tolist()
                sums.zero_()
                yield OcclusionStep(step, steps, *mean)
        graph = to_onnx(network)
        onnx.checker.check_model(graph, full_check=True)
        part.write_bytes(laid_out(graph))


def load_faces(faceset: Path) -> FaceStore:
    """The faces of one person, as `make_example` takes them; raises as `train_occlusion`."""
    # Nothing is built of it: a store asks a preset for the size and the coverage of the crops alone.
    preset = replace(
        PRESETS["fast-128"],
        name="train-occlusion",
        size_px=SIZE_PX,
        coverage=_COVERAGE,
        bottom_px=SIZE_PX // 16,
        decoder_widths=(1, 1, 1),
    )
    return load_store(Faceset.load(faceset), preset, torch.device("cpu"), balanced=False)


def to_onnx(network: OcclusionNetwork) -> onnx.ModelProto:
    """The graph that conversion runs; it has a free batch size."""
    exported = Exported(network).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return traced(exported, torch.zeros(2, 3, SIZE_PX, SIZE_PX), [INPUT_NAME], OUTPUT_NAMES)


def make_example(stores: Sequence[FaceStore], random: torch.Generator, count: int = _BATCH) -> Example:
    """Faces with things drawn before them.

    Args:
        stores: of `load_store`, each of one person.
        random: every draw comes from it.
        count: how many faces.
    """
    who = torch.randint(len(stores), (count,), generator=random).tolist()
    faces = torch.stack(
        [stores[n].pixels[int(torch.randint(len(stores[n]), (), generator=random))] for n in who]
    )
    span = stores[0].span
    # The priority of eyes and mouth is of no use here; the place in the face is, and moves as it would.
    batch = augment(torch.cat((faces[:, :4], _places(faces)), dim=1), span, SIZE_PX, random, _AUGMENTATION)
    bare = other_people(
        Draw(random, batch.input.device, count),
        Bare(batch.input, batch.mask, (batch.priority - 0.5) * (_COVERAGE / span)),
    )
    pictures, face, in_face = bare.pictures, bare.face, bare.in_face.permute(0, 2, 3, 1)
    visible = torch.ones_like(face)
    skin = (pictures * face).sum(dim=(2, 3)) / face.sum(dim=(2, 3)).clamp_min(1)
    at = (torch.arange(SIZE_PX) + 0.5) * (2 / SIZE_PX) - 1
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1).expand(count, -1, -1, -1)
    scene = Surroundings(points, in_face, pictures, skin[..., None, None], pictures.roll(1, dims=0))
    first = 0
    made_pictures, made_visible = [], []
    for draw_one, share in (*_DRAWN, (None, 0)):
        end = count if draw_one is None else first + share * count // _BATCH
        part = Surroundings(*(each[first:end] for each in scene))
        if end > first:
            draw = Draw(random, pictures.device, end - first)
            shaded, obstacle = _shaded(draw, part, draw_one)
            made_pictures.append(shaded)
            made_visible.append(visible[first:end] if obstacle is None else 1 - obstacle.cover)
        first = end
    draw = Draw(random, pictures.device, count)
    dimmed = torch.cat(made_pictures) * torch.lerp(torch.ones(1), draw.between(0.3, 1), draw.happens(0.2))
    pictures = _damaged(dimmed, draw)
    return Example(pictures, torch.cat(made_visible), face)


def _begin_from(network: OcclusionNetwork, base: Path, pictures: Tensor) -> None:
    """Gives a new network the weights of an exported one, in which normalisations are part of convolutions.

    What those would take away from a batch is given to them to put back, layer by layer.

    Raises:
        InputMissingError, BadInputError: the file is not there, or not such a network.
    """
    try:
        graph = onnx.load(base).graph
        values = {
            each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer
        }
        known = {node.input[1]: values[node.input[2]] for node in graph.node if node.op_type == "Conv"}
        convolutions = {
            name: (values[f"network.{name}.weight"], known[f"network.{name}.weight"])
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d)
        }
    except OSError as error:
        raise InputMissingError(f"{base}: cannot be read ({error.strerror}): check the path") from error
    except (DecodeError, KeyError, IndexError) as error:
        raise BadInputError(f"{base}: is not what train-occlusion writes: begin without --base") from error
    hooks = []
    with torch.no_grad():
        for name, (weight, bias) in convolutions.items():
            convolution = network.get_submodule(name)
            assert isinstance(convolution, nn.Conv2d)
            convolution.weight.copy_(weight)
            if convolution.bias is not None:
                convolution.bias.copy_(bias)
                continue
            norm = network.get_submodule(name.rpartition(".")[0] + ".1")
            hooks.append(convolution.register_forward_hook(_keeper(norm, bias)))
        network(pictures)
    for hook in hooks:
        hook.remove()


def _keeper(norm: nn.Module, bias: Tensor) -> Callable[[nn.Module, object, Tensor], None]:
    """A hook that sets a normalisation to add ``bias`` to what comes, and nothing else."""

    def keep(convolution: nn.Module, given: object, out: Tensor) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(out, dim=(0, 2, 3), correction=0)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean + bias)

    return keep


def _places(faces: Tensor) -> Tensor:
    """x and y of each stored pixel as bytes: `[N,2,T,T]`."""
    side = faces.shape[-1]
    at = ((torch.arange(side) + 0.5) * (255 / side)).round().to(torch.uint8)
    both = torch.stack((at.expand(side, side), at[:, None].expand(side, side)))
    return both.expand(len(faces), -1, -1, -1)


def _shaded(
    draw: Draw, scene: Surroundings, draw_one: Callable[[Draw, Surroundings], Obstacle] | None
) -> tuple[Tensor, Obstacle | None]:
    """Faces with an obstacle before them, and its shadow on them; or only the shadow of one."""
    obstacle = moving(draw, (draw_one or panel)(draw, scene))
    reach = int(torch.randint(1, 9, (), generator=draw.random))
    moved = torch.randint(-9, 10, (2,), generator=draw.random).tolist()
    shadow = obstacle.cover.roll(moved, dims=(2, 3))
    for side in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        shadow = functional.avg_pool2d(shadow, side, 1, (side[0] // 2, side[1] // 2))
    # Or light: a face that shines in a place is as bare.
    faces = scene.faces * (1 - shadow * draw.happens(0.6) * draw.between(-0.5, 0.6))
    if draw_one is None:
        return faces, None
    return torch.lerp(faces, obstacle.colours, obstacle.cover), obstacle


def _damaged(pictures: Tensor, draw: Draw) -> Tensor:
    factor = 1 + draw.happens(0.3) * draw.between(0, 2)
    pictures = rescaled(pictures, factor.flatten())
    pictures = torch.lerp(pictures, blurred(pictures), draw.happens(0.3) * draw.uniform())
    pictures = pictures + draw.happens(0.4) * draw.uniform() * 0.04 * draw.normal(*pictures.shape[1:])
    worse = compressed(pictures.clamp(0, 1), draw.between(25, 95).flatten())
    return torch.where(draw.happens(0.4) > 0, worse, pictures.clamp(0, 1))


def _errors(logits: Tensor, example: Example) -> tuple[float, float]:
    """Shares that were missed, and that were taken for something else."""
    seen, covered = (example.face * part for part in (example.visible, 1 - example.visible))
    said = (logits > 0).float()
    return float((said * covered).sum() / covered.sum()), float(((1 - said) * seen).sum() / seen.sum())


class _Layer(nn.Sequential):
    """Convolution, normalisation, rectification."""

    def __init__(self, channels_in: int, channels_out: int, *, side: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, side, stride, padding=side // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

"""First weights that fit the faces, so that what a new network makes of them differs from the start.

Faces are alike. By random weights alone, most of a code is what all of them have in common, and a network
spends its first hours on parting the rest from that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Residual, WideResidual
from .models import Decoder, FaceNetwork, Person
from .store import FaceStore

_MOST_FACES = 16
# A channel that hardly changes from face to face is not blown up beyond measure.
_LEAST_SPREAD = 0.25


def some_faces(stores: tuple[FaceStore, FaceStore], size_px: int) -> Tensor:
    """Faces to fit to, from all over both stores, as many of each: `[2N,3,S,S]` in 0..1, A's first."""
    count = min(_MOST_FACES, *map(len, stores))
    return torch.cat([store.centred(store.spread(count), size_px)[:, :3] for store in stores])


def fit_first_weights(network: FaceNetwork, faces: Tensor) -> None:
    """Scales and shifts each new layer so that its channels have mean 0 and variance 1 over some faces.

    Layer by layer on the way through, each on what the ones before it give by then: Salimans and Kingma,
    "Weight normalization", NeurIPS 2016, section 3; see also Mishkin and Matas, "All you need is a good
    init", ICLR 2016. Layers inside residual blocks stay as they are, for they begin small. The last ones
    begin at nothing, so that the first faces are grey: what a full map makes by chance is so far from any
    face that it takes long to be unlearnt.

    Args:
        network: new; changed in place.
        faces: `[2N,3,S,S]` in 0..1, N of A, then N of B, on the network's device.
    """
    added = {
        layer
        for block in network.modules()
        if isinstance(block, Residual | WideResidual)
        for layer in block.modules()
    }
    last = {block.output for block in network.modules() if isinstance(block, Decoder)}
    for layer in last:
        nn.init.zeros_(layer.weight)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(_fit) for layer in layers if layer not in added | last]
    people: tuple[Person, Person] = ("a", "b")
    try:
        with torch.no_grad():
            seen: dict[Decoder, list[Tensor]] = {}
            for person, each in zip(people, network.expand_both(network.code(faces)), strict=True):
                seen.setdefault(network.decoder(person), []).append(each)
            for decoder, maps in seen.items():
                decoder(torch.cat(maps))
    finally:
        for hook in hooks:
            hook.remove()


def _fit(layer: nn.Module, inputs: tuple[Tensor]) -> None:
    """Before it is applied: some layers go on to an activation, which is not to count."""
    if isinstance(layer, nn.Conv2d):
        given = nn.Conv2d.forward(layer, *inputs)
    else:
        assert isinstance(layer, nn.Linear)
        given = nn.Linear.forward(layer, *inputs)
    spread, mean = torch.std_mean(given, dim=(0, *range(2, given.dim())), correction=0)
    spread = spread.clamp_min(_LEAST_SPREAD * given.square().mean().sqrt()).clamp_min(1e-12)
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    weight.div_(spread.reshape(-1, *[1] * (weight.dim() - 1)))
    bias.sub_(mean).div_(spread)

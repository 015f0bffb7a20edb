"""What a drawn face is judged by: structure, colour, style and the mask.

All functions take `[N,C,H,W]` tensors in 0..1 and compute in float32 even under
autocast: SSIM subtracts nearly equal moments, which bfloat16 cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from ..engine.errors import UsageError
from .augment import Batch

# Wang et al. 2004: K1, K2 for a dynamic range of 1, and the window's sigma as a share of its side.
_C1 = 0.01**2
_C2 = 0.03**2
_SIGMA_PER_SIDE = 1.5 / 11

# Two scales from this size on: below it the coarser one would see the whole face at once.
_TWO_SCALES_FROM_PX = 128
# Where a Charbonnier loss turns from a parabola to a cone: well below what an eye tells apart.
_CHARBONNIER_EPSILON = 1e-3
# Colours of a patch of an eighth of the face are its light; what is finer is its features.
_STYLE_WINDOWS_PER_SIDE = 8


@dataclass(frozen=True)
class LossSettings:
    """What counts how much; zero leaves a loss out, with all that it costs.

    Attributes:
        dssim: of structure.
        l1: of colour.
        charbonnier: of colour, rounded where it is nearly right; instead of ``l1`` or beside it.
        mask: of the learned mask.
        priority_gain: how much more a pixel of eyes and mouth weighs: the expression is on few of them.
        outside: how much a colour outside the mask weighs. It is cut away, but a decoder that never learns it
            bleeds into the edge.
        scales: of DSSIM, each half the size of the one before; None for two from 128 px on, else one.
        perceptual: LPIPS; needs weights of its own, see `perceptual.Perceptual`.
        background_style: that A drawn as B leaves A's surroundings; costs another pass of the decoder.
        face_style: that A drawn as B takes the light of A's face; costs the same pass.
        code_moments: that the codes of both people have one mean and covariance.
        code_adversary: that no critic can tell from a code whose it is.
        code_pairs: that a face of each that do the same have one code; B's faces are then chosen to do what
            A's in the same step do, and moved and graded as these are.
        landmarks: that A drawn as B does what A does, as a small network reads it that learns beside; costs a
            pass of a decoder.
        cycle: that A drawn as B has the code that it was drawn from; costs half that pass, and half a pass of
            the encoder.
        patch_critic: that no critic can tell a drawn face from a real one; for the last stretch.
        patch_critic_from: share of the run, 0..1, from which on that counts.
    """

    dssim: float = 2.0
    l1: float = 2.0
    charbonnier: float = 0.0
    mask: float = 0.5
    priority_gain: float = 2.0
    outside: float = 0.1
    scales: int | None = None
    perceptual: float = 0.0
    background_style: float = 0.0
    face_style: float = 0.0
    code_moments: float = 0.0
    code_adversary: float = 0.0
    code_pairs: float = 0.0
    landmarks: float = 0.0
    cycle: float = 0.0
    patch_critic: float = 0.0
    patch_critic_from: float = 0.75

    def __post_init__(self) -> None:
        """Raises: UsageError: a number out of its range; names it."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"loss {each.name}: {value:g} is no weight: give a number from 0 on")
        if self.patch_critic_from > 1:
            raise UsageError("loss patch_critic_from is a share of the run: give a number from 0 to 1")
        if self.scales is not None and (self.scales < 1 or self.scales != int(self.scales)):
            raise UsageError(f"loss scales: {self.scales:g} is no count: give 1, 2 or 3")


DEFAULT_LOSSES = LossSettings()


def loss_settings(changes: Iterable[str]) -> LossSettings:
    """The default losses with ``NAME=NUMBER`` changes, such as ``code-moments=0.1``.

    Raises:
        UsageError: no such loss, or no number; names the losses that there are.
    """
    names = {each.name.replace("_", "-"): each.name for each in fields(LossSettings)}
    changed: dict[str, float] = {}
    for change in changes:
        name, _, number = change.partition("=")
        if name.replace("_", "-") not in names:
            raise UsageError(f"--loss {change}: no such loss: there are {', '.join(names)}")
        try:
            value = float(number)
        except ValueError as error:
            raise UsageError(f"--loss {change}: give it as {name}=NUMBER") from error
        changed[names[name.replace("_", "-")]] = value
    if "scales" in changed and changed["scales"].is_integer():
        changed["scales"] = int(changed["scales"])
    return replace(DEFAULT_LOSSES, **changed)  # type: ignore[arg-type]


def window_px(size_px: int) -> int:
    """Side of the SSIM window for a face of ``size_px``: odd, about an eleventh, at least 3."""
    return max(3, int(size_px / 11.6) // 2 * 2 + 1)


def dssim(x: Tensor, y: Tensor, weight: Tensor, window: int) -> Tensor:
    """Structural dissimilarity, (1 - SSIM) / 2, averaged under ``weight``.

    SSIM as in Wang et al., "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, per channel with a Gaussian window.
    At the border the window is cut and normalised again.

    Args:
        x: `[N,C,H,W]`, carries the gradient.
        y: `[N,C,H,W]`.
        weight: `[N,1,H,W]`, at least 0.
        window: side in px, odd.

    Returns:
        A scalar in 0..1; 0 for equal pictures.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y, weight = x.float(), y.float(), weight.float()
        blur = _blur(x, window)
        mean_x, mean_y = blur(x), blur(y)
        variance_x = blur(x * x) - mean_x * mean_x
        variance_y = blur(y * y) - mean_y * mean_y
        covariance = blur(x * y) - mean_x * mean_y
        ssim = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
            (mean_x * mean_x + mean_y * mean_y + _C1) * (variance_x + variance_y + _C2)
        )
        return _weighted_mean((1 - ssim) / 2, weight)


def multi_scale_dssim(x: Tensor, y: Tensor, weight: Tensor, window: int, scales: int) -> Tensor:
    """The mean of `dssim` at ``scales`` sizes, each half of the one before under the same window.

    A small window judges pores and lashes, a large one the shape of the face.

    Args:
        x: `[N,C,H,W]`, carries the gradient.
        y: `[N,C,H,W]`.
        weight: `[N,1,H,W]`, at least 0.
        window: side in px, odd.
        scales: at least 1.

    Returns:
        A scalar in 0..1.
    """
    total = dssim(x, y, weight, window)
    for _ in range(scales - 1):
        x, y, weight = (functional.avg_pool2d(image.float(), 2) for image in (x, y, weight))
        total = total + dssim(x, y, weight, window)
    return total / scales


def masked_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of `[N,C,H,W]` pictures under ``weight`` `[N,1,H,W]`: a scalar in 0..1."""
    return _weighted_mean((x.float() - y.float()).abs(), weight.float())


def charbonnier(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """`masked_l1` with a rounded tip: the weighted mean of sqrt(d^2 + e^2) - e, with e of a thousandth.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging",
    ICIP 1994. Its gradient fades where a colour is right, so that weights come to rest.
    """
    difference, epsilon = x.float() - y.float(), _CHARBONNIER_EPSILON
    return _weighted_mean((difference * difference + epsilon * epsilon).sqrt() - epsilon, weight.float())


def mask_loss(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of masks `[N,1,H,W]`: a scalar in 0..1.

    L1 asks for the median, so the learned edge stays as sharp as the outline;
    squares or cross-entropy would ask for the mean and smear it.
    """
    return (x.float() - y.float()).abs().mean()


def background_style(crossed: Tensor, face: Tensor, mask: Tensor) -> Tensor:
    """How much a crossed picture differs from the film's where there is no face.

    Args:
        crossed: `[N,3,S,S]`, A drawn as B.
        face: `[N,3,S,S]` of A.
        mask: `[N,1,S,S]` where A's face is.

    Returns:
        A scalar, the mean of `dssim` and `masked_l1` outside the mask.
    """
    outside = 1 - mask.float()
    structure = dssim(crossed, face, outside, window_px(crossed.shape[-1]))
    return (structure + masked_l1(crossed, face, outside)) / 2


def face_style(crossed: Tensor, face: Tensor, mask: Tensor) -> Tensor:
    """How much the light on a crossed face differs from that of the film.

    Compared are the mean and the standard deviation of each colour around each pixel of the face, under a
    window of an eighth of the picture: that is light, shade and contrast, but no feature.

    Args:
        crossed: `[N,3,S,S]`, A drawn as B.
        face: `[N,3,S,S]` of A.
        mask: `[N,1,S,S]` where A's face is.

    Returns:
        A scalar: the mean absolute difference of the means and that of the deviations, added.
    """
    with torch.autocast(crossed.device.type, enabled=False):
        crossed, face, mask = crossed.float(), face.float(), mask.float()
        blur = _blur(mask, crossed.shape[-1] // _STYLE_WINDOWS_PER_SIDE | 1)
        share = blur(mask).clamp_min(1e-3)

        def moments(image: Tensor) -> tuple[Tensor, Tensor]:
            mean = blur(image * mask) / share
            variance = blur(image * image * mask) / share - mean * mean
            # The root of nothing has no gradient.
            return mean, (variance.clamp_min(0) + 1e-4).sqrt()

        (mean_x, deviation_x), (mean_y, deviation_y) = moments(crossed), moments(face)
        difference = (mean_x - mean_y).abs() + (deviation_x - deviation_y).abs()
        return _weighted_mean(difference, mask)


def face_loss(drawn: Tensor, batch: Batch, settings: LossSettings = DEFAULT_LOSSES) -> Tensor:
    """The loss of one person's faces.

    Args:
        drawn: `[N,4,S,S]` from a decoder: R, G, B, mask.
        batch: what was to be drawn.
        settings: what counts how much; of it the losses that need one drawn face and no more.

    Returns:
        A scalar: structure + colour + mask.
    """
    rgb, mask = drawn[:, :3], drawn[:, 3:]
    inside = batch.mask * (1 + settings.priority_gain * batch.priority)
    anywhere = inside + settings.outside * (1 - batch.mask)
    size_px = rgb.shape[-1]
    scales = settings.scales or (2 if size_px >= _TWO_SCALES_FROM_PX else 1)
    structure = multi_scale_dssim(rgb, batch.target, inside, window_px(size_px), scales)
    colour = masked_l1(rgb, batch.target, anywhere)
    total = settings.dssim * structure + settings.l1 * colour + settings.mask * mask_loss(mask, batch.mask)
    if settings.charbonnier:
        total = total + settings.charbonnier * charbonnier(rgb, batch.target, anywhere)
    return total


def _weighted_mean(image: Tensor, weight: Tensor) -> Tensor:
    return (image * weight).sum() / (weight.sum() * image.shape[1]).clamp_min(1e-6)


def _blur(like: Tensor, window: int) -> Callable[[Tensor], Tensor]:
    """The Gaussian blur of pictures that have the size and device of ``like``."""
    rows = _gaussian(like.shape[2], window, like.device)
    columns = rows if like.shape[2] == like.shape[3] else _gaussian(like.shape[3], window, like.device)
    # Two small matrix products beat a depthwise convolution several times on CPUs.
    return lambda image: rows @ image @ columns.T


def _gaussian(side: int, window: int, device: torch.device) -> Tensor:
    """The blur along one axis as a matrix `[side,side]` whose rows sum to 1."""
    position = torch.arange(side, device=device, dtype=torch.float32)
    distance = position[:, None] - position[None, :]
    sigma = window * _SIGMA_PER_SIDE
    weight = torch.exp(-(distance**2) / (2 * sigma**2)) * (distance.abs() <= window // 2)
    return weight / weight.sum(dim=1, keepdim=True)

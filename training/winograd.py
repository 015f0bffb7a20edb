"""3x3 convolutions in fewer multiplications, for processors.

Winograd's minimal filtering (Lavin and Gray 2015, "Fast algorithms for convolutional neural networks",
arXiv 1509.09308): an output tile of m x m takes (m + 2)^2 products instead of 9 m^2. All that is left is
matrix products, which a runtime does at the processor's peak whatever the map's size.

Maps are position-major, `[H,W,N,C]`: both transforms are then products with a constant matrix from the
left, and no map is transposed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# By the output tile's side m: what transforms tiles (B^T), kernels (G) and products (A^T).
_TRANSFORMS = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}
# Up to this side both directions are one product: it packs each kernel matrix once, not once a row of tiles.
_JOINT_SIDE_PX = 8


class WinogradConv(nn.Module):
    """A 3x3 convolution of stride 1 and padding 1: `[H,W,N,C]` -> `[H,W,N,K]`, with H = W = ``side_px``.

    Args:
        weight: `[K,C,3,3]`.
        bias: `[K]`.
        side_px: of the map; a multiple of the tile, which is 4 x 4 from 16 px on, 2 x 2 below.
    """

    split: Tensor
    merge: Tensor
    kernels: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, side_px: int) -> None:
        super().__init__()
        self.outputs, self.inputs = weight.shape[:2]
        # Tiles of 4 x 4 take four times the memory of the kernels, too much where those are the largest.
        tile_px = 4 if side_px >= 16 else 2
        self.side_px, self.tiles, self.taps = side_px, side_px // tile_px, tile_px + 2
        tile, kernel, product = (np.array(matrix, np.float64) for matrix in _TRANSFORMS[tile_px])
        split, merge = _split(tile, side_px), _merge(product, side_px)
        self.joint = side_px <= _JOINT_SIDE_PX
        if self.joint:
            split, merge = self._both(split), self._both(merge.T).T
        self.register_buffer("split", torch.from_numpy(split).float())
        self.register_buffer("merge", torch.from_numpy(np.ascontiguousarray(merge)).float())
        both = torch.from_numpy(np.kron(kernel, kernel)) @ weight.permute(2, 3, 1, 0).reshape(9, -1).double()
        shape = (-1,) if self.joint else (self.taps, 1, self.taps)
        self.register_buffer("kernels", both.float().reshape(*shape, self.inputs, self.outputs))
        self.register_buffer("bias", bias.clone())

    def forward(self, x: Tensor) -> Tensor:
        taps, tiles, side_px = self.taps, self.tiles, self.side_px
        if self.joint:
            patches = torch.matmul(self.split, x.reshape(side_px**2, -1)).reshape(taps**2, -1, self.inputs)
            products = torch.matmul(patches, self.kernels)
            y = torch.matmul(self.merge, products.reshape((taps * tiles) ** 2, -1))
        else:
            rows = torch.matmul(self.split, x.reshape(side_px, -1)).reshape(taps * tiles, side_px, -1)
            patches = torch.matmul(self.split, rows).reshape(taps, tiles, taps, -1, self.inputs)
            products = torch.matmul(patches, self.kernels)
            rows = torch.matmul(self.merge, products.reshape(taps * tiles, taps * tiles, -1))
            y = torch.matmul(self.merge, rows.reshape(taps * tiles, -1))
        return y.reshape(side_px, side_px, -1, self.outputs) + self.bias

    def _both(self, one: NDArray[np.float64]) -> NDArray[np.float64]:
        """`[taps*tiles,side]`, of one direction, to `[taps*taps*tiles*tiles,side*side]`, of both."""
        one = one.reshape(self.taps, self.tiles, self.side_px)
        both: NDArray[np.float64] = np.einsum("atx,buy->abtuxy", one, one).reshape(-1, self.side_px**2)
        return both


def _split(tile: NDArray[np.float64], side_px: int) -> NDArray[np.float64]:
    """Cuts a row into overlapping tiles and transforms them: `[taps*tiles,side]`, taps outermost."""
    taps = len(tile)
    tiles = side_px // (taps - 2)
    split = np.zeros((taps, tiles, side_px + 2))
    for n in range(tiles):
        first = n * (taps - 2)
        split[:, n, first : first + taps] = tile
    # The padding is zero: what is multiplied with it is left out.
    return split[:, :, 1:-1].reshape(-1, side_px)


def _merge(product: NDArray[np.float64], side_px: int) -> NDArray[np.float64]:
    """Turns a row's products into its outputs: `[side,taps*tiles]`."""
    tile_px, taps = product.shape
    tiles = side_px // tile_px
    merge = np.zeros((tiles, tile_px, taps, tiles))
    for n in range(tiles):
        merge[n, :, :, n] = product
    return merge.reshape(side_px, -1)

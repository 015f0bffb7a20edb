"""Whole tensors on a device, value by value: made fit for a network, and looked through after it.

Nothing here waits for the device.

Never executed on a GPU; the tests carry out its launches on the CPU, from the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._native import device as native
from ..launcher import Launcher
from ..memory import DeviceTensor
from .arguments import require, texel_of
from .constant import Constant

_MOST_VALUES = (1 << 31) - 1


class ValueKernels:
    """Kernels over float32 and float16 tensors of any shape, on one lane.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._ones = Constant(launcher, 1)

    def prepare(
        self,
        values: DeviceTensor,
        out: DeviceTensor,
        *,
        scale: float = 1.0,
        offset: float = 0.0,
        low: float = -np.inf,
        high: float = np.inf,
    ) -> None:
        """``out = clamp(scale * values + offset, low, high)`` in float32, rounded to the type of ``out``.

        Args:
            values: of any shape; of either type.
            out: of the same shape, of either type; where the types are the same, it may be the same memory.
            scale: see above.
            offset: see above.
            low: also what is no number becomes this.
            high: see above.

        Raises:
            ValueError: tensors that do not fit.
        """
        name = f"prepare_{texel_of(values)}_{texel_of(out)}"
        require(out, "out", values.shape, out.dtype)
        count = _count(values.shape)
        if count:
            self._launcher.launch(
                name,
                (native.values_parts(count), 1, 1),
                native.VALUES_BLOCK,
                values.address,
                count,
                float(scale),
                float(offset),
                float(low),
                float(high),
                out.address,
            )

    def finite(self, tensors: Sequence[DeviceTensor], out: DeviceTensor) -> None:
        """Which items are numbers throughout.

        Args:
            tensors: ``[items, ...]``, for instance what a network drew, and its masks.
            out: int32 ``[items]``: becomes 1 where all values of an item in all tensors are finite, else 0.

        Raises:
            ValueError: tensors that do not fit.
        """
        for tensor in tensors:
            texel_of(tensor)
            require(out, "out", tensor.shape[:1], np.dtype(np.int32))
        self._ones.upload(out)
        for tensor in tensors:
            each = _count(tensor.shape[1:])
            if out.shape[0] and each:
                self._launcher.launch(
                    f"finite_{texel_of(tensor)}",
                    (native.values_parts(each), out.shape[0], 1),
                    native.VALUES_BLOCK,
                    tensor.address,
                    each,
                    out.address,
                )


def _count(shape: tuple[int, ...]) -> int:
    count = int(np.prod(shape))
    if count > _MOST_VALUES:
        raise ValueError(f"tensors: must have fewer values than {shape}")
    return count

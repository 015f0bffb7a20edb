"""Frames and faces for the kernel tests: random samples in every layout that a decoder gives."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting, Transfer
from crossface.engine.video.planes import PixelLayout

UNCHANGED = np.hstack([np.eye(3), np.zeros((3, 1))])
BT709_420 = ColourDescription(Matrix.BT709, False, Siting.LEFT, 8, 1, 1)


def make_frame(planes: Any, colour: ColourDescription) -> Frame:
    return Frame(0, 0, 1, Fraction(1, 25), planes, colour, None)


def copy_frame(frame: Frame) -> Frame:
    return make_frame(tuple(plane.copy() for plane in frame.planes), frame.colour)


@dataclass
class Picture:
    """A frame whose samples lie in ``memory`` as a decoder lays them out, one buffer a plane."""

    frame: Frame
    memory: list[NDArray[Any]]


def noise_picture(
    layout: PixelLayout,
    colour: ColourDescription,
    size: tuple[int, int],
    seed: int = 0,
    row_padding: int = 0,
    upside_down: bool = False,
) -> Picture:
    """Random bits in every sample, every gap and every bit of padding; random floats around 0..1."""
    rng = np.random.default_rng(seed)
    sizes = [
        (-(-size[0] >> shift_x), -(-size[1] >> shift_y))
        for shift_x, shift_y in ((0, 0), *[(layout.chroma_shift_x, layout.chroma_shift_y)] * 2)
    ]
    memory = []
    for number in range(1 + max(component.plane for component in layout.components)):
        inside = [
            (component.offset + component.step * width, height)
            for component, (width, height) in zip(layout.components, sizes, strict=True)
            if component.plane == number
        ]
        shape = max(height for _, height in inside), max(row for row, _ in inside) + row_padding
        if layout.bits == 32:
            memory.append(rng.normal(0.5, 0.5, shape).astype(np.float32))
        else:
            used_bits = layout.bits + layout.padding_bits
            memory.append(rng.integers(0, 2**used_bits, shape, np.uint8 if used_bits == 8 else np.uint16))
    planes = []
    for component, (width, height) in zip(layout.components, sizes, strict=True):
        rows = memory[component.plane][::-1] if upside_down else memory[component.plane]
        end = component.offset + component.step * width
        planes.append(rows[:height, component.offset : end : component.step])
    return Picture(make_frame(tuple(planes), colour), memory)


def describe(
    layout: PixelLayout,
    matrix: Matrix = Matrix.BT709,
    full_range: bool = False,
    siting: Siting = Siting.LEFT,
    transfer: Transfer = Transfer.SDR,
) -> ColourDescription:
    return ColourDescription(
        Matrix.RGB if layout.rgb else matrix,
        full_range,
        siting,
        layout.bits,
        layout.chroma_shift_x,
        layout.chroma_shift_y,
        layout.padding_bits,
        transfer,
    )


def noise_frame(seed: int, width: int, height: int, colour: ColourDescription) -> Frame:
    """Three planes of their own."""
    layout = PixelLayout(colour.bits, colour.chroma_shift_x, colour.chroma_shift_y)
    return noise_picture(layout, colour, (width, height), seed).frame


def code_tolerance(frame: Frame) -> float:
    """One code value, in R'G'B'. Floats have none: a part of the greatest sample, as fp32 rounds."""
    if frame.colour.bits == 32:
        return 4e-6 * max(1.0, *(float(np.abs(plane).max()) for plane in frame.planes))
    return 1 / (2**frame.colour.bits - 1)


def similarity(scale: float, degrees: float, centre: tuple[float, float], size: int) -> NDArray[np.float64]:
    """Maps a ``size`` px crop, turned and scaled, to a square about ``centre``."""
    turn = np.radians(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, np.array(centre) - linear @ np.full(2, size / 2)])


def edge_mask(rng: np.random.Generator, size: int, kind: str) -> NDArray[np.float32]:
    mask = np.zeros((size, size), np.float32)
    if kind == "full":
        mask[:] = 1
    elif kind == "soft":
        mask[:] = rng.random((size, size))
    else:
        y, x = (np.mgrid[:size, :size] + 0.5 - size / 2) / (size / 2)
        mask[:] = np.clip(3 - 3.2 * np.hypot(x * 1.3, y), 0, 1)
    return mask

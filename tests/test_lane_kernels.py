"""The kernels' launches through the real `Lane` and pycuda, on a driver that only keeps the books.

The driver's memory is the host's. So what it was told of a launch, the bytes of the arguments, is carried
out by the CPU here, and results must be those of the tests' own lane.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from test_lane import run_on_stub

SCRIPT = """
import ctypes, re, struct
import numpy as np
from crossface.engine import _native
from crossface.engine.device import SIGNATURES, Lane
from crossface.engine.device_choice import choose
from crossface.engine.on_device.kernels.marks import MarkKernels
from crossface.engine.on_device.kernels.masks import MaskKernels
from crossface.engine.on_device.kernels.mesh_chain import FollowRule, MeshChain
from crossface.engine.on_device.kernels.records import FOUND_MESH, STATISTICS
from crossface.engine.on_device.kernels.textures import TextureKernels
from crossface.engine.on_device.kernels.values import ValueKernels
from device_pictures import DevicePictures
from emulated_lane import EmulatedLane
from test_on_device_kernels import FRAME_OF, ITEMS, MATRICES, SIZE, blend_all, mixed_frames

stub = ctypes.CDLL("libcuda.so.1")
stub.stub_last_launch.restype = ctypes.c_char_p

launched = set()

class CarriedOut(Lane):
    def launch(self, name, grid, block, *arguments):
        super().launch(name, grid, block, *arguments)
        told, *shape, packed = stub.stub_last_launch().decode().split()
        kernel = re.sub("(_f(16|32))+$", "", told)
        launched.add(kernel)
        signature = SIGNATURES[kernel]
        values = struct.unpack("@" + signature, bytes.fromhex(packed))
        grid, block = (tuple(map(int, numbers.split(","))) for numbers in shape)
        getattr(_native.device, told)(grid, block, *values)

def results_of(lane):
    there, rng = DevicePictures(lane), np.random.default_rng(0)
    frames = mixed_frames()
    sent = [there.frame(frame) for frame in frames]
    crops, small = there.empty((6, 3, SIZE, SIZE), np.float16), there.empty((3, 3, 40, 60), np.float32)
    faces = rng.random((6, 3, SIZE, SIZE), np.float32).astype(np.float16)
    masks = rng.random((6, SIZE, SIZE), np.float32).astype(np.float16)
    for _ in range(20):  # more than the ring has slots
        there.kernels.crop(sent, FRAME_OF, MATRICES, crops, items=ITEMS)
    there.kernels.resize(sent, small)
    colours = np.tile(np.eye(3, 4), (4, 1, 1))
    touched = blend_all(there, frames, faces, masks, colours)
    found = [there.numbers(crops)[ITEMS], there.numbers(small), touched, there.stats(faces, masks)]
    found += [plane.copy() for frame in frames for plane in frame.planes]
    found += marks_of(there, rng)
    return found + masks_of(there, rng) + meshes_of(there, sent, rng) + textures_of(there, sent, rng)

def marks_of(there, rng):
    faces = there.tensor(rng.random((6, 3, SIZE, SIZE), np.float32))
    masks, marks = there.tensor(rng.random((6, SIZE, SIZE), np.float32)), there.empty((6, 64, 64), np.float32)
    lumas, to_face = np.tile([46.0, 156.0, 15.0, 1.0], (4, 1)), MATRICES * 0.5
    signs = np.where(rng.random((96, 20)) < 0.5, np.float32(-1), np.float32(1))
    MarkKernels(there.lane).make(faces, masks, lumas, to_face, signs, marks, items=ITEMS)
    return [there.numbers(marks)[ITEMS]]

def textures_of(there, frames, rng):
    drawn, source = (there.tensor(rng.random((6, 3, SIZE, SIZE), np.float32)) for _ in range(2))
    masks = there.tensor(np.ones((6, SIZE, SIZE), np.float32))
    moments, work = [there.empty((6,), STATISTICS) for _ in range(2)], TextureKernels(there.lane)
    for tensor, out in zip((drawn, source), moments):
        there.kernels.stats(tensor, masks, out)
    skin, noise = there.empty(masks.shape, np.float32), there.empty((6, 2), np.float64)
    details, sharp = (there.empty(drawn.shape, np.float32) for _ in range(2))
    taps = [np.array([0.25, 0.5, 0.25], np.float32)] * 6
    work.skin(drawn, source, masks, *moments, 1.25, skin, row_step=2)
    work.details(drawn, source, taps, details)
    work.sharpen(drawn, taps, np.linspace(-1, 1.5, 6), sharp)
    work.noise(frames, FRAME_OF, MATRICES, skin, noise, items=ITEMS)
    return [there.numbers(tensor)[ITEMS] for tensor in (skin, details, sharp, noise)]

def masks_of(there, rng):
    faces = there.tensor(rng.uniform(-1, 2, (6, 3, SIZE, SIZE)).astype(np.float32))
    masks = there.tensor(rng.random((6, SIZE, SIZE), np.float32).astype(np.float16))
    inputs, flags = there.empty((6, 3, SIZE, SIZE), np.float16), there.empty((6,), np.int32)
    areas, taps = there.empty((6,), np.float64), np.array([0.25, 0.5, 0.25], np.float32)
    values, work = ValueKernels(there.lane), MaskKernels(there.lane)
    values.prepare(faces, inputs, scale=0.75, offset=0.125, low=0.0, high=0.875)
    values.finite([inputs, masks], flags)
    work.outline(masks, [np.array([[0.6, 0.8, 20]], np.float32)] * 6)
    work.soften(masks, taps, 2.5, masks, shares=np.linspace(0, 1, 6, dtype=np.float32), areas=areas)
    return [there.numbers(tensor) for tensor in (inputs, flags, masks, areas)]

def meshes_of(there, frames, rng):
    chain = MeshChain(there.lane, FollowRule(SIZE, 1.5, (33, 263), 0.5, 1.3), 4)
    thumbnails, found = there.empty((3, 18, 32), np.float32), there.tensor(np.zeros(12, FOUND_MESH))
    there.kernels.thumbnails(frames, thumbnails)
    crops = there.empty((4, 3, SIZE, SIZE), np.float32)
    points = there.tensor(rng.uniform(0, SIZE, (4, 468, 3)).astype(np.float32))
    chain.begin(frames, MATRICES)
    for step in range(3):
        chain.crop(crops)
        chain.follow(points, there.tensor(rng.random((4, 1), np.float32)), found.part(4 * step, 4))
    return [there.numbers(tensor) for tensor in (thumbnails, crops, found)]

expected = results_of(EmulatedLane())
with CarriedOut(choose("cuda").devices[0]) as lane:
    for got, wanted in zip(results_of(lane), expected, strict=True):
        assert got.dtype == wanted.dtype and got.tobytes() == wanted.tobytes()
assert launched == set(SIGNATURES), launched ^ set(SIGNATURES)
print("alike")
"""


@pytest.mark.needs_pycuda
@pytest.mark.needs_nvcc
def test_what_the_driver_is_told_is_what_was_meant(tmp_path: Path) -> None:
    done = run_on_stub(tmp_path, SCRIPT, PYTHONPATH=str(Path(__file__).parent))
    assert done.stdout == "alike\n", done.stderr

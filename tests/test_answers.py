"""What comes back from a device: as it was when it was asked for, in whatever order it is read."""

from __future__ import annotations

import numpy as np
from device_pictures import on_each_device, pictures_on
from emulated_lane import EmulatedLane

from crossface.engine.device import DeviceBuffer
from crossface.engine.on_device.answers import Answers
from crossface.engine.on_device.tensors import new_tensor


@on_each_device
def test_answers_are_those_of_their_turn(device: str) -> None:
    with pictures_on(device) as there:
        numbers, more = new_tensor(there.lane, (3, 5), np.float32), there.tensor(np.arange(7, dtype=np.int32))
        answers, asked = Answers(there.lane), []
        for turn in range(6):
            pinned = there.lane.pinned((3, 5), np.float32)
            pinned[:] = turn
            there.lane.upload(DeviceBuffer(numbers.address, numbers.bytes), pinned)
            asked.append(answers.ask(numbers) if turn % 2 else answers.ask(numbers, more))
        for turn in (3, 5, 0, 1, 4, 2, 3):
            first, *others = asked[turn].read()
            np.testing.assert_array_equal(first, np.full((3, 5), turn, np.float32))
            assert len(others) == 1 - turn % 2
            for other in others:
                np.testing.assert_array_equal(other, np.arange(7))


def test_one_wait_brings_all_that_was_asked_for_before() -> None:
    """And the memory that they came through is used again."""
    lane = EmulatedLane()
    tensor, answers = new_tensor(lane, (100,), np.uint8), Answers(lane)
    taken = []
    pinned = lane.pinned
    lane.pinned = lambda shape, dtype: taken.append(shape) or pinned(shape, dtype)  # type: ignore[method-assign]
    for _ in range(5):
        asked = [answers.ask(tensor) for _ in range(4)]
        asked[-1].read()
        waits = lane.waits
        for answer in asked:
            answer.read()
        assert lane.waits == waits
    assert len(taken) == 4

"""Threads joined by bounded queues: order, bounds, errors, and an end in every case."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from crossface.engine.pipeline import Drain, Prefetch

# Far more than any machine needs; a hang fails instead of stopping the tests.
PATIENCE_S = 30.0


def within_patience(work: Callable[[], None]) -> None:
    """Runs ``work`` in a thread and fails if it does not come to its end."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "hangs"
    if raised:
        raise raised[0]


def threads_named(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_prefetch_keeps_the_order() -> None:
    with Prefetch(range(500), depth=3) as items:
        assert list(items) == list(range(500))


def test_prefetch_runs_no_further_ahead_than_its_depth() -> None:
    made = 0
    taken = 0
    furthest = 0
    filled, overfull = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        nonlocal made, furthest
        for number in range(50):
            made += 1
            furthest = max(furthest, made - taken)
            if made == 5:
                filled.set()
            if made == 6:
                overfull.set()
            yield number

    with Prefetch(source(), depth=4) as items:
        # Without anyone taking, four items wait and one is in the thread's hand.
        assert filled.wait(PATIENCE_S) and not overfull.wait(0.2)
        for _ in items:
            taken += 1
    # The taker counts an item only after it left the queue, hence one more.
    assert made == 50 and furthest <= 4 + 2


def test_prefetch_hands_over_items_and_then_the_error() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    got: list[int] = []

    def work() -> None:
        with Prefetch(source(), depth=8) as items:
            got.extend(items)

    with pytest.raises(OSError, match="the disk is gone"):
        within_patience(work)
    assert got == [1, 2]


@pytest.mark.parametrize("taken", [0, 1, 20])
def test_leaving_prefetch_in_the_middle_ends_its_thread(taken: int) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    def work() -> None:
        with Prefetch(endless(), depth=2) as items:
            for number in items:
                if number >= taken:
                    break

    within_patience(work)
    assert threads_named("prefetch") == 0
    assert closed.is_set(), "the source is closed too"


def test_drain_consumes_everything_in_order_before_it_lets_go() -> None:
    consumed: list[int] = []
    with Drain(consumed.append, depth=3) as drain:
        for number in range(300):
            drain.put(number)
    assert consumed == list(range(300))
    assert threads_named("drain") == 0


def test_drain_holds_the_giver_back() -> None:
    gate, filled, overfull = (threading.Event() for _ in range(3))
    given = 0

    def work() -> None:
        nonlocal given
        with Drain(lambda _: gate.wait(PATIENCE_S), depth=4) as drain:
            for number in range(20):
                drain.put(number)
                given += 1
                if given == 5:
                    filled.set()
                if given == 6:
                    overfull.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert filled.wait(PATIENCE_S)
    assert not overfull.wait(0.2), "four wait, one is being consumed"
    gate.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive() and given == 20


@pytest.mark.parametrize("count", [1, 2, 100])
def test_an_error_of_drain_surfaces_and_nothing_hangs(count: int) -> None:
    seen: list[int] = []

    def consume(number: int) -> None:
        seen.append(number)
        raise OSError("the disk is full")

    def work() -> None:
        with Drain(consume, depth=2) as drain:
            for number in range(count):
                drain.put(number)

    with pytest.raises(OSError, match="the disk is full"):
        within_patience(work)
    assert seen == [0], "after an error nothing more is consumed"
    assert threads_named("drain") == 0


def test_an_error_of_the_giver_is_kept_and_what_waits_is_dropped() -> None:
    begun, gate = threading.Event(), threading.Event()
    consumed: list[int] = []

    def consume(number: int) -> None:
        begun.set()
        gate.wait(PATIENCE_S)
        consumed.append(number)

    def work() -> None:
        with Drain(consume, depth=8) as drain:
            for number in range(5):
                drain.put(number)
            begun.wait(PATIENCE_S)
            threading.Timer(0.1, gate.set).start()
            raise ValueError("the giver's own")

    with pytest.raises(ValueError, match="the giver's own"):
        within_patience(work)
    assert consumed == [0]
    assert threads_named("drain") == 0

"""The mark's payload and the code that protects it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crossface.engine.provenance.mark.pattern import CHIPS_A_BIT, SIDE, chips, signs
from crossface.engine.provenance.mark.payload import BITS, CODE_BITS, Payload, agreement, decode, encode

jobs = st.integers(0, 2**32 - 1)


@given(st.lists(jobs, min_size=1, max_size=8), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_payloads_survive_noise(numbers: list[int], seed: int) -> None:
    bits = np.stack([Payload(number).bits() for number in numbers])
    noise = np.random.default_rng(seed).standard_normal((len(numbers), CODE_BITS))
    read = decode((encode(bits) + noise / 1.9).astype(np.float32))
    right = [Payload.from_bits(each) == Payload(number) for each, number in zip(read, numbers, strict=True)]
    # About one code in ten thousand is lost at this noise.
    assert sum(right) >= len(numbers) - 1


@given(jobs, st.sets(st.integers(0, BITS - 1), min_size=1, max_size=3))
def test_one_to_three_wrong_bits_are_noticed(number: int, places: set[int]) -> None:
    bits = Payload(number).bits()
    for place in places:
        bits[place] ^= 1
    assert Payload.from_bits(bits) is None


@given(jobs)
@settings(max_examples=30)
def test_the_code_is_the_convolution_that_it_says(number: int) -> None:
    bits = Payload(number).bits().tolist()
    wanted = []
    for n in range(BITS):
        window = [bits[(n - age) % BITS] for age in range(9)]
        for generator in (0o753, 0o561):
            wanted.append(sum(bit for age, bit in enumerate(window) if generator >> age & 1) % 2)
    assert np.array_equal(encode(Payload(number).bits()), 1 - 2 * np.array(wanted))


@given(st.lists(jobs, min_size=1, max_size=300), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 3.0]))
@settings(deadline=None, max_examples=20)
def test_agreement_is_that_of_a_word_as_good_as_any(numbers: list[int], seed: int, noise: float) -> None:
    words = encode(np.stack([Payload(number).bits() for number in numbers]))
    read = words + noise * np.random.default_rng(seed).standard_normal(words.shape).astype(np.float32)
    found = agreement(read)
    product = np.maximum((read * words).sum(axis=1), (read * encode(decode(read))).sum(axis=1))
    assert (found >= product - 1e-3).all() and (found <= np.abs(read).sum(axis=1) + 1e-3).all()
    if not noise:
        assert np.allclose(found, CODE_BITS)


def test_a_payload_is_the_head_of_a_job_s_hash() -> None:
    assert Payload.of("deadbeef" + "0" * 56) == Payload(0xDEADBEEF)
    assert str(Payload(0xBEEF)) == "0000beef"


def test_arbitrary_codes_say_nothing() -> None:
    noise = np.random.default_rng(3).standard_normal((3000, CODE_BITS)).astype(np.float32)
    assert sum(Payload.from_bits(bits) is not None for bits in decode(noise)) <= 2


def test_chips_lie_inside_the_face_and_belong_to_one_bit() -> None:
    assert chips().shape == signs().shape == (CODE_BITS, CHIPS_A_BIT)
    assert len(np.unique(chips())) == CODE_BITS * CHIPS_A_BIT
    rows, columns = np.divmod(chips(), SIDE)
    assert min(rows.min(), columns.min()) >= 1 and max(rows.max(), columns.max()) <= SIDE - 2
    assert abs(float(signs().mean())) < 0.1

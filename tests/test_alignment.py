"""Losses on codes: of two people that are to be understood alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossface.engine.errors import UsageError
from crossface.training.alignment import CodeCritic, code_adversary, code_cycle, code_moments

pytestmark = pytest.mark.usefixtures("one_thread")


def _codes(seed: int, count: int, length: int) -> torch.Tensor:
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed))


def test_moments_worked_out_by_hand() -> None:
    # Means 1 and 4, variance 2 each: 9 apart, of which chance explains 2 / 2 + 2 / 2.
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])
    assert float(code_moments(a, b)) == pytest.approx((9 - 2) / 2)
    # Equal means, variances 2 and 8: the spread is 5.
    wide = torch.tensor([[-1.0], [3.0]])
    assert float(code_moments(a, wide)) == pytest.approx(-(2 / 2 + 8 / 2) / 5 + (2 - 8) ** 2 / 5**2)


@given(st.integers(0, 1000), st.integers(2, 9), st.integers(2, 9), st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_moments_are_numpys_and_know_neither_length_nor_turn(
    seed: int, count_a: int, count_b: int, scale: float
) -> None:
    a, b = _codes(seed, count_a, 5), _codes(seed + 1, count_b, 5) * 2 + 1
    p, q = a.double().numpy(), b.double().numpy()
    s, t = np.cov(p.T), np.cov(q.T)
    spread = (np.trace(s) + np.trace(t)) / 2
    means = ((p.mean(0) - q.mean(0)) ** 2).sum() - np.trace(s) / count_a - np.trace(t) / count_b
    expected = means / spread + ((s - t) ** 2).sum() / spread**2
    assert float(code_moments(a, b)) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    turn = torch.linalg.qr(_codes(seed + 2, 5, 5)).Q
    turned = code_moments(a @ turn * scale, b @ turn * scale)
    assert float(turned) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_equal_people_cost_nothing_on_average_and_chance_is_no_reason_to_shrink() -> None:
    means = []
    for seed in range(200):
        a, b = _codes(2 * seed, 8, 3), _codes(2 * seed + 1, 8, 3)
        spread = (a.var(0).sum() + b.var(0).sum()) / 2
        means.append(float(code_moments(a, b) - (torch.cov(a.T) - torch.cov(b.T)).square().sum() / spread**2))
    assert abs(np.mean(means)) < 3 * np.std(means) / math.sqrt(len(means))
    a = _codes(1, 8, 3).requires_grad_()
    b = _codes(2, 8, 3).requires_grad_()
    code_moments(a, b).backward()
    assert a.grad is not None and b.grad is not None
    # Along a common change of scale the loss does not move.
    assert abs(float((a.detach() * a.grad).sum() + (b.detach() * b.grad).sum())) < 1e-4


def test_descent_brings_codes_together() -> None:
    a, b = _codes(3, 16, 4).requires_grad_(), (_codes(4, 16, 4) * 3 + 2).requires_grad_()
    optimiser = torch.optim.Adam([a, b], lr=0.1)
    first = code_moments(a, b).item()
    for _ in range(200):
        optimiser.zero_grad()
        loss = code_moments(a, b)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02 * first
    # What chance explains stays as it is.
    apart = (a.mean(0) - b.mean(0)).detach().square().sum()
    assert float(apart) < 2 * float(torch.cov(a.detach().T).trace() / 16 * 2)


def test_one_face_has_no_covariance() -> None:
    with pytest.raises(UsageError, match="batch of two"):
        code_moments(torch.zeros(1, 3), torch.zeros(4, 3))
    assert math.isfinite(float(code_moments(torch.zeros(2, 3), torch.zeros(2, 3))))


def test_a_critic_that_can_only_guess_gives_log_two() -> None:
    torch.manual_seed(0)
    critic = CodeCritic(6)
    code = _codes(5, 4, 6)
    last = critic.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
    assert float(code_adversary(critic, code, code)) == pytest.approx(math.log(2))
    with torch.no_grad():
        last.bias.fill_(1.5)
    expected = (math.log1p(math.exp(1.5)) + math.log1p(math.exp(-1.5))) / 2
    assert float(code_adversary(critic, code, code)) == pytest.approx(expected)


def test_critic_and_encoder_pull_against_each_other() -> None:
    torch.manual_seed(0)
    critic = CodeCritic(6)
    a, b = (_codes(6, 8, 6) + 1).requires_grad_(), (_codes(7, 8, 6) - 1).requires_grad_()
    loss = code_adversary(critic, a, b)
    loss.backward()
    step = 1e-2
    with torch.no_grad():
        assert a.grad is not None and b.grad is not None
        moved = code_adversary(critic, a - step * a.grad, b - step * b.grad)
        assert float(moved) > float(loss)
        for parameter in critic.parameters():
            assert parameter.grad is not None
            parameter -= step * parameter.grad
        assert float(code_adversary(critic, a, b)) < float(loss)


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """Distance of the means over the spread around them."""
    spread = (torch.cov(a.T).trace() + torch.cov(b.T).trace()) / 2
    return float((a.mean(0) - b.mean(0)).norm() / spread.sqrt())


def test_the_game_makes_two_people_hard_to_tell_apart() -> None:
    torch.manual_seed(0)
    critic, encoder = CodeCritic(4), torch.nn.Linear(4, 4)
    # Two people who differ by one number only; the rest is their expression.
    people = torch.tensor([2.0, 0, 0, 0]), torch.tensor([-2.0, 0, 0, 0])
    optimiser = torch.optim.Adam([*critic.parameters(), *encoder.parameters()], lr=2e-3)
    measured = []
    for step in range(400):
        a, b = (encoder(_codes(2 * step + k, 32, 4) + person) for k, person in enumerate(people))
        measured.append(_apart(a.detach(), b.detach()))
        optimiser.zero_grad()
        code_adversary(critic, a, b).backward()
        optimiser.step()
    assert np.mean(measured[-50:]) < 0.5 * measured[0]


def test_a_code_that_comes_around_costs_nothing_and_none_costs_one() -> None:
    code, again = _codes(8, 6, 4) * 3 + 1, _codes(9, 6, 4)
    assert float(code_cycle(code, code)) == 0
    assert float(code_cycle(0 * code, code)) == pytest.approx(1)
    # Worked out in NumPy; and whatever the codes' length.
    wanted = code.double().numpy()
    expected = ((again.double().numpy() - wanted) ** 2).sum() / (wanted**2).sum()
    assert float(code_cycle(again, code)) == pytest.approx(expected, rel=1e-5)
    assert float(code_cycle(again * 50, code * 50)) == pytest.approx(expected, rel=1e-5)
    assert math.isfinite(float(code_cycle(torch.zeros(2, 4), torch.zeros(2, 4))))
    # Codes that all but agree ask for next to nothing.
    alike = code[:1] + 1e-3 * code
    assert float(code_cycle(alike.roll(1, dims=0), alike)) < 1e-4


def test_what_comes_around_follows_the_code_and_not_the_code_it() -> None:
    again, code = _codes(10, 4, 4).requires_grad_(), _codes(11, 4, 4).requires_grad_()
    code_cycle(again, code).backward()
    assert code.grad is None and again.grad is not None
    assert code_cycle(again - 0.5 * again.grad, code).item() < code_cycle(again, code).item()

"""The rules against plain formulas on lists of numbers."""

import numpy as np
import pytest

from mti.stops.plateau import Plateau
from mti.stops.variance import Variance
from mti.types import StopRule, UserError


def falling(steps):
    """A loss that falls ever more slowly, with a little noise, measured at these steps."""
    noise = np.random.default_rng(0).normal(size=len(steps)) * 0.01
    return {step: float(1 + np.exp(-step / 20) + wobble) for step, wobble in zip(steps, noise, strict=True)}


def first(rule, losses):
    """The first step at which a rule holds."""
    return next((step for step in losses if rule({s: loss for s, loss in losses.items() if s <= step})), None)


def test_dvar_is_the_ratio_of_two_variances():
    losses = falling(range(0, 200, 5))
    values = np.array(list(losses.values()))
    ratios = [values[n - 10 : n].var() / values[:n].var() for n in range(11, len(values) + 1)]
    n = next(n for n, ratio in enumerate(ratios, 11) if ratio < 0.15)
    assert 11 < n < len(values)
    assert first(Variance(every=5, window=50), losses) == 5 * (n - 1)


def test_a_plateau_is_where_the_best_of_the_window_is_hardly_better_than_the_best_before_it():
    losses = falling(range(0, 200, 5))
    values = list(losses.values())
    gains = [1 - min(values[n - 10 : n]) / min(values[: n - 10]) for n in range(11, len(values) + 1)]
    n = next(n for n, gain in enumerate(gains, 11) if gain <= 0.05)
    assert 11 < n < len(values)
    assert first(Plateau(every=5, window=50, below=0.05), losses) == 5 * (n - 1)


@pytest.mark.parametrize("rule", [Variance(2, 10), Plateau(2, 10)])
def test_no_rule_holds_before_it_can_look_back_and_each_holds_on_a_flat_line(rule):
    assert isinstance(rule, StopRule)
    assert first(rule, dict.fromkeys(range(0, 40, 2), 1.0)) == 10
    assert first(rule, dict.fromkeys(range(0, 10, 2), 1.0)) is None


def test_a_steady_fall_and_not_a_number_go_on():
    steady = {step: 1 - step / 1000 for step in range(0, 200, 5)}
    assert first(Plateau(5, 50), steady) is None
    assert first(Variance(5, 50), {step: float("nan") for step in steady}) is None


def test_a_window_of_less_than_two_measurements_is_refused():
    with pytest.raises(UserError, match=r"stop.window=9: expected at least 10, .* every 5 updates \(stop.every\)"):
        Plateau(every=5, window=9)

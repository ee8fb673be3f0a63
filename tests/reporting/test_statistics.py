import numpy as np
import pytest

from mti.reporting.statistics import (
    Measured,
    bootstrap_weights,
    differences,
    equal_weights,
    estimate,
    estimates,
    interval,
    paired_estimates,
    smoothed,
    steps_to_reach,
    steps_to_star,
)

CELLS = [(picture, seed) for picture in ("bird", "cup", "mug", "teapot", "sneaker", "maraca") for seed in (0, 1)]
STEPS = np.array([0, 50, 100])


def hard_pictures(**falls):
    """Curves that fall evenly, on top of each picture's own, much larger level."""
    levels = np.repeat(np.arange(len(CELLS) // 2.0), 2)[:, None]
    values = {name: levels + 1 - fall * STEPS[None] / 100 for name, fall in falls.items()}
    return Measured(STEPS, CELLS, values)


def test_every_picture_counts_the_same_whatever_its_seeds():
    cells = [("cup", 0), ("cup", 1), ("cup", 2), ("teapot", 0)]
    np.testing.assert_allclose(equal_weights(cells), [1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_replicates_are_means_over_drawn_pictures():
    weights = bootstrap_weights(CELLS, 500)
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights.mean(0), equal_weights(CELLS), atol=0.01)
    np.testing.assert_array_equal(weights, bootstrap_weights(CELLS, 500))
    per_picture = weights.reshape(500, -1, 2).sum(2) * 6
    np.testing.assert_allclose(per_picture, per_picture.round(), atol=1e-12)


def test_the_mean_of_normal_cells_is_as_uncertain_as_theory_says():
    cells = [(str(i), 0) for i in range(40)]
    values = np.random.default_rng(0).normal(3, 1, (40, 1))
    mean, low, high = estimate(values, cells, bootstrap_weights(cells))
    expected = 1.96 * values.std() / np.sqrt(40)
    assert mean == pytest.approx(values.mean())
    assert mean - low == pytest.approx(expected, rel=0.1)
    assert high - mean == pytest.approx(expected, rel=0.1)


def test_most_intervals_contain_the_true_value():
    cells = [(str(i), 0) for i in range(12)]
    weights = bootstrap_weights(cells, 500)
    draws = np.random.default_rng(1).normal(3, 1, (300, 12, 1))
    bounds = [estimate(values, cells, weights) for values in draws]
    covered = np.mean([low[0] <= 3 <= high[0] for _, low, high in bounds])
    assert 0.87 < covered < 0.96  # a little below 0.95 with so few pictures, as percentile intervals are


def test_pairing_takes_the_pictures_own_levels_out():
    measured = hard_pictures(star=0.2, caption=0.5)
    weights = bootstrap_weights(CELLS)
    plain, paired = estimates(measured, weights)["caption"], paired_estimates(measured, weights)["caption"]
    difference = differences(measured, weights, "star")
    assert list(difference) == ["caption"]
    np.testing.assert_allclose(difference["caption"], np.array([[0, -0.15, -0.3]] * 3), atol=1e-12)
    np.testing.assert_allclose(paired.mean, plain.mean)
    np.testing.assert_allclose(paired.high - paired.low, 0, atol=1e-12)
    assert (plain.high - plain.low > 1).all()


def test_seeds_alone_are_drawn_of_a_single_picture():
    cells = [("cup", 0), ("cup", 1)]
    _, low, high = estimate(np.array([[1.0], [3.0]]), cells, bootstrap_weights(cells))
    assert (low, high) == (1, 3)


def test_a_single_cell_has_no_interval():
    cells = [("cup", 0)]
    mean, low, high = estimate(np.array([[2.0]]), cells, bootstrap_weights(cells, 10))
    assert mean == 2
    assert np.isnan([low, high]).all()


def test_the_interval_takes_never_for_late():
    low, high = interval(np.array([1.0, 2.0, 3.0, np.inf]))
    assert (low, high) == (1, np.inf)


@pytest.mark.parametrize(
    ("level", "step"), [(2.0, 0), (1.0, 0), (0.75, 25), (0.5, 50), (0.45, 60), (0.25, 100), (0.2, np.inf)]
)
def test_a_level_is_reached_on_the_straight_line_between_points(level, step):
    assert steps_to_reach(STEPS, np.array([1.0, 0.5, 0.25]), level) == pytest.approx(step)


def test_steps_to_star_are_those_of_the_mean_curves():
    found = steps_to_star(hard_pictures(star=0.2, multistar=0.4, caption=0.1), bootstrap_weights(CELLS))
    np.testing.assert_allclose(found["multistar"], [50, 50, 50])
    np.testing.assert_array_equal(found["caption"], [np.inf, np.inf, np.inf])
    assert list(found) == ["multistar", "caption"]


def test_smoothing_keeps_a_constant_and_averages_noise():
    np.testing.assert_allclose(smoothed(np.full(9, 2.0), 5), 2)
    np.testing.assert_allclose(smoothed(np.array([1.0, 2.0, 4.0]), 1), [1, 2, 4])
    np.testing.assert_allclose(smoothed(np.array([1.0, 2.0]), 2), [1, (0.25 + 1) / 0.75])
    noise = np.random.default_rng(0).normal(size=2000)
    assert smoothed(noise, 50)[100:].std() == pytest.approx(np.sqrt(1 / 99), rel=0.3)

import numpy as np
import pytest

from mti.reporting.statistics import (
    FEWEST,
    Measured,
    difference,
    estimate,
    estimates,
    lower_on,
    paired_estimates,
    picture_means,
    smoothed,
    steps_to,
    steps_to_reach,
)

CELLS = [(picture, seed) for picture in ("bird", "cup", "mug", "teapot", "sneaker", "maraca") for seed in (0, 1)]
STEPS = np.array([0, 50, 100])


def hard_pictures(**falls):
    """Curves that fall evenly, on top of each picture's own, much larger level."""
    levels = np.repeat(np.arange(len(CELLS) // 2.0), 2)[:, None]
    values = {name: levels + 1 - fall * STEPS[None] / 100 for name, fall in falls.items()}
    return Measured(STEPS, CELLS, values)


def test_every_picture_counts_the_same_whatever_its_seeds():
    cells = [("cup", 0), ("teapot", 0), ("cup", 1), ("cup", 2)]
    means = picture_means(np.array([[1.0], [10.0], [2.0], [3.0]]), cells)
    np.testing.assert_allclose(means, [[2], [10]])
    assert estimate(means).mean == 6


def test_the_interval_is_students():
    mean, low, high = estimate(np.array([[1.0], [2.0], [3.0]]))
    assert mean == 2
    assert (high - mean, mean - low) == pytest.approx((4.302653 / np.sqrt(3),) * 2)


def normal(source, pictures):
    return source.normal(size=(2000, pictures))


def skewed(source, pictures):
    """A lognormal, less its mean."""
    return source.lognormal(0, 0.5, size=(2000, pictures)) - np.exp(0.125)


@pytest.mark.parametrize(
    ("pictures", "level", "least"),
    [
        (24, normal, 0.94),
        (12, normal, 0.94),
        (4, normal, 0.94),
        (3, normal, 0.94),
        (12, skewed, 0.92),
        (4, skewed, 0.91),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_promise(pictures, level, least):
    """Pictures × 2 seeds of a known mean, 0: a percentile bootstrap held it in 91 % at 12 pictures, in 81 % at 4."""
    source = np.random.default_rng(pictures)
    values = level(source, pictures)[..., None] + source.normal(0, 0.5, size=(2000, pictures, 2))
    cells = [(str(i), seed) for i in range(pictures) for seed in (0, 1)]
    _, low, high = estimate(picture_means(values.reshape(2000, -1).T, cells))
    assert least < np.mean((low <= 0) & (high >= 0)) < 0.965


@pytest.mark.parametrize("pictures", [12, 4])
def test_intervals_of_steps_hold_the_truth_as_often_as_they_promise(pictures):
    """Two curves with pictures' own levels and gains; the mean curves truly meet star's end at step 50."""
    source, steps, held = np.random.default_rng(pictures), np.arange(0, 201, 10), []
    fall = 1 - 2.0 ** (-steps / 50)
    for _ in range(500):
        own = source.normal(size=(3, pictures, 1)) * np.array([1, 0.1, 0.1])[:, None, None]
        star, caption = own[0] + (1 + own[1]) * 0.5 * fall / fall[-1], own[0] + (1 + own[2]) * fall
        cells = [(str(i), 0) for i in range(pictures)]
        _, low, high = steps_to(Measured(steps, cells, {"star": -star, "caption": -caption}), "caption", "star")
        held.append(low <= 50 <= high)
    assert 0.92 < np.mean(held) < 0.98


@pytest.mark.parametrize("pictures", range(1, FEWEST))
def test_too_few_pictures_have_no_interval(pictures):
    cells = [(str(i), seed) for i in range(pictures) for seed in (0, 1)]
    values = np.arange(2.0 * 2 * pictures).reshape(-1, 2)
    mean, low, high = estimate(picture_means(values, cells))
    assert np.isfinite(mean).all()
    assert np.isnan([low, high]).all()
    measured = Measured(np.array([0, 1]), cells, {"star": values, "caption": values - 1})
    assert np.isnan(paired_estimates(measured)["star"].low).all()
    assert np.isnan(steps_to(measured, "caption", "star").high)


def test_pairing_takes_the_pictures_own_levels_out():
    measured = hard_pictures(star=0.2, caption=0.5)
    plain, paired = estimates(measured)["caption"], paired_estimates(measured)["caption"]
    np.testing.assert_allclose(difference(measured, "caption", "star"), np.array([[0, -0.15, -0.3]] * 3), atol=1e-12)
    np.testing.assert_allclose(paired.mean, plain.mean)
    np.testing.assert_allclose(paired.high - paired.low, 0, atol=1e-12)
    assert (plain.high - plain.low > 1).all()


def test_paired_intervals_are_as_wide_as_independent_series_own():
    """Morey's correction: where pairing explains nothing, nothing is gained by it."""
    source = np.random.default_rng(0)
    cells = [(str(i), 0) for i in range(4000)]
    measured = Measured(np.array([0]), cells, {name: source.normal(size=(4000, 1)) for name in "ab"})
    whole, paired = estimates(measured)["a"], paired_estimates(measured)["a"]
    assert paired.high - paired.low == pytest.approx(whole.high - whole.low, rel=0.03)
    alone = paired_estimates(measured.of(["a"]))["a"]
    np.testing.assert_allclose(alone, whole)


def test_wins_are_counted_by_pictures_at_the_last_step():
    cells = [("cup", 0), ("cup", 1), ("mug", 0), ("pot", 0)]
    star, caption = np.ones((4, 2)), np.array([[9, 0.0], [9, 1.5], [9, 1.5], [9, 1]])
    measured = Measured(np.array([0, 1]), cells, {"star": star, "caption": caption})
    assert lower_on(measured, "caption", "star") == 1
    assert lower_on(measured, "star", "caption") == 1


@pytest.mark.parametrize(
    ("level", "step"), [(2.0, 0), (1.0, 0), (0.75, 25), (0.5, 50), (0.45, 60), (0.25, 100), (0.2, np.inf)]
)
def test_a_level_is_reached_on_the_straight_line_between_points(level, step):
    assert steps_to_reach(STEPS, np.array([1.0, 0.5, 0.25]), level) == pytest.approx(step)


def test_steps_to_a_baseline_are_those_of_the_mean_curves():
    measured = hard_pictures(star=0.2, multistar=0.4, caption=0.1)
    np.testing.assert_allclose(steps_to(measured, "multistar", "star"), [50, 50, 50])
    np.testing.assert_array_equal(steps_to(measured, "caption", "star"), [np.inf, np.inf, np.inf])


def test_smoothing_keeps_a_constant_and_averages_noise():
    np.testing.assert_allclose(smoothed(np.full(9, 2.0), 5), 2)
    np.testing.assert_allclose(smoothed(np.array([1.0, 2.0, 4.0]), 1), [1, 2, 4])
    np.testing.assert_allclose(smoothed(np.array([1.0, 2.0]), 2), [1, (0.25 + 1) / 0.75])
    noise = np.random.default_rng(0).normal(size=2000)
    assert smoothed(noise, 50)[100:].std() == pytest.approx(np.sqrt(1 / 99), rel=0.3)

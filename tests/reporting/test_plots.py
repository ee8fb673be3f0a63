import numpy as np
import pytest
from matplotlib.colors import to_hex

from mti.reporting import plots, style
from mti.reporting.statistics import Estimate, Measured, bootstrap_weights

CELLS = [("cup", 0), ("cup", 1), ("teapot", 0)]
STEPS = np.array([0, 50, 100])


@pytest.fixture
def measured():
    falls = {"star": 0.2, "multistar": 0.4, "caption": 0.5}
    return Measured(STEPS, CELLS, {name: np.tile(1 - fall * STEPS / 100, (3, 1)) for name, fall in falls.items()})


def lines(axes):
    """The drawn curves of more than two points, by colour."""
    return {to_hex(line.get_color()): line.get_ydata() for line in axes.lines if len(line.get_xdata()) > 2}


def words(axes):
    return {text.get_text(): text.get_position()[1] for text in axes.texts}


def test_a_curve_has_its_initializers_color_and_name_at_its_end(measured):
    _figure, panels = style.new(1)
    plots.curves(panels[0, 0], measured, bootstrap_weights(CELLS, 50), {"empty prompt": 1.2, "wrong caption": 9.0})
    drawn = lines(panels[0, 0])
    for name, values in measured.values.items():
        np.testing.assert_allclose(drawn[style.INITIALIZERS[name]], values[0])
    assert words(panels[0, 0]).keys() == {"star", "multistar", "caption", "empty prompt", "↑ wrong caption, 9.000"}
    assert 1.2 in [line.get_ydata()[0] for line in panels[0, 0].lines]
    assert panels[0, 0].get_ylim()[1] < 2


def test_differences_have_star_as_their_zero(measured):
    _figure, panels = style.new(1)
    plots.differences_to_star(panels[0, 0], measured, bootstrap_weights(CELLS, 50))
    drawn = lines(panels[0, 0])
    np.testing.assert_allclose(drawn[style.INITIALIZERS["caption"]], [0, -0.15, -0.3])
    assert words(panels[0, 0]).keys() == {"star", "multistar", "caption"}


def test_training_loss_is_drawn_raw_and_smoothed_over_25_steps(measured):
    noise = np.random.default_rng(0).normal(size=(3, 200))
    training = Measured(np.arange(200), CELLS, {"star": noise})
    figure = plots.loss(training, measured, bootstrap_weights(CELLS, 50), {})
    raw, smooth = (line.get_ydata() for line in figure.axes[0].lines)
    np.testing.assert_allclose(raw, (noise[0] + noise[1]) / 4 + noise[2] / 2)
    assert smooth[100:].std() < raw[100:].std() / 3


def test_per_picture_has_a_panel_for_each_with_its_mean_over_seeds(measured):
    measured.values["star"][1] += 2
    figure = plots.per_picture(measured, {})
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert titles == ["cup", "teapot"]
    np.testing.assert_allclose(lines(figure.axes[0])[style.INITIALIZERS["star"]], [2, 1.9, 1.8])


def test_a_level_that_is_never_reached_is_said_so():
    never = Estimate(np.array(np.inf), np.array(np.inf), np.array(np.inf))
    figure = plots.steps_to_star({"class": never}, 200)
    assert "not within the run" in words(figure.axes[0])
    assert "1,218" in words(figure.axes[1])

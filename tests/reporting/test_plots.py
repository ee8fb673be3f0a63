import numpy as np
import pytest
from matplotlib.colors import to_hex

from mti.reporting import paper, plots, style
from mti.reporting.metrics import Metric
from mti.reporting.statistics import Estimate, Measured

CELLS = [("cup", 0), ("cup", 1), ("teapot", 0)]
BASELINES = {"multistar": "star", "caption": "star"}
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
    plots.curves(panels[0, 0], measured, {"empty prompt": 1.2, "wrong caption": 9.0})
    drawn = lines(panels[0, 0])
    for name, values in measured.values.items():
        np.testing.assert_allclose(drawn[style.INITIALIZERS[name]], values[0])
    assert words(panels[0, 0]).keys() == {"star", "multistar", "caption", "empty prompt", "↑ wrong caption, 9"}
    assert 1.2 in [line.get_ydata()[0] for line in panels[0, 0].lines]
    assert panels[0, 0].get_ylim()[1] < 2


def test_differences_have_star_as_their_zero(measured):
    _figure, panels = style.new(1)
    plots.differences(panels[0, 0], measured, BASELINES)
    drawn = lines(panels[0, 0])
    np.testing.assert_allclose(drawn[style.INITIALIZERS["caption"]], [0, -0.15, -0.3])
    assert words(panels[0, 0]).keys() == {"star", "multistar", "caption"}


def test_training_loss_is_drawn_raw_and_smoothed_over_25_steps(measured):
    noise = np.random.default_rng(0).normal(size=(3, 200))
    training = Measured(np.arange(200), CELLS, {"star": noise})
    figure = plots.loss(training, measured, BASELINES, {})
    raw, smooth = (line.get_ydata() for line in figure.axes[0].lines)
    np.testing.assert_allclose(raw, (noise[0] + noise[1]) / 4 + noise[2] / 2)
    assert smooth[100:].std() < raw[100:].std() / 3


def test_per_picture_has_a_panel_for_each_with_its_mean_over_seeds(measured):
    measured.values["star"][1] += 2
    figure = plots.per_picture(measured, ["cup", "teapot"])
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert titles == ["cup", "teapot"]
    np.testing.assert_allclose(lines(figure.axes[0])[style.INITIALIZERS["star"]], [2, 1.9, 1.8])


def test_a_level_that_is_never_reached_is_said_so():
    never = Estimate(np.array(np.inf), np.array(np.inf), np.array(np.inf))
    figure = plots.steps_to_baseline({"class": never}, 200, "star")
    assert "not within the run" in words(figure.axes[0])
    assert "1,218" in words(figure.axes[1])


def test_series_are_told_apart_without_colors(measured):
    _figure, panels = style.new(1)
    plots.curves(panels[0, 0], measured, {})
    drawn = [line for line in panels[0, 0].lines if len(line.get_xdata()) > 2]
    assert len({str(line._unscaled_dash_pattern) for line in drawn}) == 3
    assert len({line.get_marker() for line in drawn}) == 3


@pytest.mark.parametrize("width", [style.PAGE, style.COLUMN])
def test_figures_are_as_wide_as_a_page_or_a_column_with_panels_below_each_other(measured, width):
    for figure in (
        plots.loss(None, measured, BASELINES, {}, width),
        plots.metric(measured, Metric("LPIPS", "", "lower"), {}, width),
        plots.ablation({"LPIPS": measured, "SIFID": measured}, width),
        plots.per_picture(measured, ["cup", "teapot"], width),
    ):
        assert figure.get_size_inches()[0] == width
        lefts = {round(axes.get_subplotspec().colspan.start) for axes in figure.axes}
        assert (len(lefts) == 1) == (width == style.COLUMN)


def test_a_wide_band_leaves_the_curves_their_room(measured):
    cells = [(str(i), 0) for i in range(3)]
    values = {name: np.array([[-50.0], [0], [50]]) + curve[0] for name, curve in measured.values.items()}
    _figure, panels = style.new(1)
    plots.curves(panels[0, 0], Measured(STEPS, cells, {"star": values["star"]}), {})
    bottom, top = panels[0, 0].get_ylim()
    assert top - bottom == pytest.approx(0.4)


def test_the_papers_curves_are_those_of_its_figure():
    steps, found = paper.curves()
    assert (steps[0], steps[-1]) == (0, 4950)
    for name, step in paper.TIMES.items():  # between two of the file's steps
        before, after = found[name][steps <= step][-3:].mean(), found[name][steps > step][:3].mean()
        assert after < found["star"][-1] < before

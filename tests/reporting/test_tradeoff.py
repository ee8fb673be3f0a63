import numpy as np
import pytest
from matplotlib.colors import to_hex
from run_folders import curve, finish

from mti.report import report
from mti.reporting import style, tradeoff
from mti.reporting.charts import Charts
from mti.reporting.collection import collect

PICTURES = ("cup", "mug", "pot")
FOLLOWED = {"star": (0.25, 0.125), "caption": (0.75, 0.5)}  # after 25 and 100 steps


def runs(root, measured=None, pictures=PICTURES, **more):
    """Runs of star and caption with LPIPS at every step, and other metrics at steps of their own."""
    for init, (first, last) in FOLLOWED.items():
        for i, picture in enumerate(pictures):
            folder = finish(root, picture, init, picture=i, **more)
            for name, steps in (measured or {"followed_pocket": (25, 100)}).items():
                for step, value in zip(steps, (first, last), strict=False):
                    folder.record(step, {f"eval/{name}": value})
            folder.flush()
    return collect(root)


def test_the_first_pair_that_two_steps_have_is_taken(tmp_path):
    found = runs(
        tmp_path, {"clip_t": (25, 100), "clip_t_pocket": (0, 25), "followed_pocket": (100,), "clip_i": (0, 25)}
    )
    pair = tradeoff.tradeoff(found)
    assert pair.names == ("eval/clip_t", "eval/lpips_pocket")
    assert pair.steps == [25, 100]
    across, up = pair.estimates()["caption"]
    assert across.mean.tolist() == [0.75, 0.5]
    assert up.mean.tolist() == pytest.approx([curve("caption", 1, step) / 2 for step in (25, 100)])


@pytest.mark.parametrize("measured", [{"clip_i": (0, 25)}, {"followed_pocket": (50,)}, {"brightness": (0, 25)}])
def test_without_two_steps_of_both_kinds_there_is_no_figure(tmp_path, measured):
    assert tradeoff.tradeoff(runs(tmp_path, measured)) is None
    assert "editability" not in Charts(collect(tmp_path)).of()
    found = report(tmp_path, tmp_path / "report")
    assert found["editability"] is None
    assert "editability" not in found["figures"]


def test_what_a_metric_says_of_itself_counts_and_the_known_come_first(tmp_path):
    values = {
        **{name: {"label": name, "better": "lower", "about": "editability"} for name in ("clip_t", "away")},
        "lpips_pocket": {"label": "not so", "about": ""},
        "near": {"label": "near", "better": "higher", "about": "fidelity"},
    }
    steps = (0, 25)
    measured = {"away": steps, "clip_t": steps, "near": steps}
    pair = tradeoff.tradeoff(runs(tmp_path, measured, metrics={"mine": {"values": values}}))
    assert pair.names == ("eval/clip_t", "eval/lpips_pocket")
    assert pair.about[0].better == "lower"


def test_better_is_up_and_to_the_right_and_the_steps_stand_beside_the_points(tmp_path):
    with style.styled():
        axes = tradeoff.draw(tradeoff.tradeoff(runs(tmp_path))).axes[0]
    assert (axes.xaxis_inverted(), axes.yaxis_inverted()) == (False, True)
    assert axes.get_xlabel() == "followed (pocket)"  # of which no record says what is better
    assert axes.get_ylabel() == "LPIPS (pocket) → better"
    lines = {
        to_hex(line.get_color()): line.get_xydata()
        for line in axes.lines
        if line.get_marker() == "None" and line.get_alpha() == 0.75
    }
    for init, followed in FOLLOWED.items():
        lpips = [curve(init, 1, step) / 2 for step in (25, 100)]
        np.testing.assert_allclose(lines[style.INITIALIZERS[init]], np.stack([followed, lpips], 1))
    assert sorted(text.get_text() for text in axes.texts) == ["100", "100", "25", "25"]


def test_crosses_are_paired_intervals_and_not_there_for_few_pictures(tmp_path):
    def crosses(found):
        axes = tradeoff.draw(tradeoff.tradeoff(found)).axes[0]
        return [line.get_xydata() for line in axes.lines if line.get_alpha() == 0.35]

    every = crosses(runs(tmp_path / "three"))
    assert len(every) == 4
    np.testing.assert_allclose(every[1], [[0.125, 0.9], [0.125, 0.9]], atol=1e-6)  # the pictures differ alike
    assert crosses(runs(tmp_path / "two", pictures=PICTURES[:2])) == []


@pytest.mark.parametrize("width", [style.PAGE, style.COLUMN])
def test_a_single_series_that_does_not_move_is_drawn_too(tmp_path, width):
    for picture in PICTURES:
        folder = finish(tmp_path, picture, "star")
        for step in (0, 25):
            folder.record(step, {"eval/clip_t": 0.0, "eval/lpips": 0.0})
        folder.flush()
    pair = tradeoff.tradeoff(collect(tmp_path))
    assert pair.names[1] == "eval/lpips_pocket"
    figure = tradeoff.draw(pair, width)
    assert figure.get_size_inches()[0] == width
    low, high = figure.axes[0].get_xlim()
    assert low < 0 < high


def test_a_number_stands_where_it_covers_nothing():
    line = np.array([[0.0, 0], [1, 0], [2, 0]])
    ink = np.stack([np.linspace(0, 2, 101), np.zeros(101)], 1)
    placed = {(name, i): way for name, i, way in tradeoff.places({"a": line}, ["0", "10", "100"], ink)}
    assert placed.keys() == {("a", 0), ("a", 1), ("a", 2)}
    assert all(abs(up) > 0.05 for _, up in (placed["a", 1], placed["a", 2]))
    wall = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 31), np.linspace(-0.3, 0.3, 31)), -1).reshape(-1, 2)
    left = {i for _, i, _ in tradeoff.places({"a": line}, ["0", "10", "100"], np.concatenate([ink, wall]))}
    assert left == {1, 2}


def test_two_numbers_do_not_lie_on_each_other():
    points = {name: np.array([[0.0, 0], [x, 0.0]]) for name, x in {"a": 1.0, "b": 1.02}.items()}
    ink = np.concatenate(list(points.values()))
    middles = [points[name][i] + way for name, i, way in tradeoff.places(points, ["0", "100"], ink)]
    for i, one in enumerate(middles):
        for other in middles[:i]:
            assert abs(one[0] - other[0]) > 0.05 or abs(one[1] - other[1]) > 0.08


def test_the_report_has_the_figure_and_the_page_its_chart(tmp_path):
    (chart,) = Charts(runs(tmp_path / "in")).of()["editability"]
    (line, end) = [trace for trace in chart.data if trace["name"] == "caption"]
    assert (line["x"], line["customdata"]) == ([0.75, 0.5], [25, 100])
    assert line["marker"]["symbol"] == ["circle-open", "circle"]
    assert (end["x"], end["customdata"]) == ([0.5], [100])
    assert end["y"] == pytest.approx([curve("caption", 1, 100) / 2])
    assert "autorange" not in chart.layout["xaxis"]
    assert chart.layout["yaxis"]["autorange"] == "reversed"
    found = report(tmp_path / "in", tmp_path / "out")
    pair = {"editability": "eval/followed_pocket", "fidelity": "eval/lpips_pocket", "steps": [25, 100]}
    assert found["editability"] == pair
    assert "editability" in found["figures"]
    assert (tmp_path / "out" / "editability.png").stat().st_size > 5000

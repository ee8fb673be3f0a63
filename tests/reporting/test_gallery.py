from run_folders import finish, sweep

from mti.reporting.collection import collect
from mti.reporting.gallery import figures


def test_no_two_figures_have_one_name(tmp_path):
    folder = finish(tmp_path, "cup", "star")
    for step in (0, 25, 50, 100):
        folder.record(step, {"eval/loss": 1.0, "eval/LOSS": 1.0, "eval/lpips": 2.0, "eval/a/b": 1.0, "eval/a b": 2.0})
    folder.flush()
    names = [one.name for one in figures(collect(tmp_path))]
    assert len({name.lower() for name in names}) == len(names) == 8
    assert all("/" not in name for name in names)


def test_a_setting_of_a_sweep_has_figures_too(tmp_path):
    for rate in (0.1, 0.2):
        sweep(tmp_path, inits=("caption",), name=f"+{rate}", training={"learning_rate": rate}, pictures=True)
    names = [one.name for one in figures(collect(tmp_path))]
    assert any(name.startswith("steps_to_training.learning_rate_0.1") for name in names)
    assert any(name.startswith("personalization_training.learning_rate_0.1") for name in names)
    assert "ablation" not in names


def test_the_ablation_calls_metrics_as_their_records_do(tmp_path):
    sweep(tmp_path, seeds=(0,), metrics={"lpips_pocket": {"label": "How near", "better": "lower"}})
    (ablation,) = [one for one in figures(collect(tmp_path)) if one.name == "ablation"]
    drawn = ablation.draw(7.0)
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["LDM MSE", "How near"]

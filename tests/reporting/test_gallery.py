import pytest
from run_folders import finish, sweep

from mti.reporting.collection import collect
from mti.reporting.gallery import figures, file_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lpips", "lpips"),
        ("../../x", "x"),
        ("/etc/passwd", "etc_passwd"),
        ("personalization_lr=0.01 <b>", "personalization_lr=0_01_b"),
        ("..", "unnamed"),
        ("\x00\ud800", "unnamed"),
        ("a" * 500, "a" * 80),
        ("茶壶", "unnamed"),
    ],
)
def test_a_file_name_stays_in_its_folder(text, name):
    assert file_name(text) == name


def test_no_two_figures_have_one_name(tmp_path):
    folder = finish(tmp_path, "cup", "star")
    for step in (0, 25, 50, 100):
        folder.record(step, {"eval/loss": 1.0, "eval/LOSS": 1.0, "eval/lpips": 2.0, "eval/a/b": 1.0, "eval/a b": 2.0})
    folder.flush()
    names = [one.name for one in figures(collect(tmp_path))]
    assert names == ["loss", "LOSS_", "a_b", "a_b_", "loss__", "lpips", "lpips_pocket", "per_picture"]


def test_a_setting_of_a_sweep_has_figures_too(tmp_path):
    for rate in (0.1, 0.2):
        sweep(tmp_path, inits=("caption",), name=f"+{rate}", training={"learning_rate": rate}, pictures=True)
    names = [one.name for one in figures(collect(tmp_path))]
    assert "steps_to_baseline" in names
    assert "personalization_training_learning_rate=0_1" in names
    assert "ablation" not in names

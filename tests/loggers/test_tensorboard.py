from logged import ABOUT, log_run, messages
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata

from mti.loggers.tensorboard import TensorBoard


def test_it_has_curves_and_pictures_under_their_prompts(tmp_path):
    log_run(TensorBoard().open(tmp_path, **ABOUT))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/mse")][:2] == [(0, 0.5), (1, 0.25)]
    assert events.Scalars("eval/mse")[0].step == 3
    pictures = {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}
    assert pictures == {
        "learned/picture": [0],
        "learned/mask": [0],
        "samples/a photo of {}": [3],  # two of them, in one picture
        "samples/a {}": [3],
    }
    assert events.Images("samples/a photo of {}")[0].width > events.Images("samples/a {}")[0].width


def test_a_logdir_of_several_runs_has_their_curves_under_one_tag_and_their_hyperparameters(tmp_path):
    for init in ("star", "caption"):
        config = {"init": {"name": init}, "evaluation": {"prompts": ["a {}"]}, "crop": None}
        log_run(TensorBoard().open(tmp_path / "teapot" / init / "s0", **{**ABOUT, "config": config}))
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    names = {f"teapot/{init}/s0/tensorboard" for init in ("star", "caption")}
    assert set(runs.Runs()) == names
    assert {len(runs.Scalars(name, "eval/mse")) for name in names} == {1}
    known = {name: runs.PluginRunToTagToContent(metadata.PLUGIN_NAME)[name] for name in names}
    for name, tags in known.items():
        assert set(tags) == {metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG}
        begin = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
        assert begin.hparams["init.name"].string_value == name.split("/")[1]
        assert begin.hparams["evaluation.prompts"].string_value == "['a {}']"
        assert "crop" not in begin.hparams


def test_a_run_that_cannot_write_is_done_without(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("in the way")
    log_run(TensorBoard().open(tmp_path, **ABOUT))
    (line,) = messages(caplog)
    assert line.startswith("TensorBoard failed (FileExistsError")
    assert line.endswith("teapot, star, seed 0 goes on without it")

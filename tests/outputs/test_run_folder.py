import pytest
import torch
from PIL import Image

from mti.outputs import RunFolder, run_folders
from mti.types import InitialText, UserError


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_what_is_not_there_yet_reads_as_nothing(folder):
    assert folder.metrics() == {}
    assert folder.load_state() is None
    assert folder.summary() is None
    assert not folder.finished
    assert folder.sampled_steps() == []
    assert folder.pictures(0) == []


def test_a_folder_without_a_run_is_named(folder):
    with pytest.raises(UserError, match=r"run/text\.json does not exist: give the folder of a run"):
        folder.read_text()


def test_text_comes_back(folder):
    initial = InitialText("café mug", "model", "a café mug.", {"scores": [0.5, 0.25]})
    folder.write_text(initial, ["café</w>", "mug</w>"])
    assert folder.read_text() == (initial, ["café</w>", "mug</w>"])


def test_the_pictures_of_a_text_lie_beside_it_and_come_back(folder):
    pictures = {"mask": Image.new("1", (5, 4), 1), "crop": Image.new("RGB", (3, 2), "red")}
    folder.write_text(InitialText("pot", "model", "pot", {"score": 0.5}, pictures), ["pot"])
    assert "pictures" not in (folder.path / "text.json").read_text()
    assert sorted(path.name for path in (folder.path / "text").iterdir()) == ["crop.png", "mask.png"]
    read, tokens = folder.read_text()
    assert {name: (picture.size, picture.getpixel((0, 0))) for name, picture in read.pictures.items()} == {
        "mask": ((5, 4), (255, 255, 255)),
        "crop": ((3, 2), (255, 0, 0)),
    }
    folder.write_text(read, tokens)  # as a resumed run does
    assert sorted(path.name for path in (folder.path / "text").iterdir()) == ["crop.png", "mask.png"]


def test_config_comes_back(folder):
    folder.write_config("image: 茶壶\n")
    assert folder.read_config() == {"image": "茶壶"}


def test_metrics_have_a_row_per_step_and_a_column_per_value(folder):
    folder.record(1, {"train/mse": 0.1 + 0.2})
    folder.record(0, {"train/mse": 0.5})
    folder.record(0, {"eval/mse": 0.25})
    assert folder.metrics() == {}
    folder.flush()
    text = (folder.path / "metrics.csv").read_text()
    assert text.splitlines() == ["step,eval/mse,train/mse", "0,0.25,0.5", "1,,0.30000000000000004"]
    assert folder.metrics() == {"eval/mse": {0: 0.25}, "train/mse": {0: 0.5, 1: 0.1 + 0.2}}


def test_resuming_keeps_what_the_state_knows_of(folder):
    for step in range(5):
        folder.record(step, {"train/mse": float(step), "eval/mse": float(step)})
    folder.flush()
    again = RunFolder(folder.path)
    again.resume(2)
    again.record(2, {"train/mse": 20.0})
    again.flush()
    assert again.metrics() == {"eval/mse": {0: 0, 1: 1, 2: 2}, "train/mse": {0: 0, 1: 1, 2: 20}}


def test_resuming_without_metrics_starts_empty(folder):
    folder.resume(3)
    folder.flush()
    assert folder.metrics() == {}


def test_state_comes_back_bit_by_bit_and_brings_the_metrics(folder):
    many = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    folder.record(0, {"eval/mse": 1.0})
    folder.save_state(7, {"embeddings": many[1:3].T, "moment": many[1:3], "step": torch.tensor(7.0)})
    step, tensors = folder.load_state()
    assert step == 7
    assert torch.equal(tensors["embeddings"], many[1:3].T)
    assert torch.equal(tensors["moment"], many[1:3])
    assert tensors["step"] == 7
    assert folder.metrics() == {"eval/mse": {0: 1.0}}


def test_pictures_of_a_step_replace_each_other(folder):
    colors = [(i, 0, 0) for i in range(12)]
    folder.save_pictures(100, [Image.new("RGB", (4, 4), color) for color in colors])
    assert [picture.getpixel((0, 0)) for picture in folder.pictures(100)] == colors
    folder.save_pictures(100, [Image.new("RGB", (4, 4), "white")])
    folder.save_pictures(0, [])
    assert len(folder.pictures(100)) == 1
    assert folder.sampled_steps() == [0, 100]
    assert (folder.path / "samples" / "00100" / "0.png").exists()


def test_the_input_comes_back_small(folder):
    assert folder.input() is None
    folder.save_input(Image.new("RGBA", (1024, 256), (255, 0, 0)))
    assert folder.input().size == (512, 128)
    assert folder.input().getpixel((0, 0)) == (255, 0, 0)


def test_run_folders_are_found_and_not_looked_into(tmp_path):
    for name in ("b/run", "a/run", "a/run/wandb/files", "c"):
        RunFolder(tmp_path / name).write_config("")
    (tmp_path / "d").mkdir()
    assert [folder.path for folder in run_folders(tmp_path)] == [tmp_path / "a/run", tmp_path / "b/run", tmp_path / "c"]
    assert [folder.path for folder in run_folders(tmp_path / "c")] == [tmp_path / "c"]


def test_tokens_come_back(folder):
    embeddings = torch.arange(12.0).view(3, 4)
    folder.write_tokens(embeddings, "<teapot>")
    read, placeholder = folder.read_tokens()
    assert torch.equal(read, embeddings)
    assert placeholder == "<teapot>"


def test_a_closed_run_keeps_what_is_recorded_after(tmp_path):
    folder = RunFolder(tmp_path)
    folder.record(0, {"eval/mse": 1.0})
    folder.flush()
    folder.write_summary({"status": "finished"})
    assert folder.curve("eval/mse") == {0: 1.0}
    folder.record(1, {"eval/mse": 0.5})
    folder.flush()
    assert folder.metrics() == {"eval/mse": {0: 1.0, 1: 0.5}}


def test_only_the_summary_makes_a_run_finished(folder):
    folder.write_summary({"status": "failed", "reason": "non-finite loss"})
    assert not folder.finished
    folder.write_summary({"status": "finished", "eval/mse": 0.25})
    assert folder.finished
    assert folder.summary() == {"status": "finished", "eval/mse": 0.25}


def test_half_written_samples_are_no_samples(folder):
    class Killed(Image.Image):
        def save(self, *_):
            raise RuntimeError("killed")

    picture = Image.new("RGB", (4, 4))
    with pytest.raises(RuntimeError, match="killed"):
        folder.save_pictures(5, [picture, Killed()])
    assert folder.sampled_steps() == []
    folder.save_pictures(5, [picture])
    assert len(folder.pictures(5)) == 1

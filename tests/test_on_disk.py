import huggingface_hub
import pytest
import torch

from mti.on_disk import checkpoint, model_folder
from mti.types import UserError

URL = "https://example.org/net-0123abcd.pth"


@pytest.fixture
def torch_home(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def whole(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (folder / name).touch()
    return folder


def test_a_checkpoint_is_where_torch_keeps_it(torch_home):
    file = torch_home / "hub" / "checkpoints" / "net-0123abcd.pth"
    with pytest.raises(UserError, match=rf"^the net: not found at {file}; .*load_state_dict_from_url\('{URL}'"):
        checkpoint(URL, "the net")
    file.parent.mkdir(parents=True)
    file.touch()
    assert checkpoint(URL, "the net") == file


def test_a_given_checkpoint_is_the_only_one(torch_home, tmp_path):
    given = tmp_path / "mine.pth"
    with pytest.raises(UserError, match=f"^the net: there is no file {given}"):
        checkpoint(URL, "the net", str(given))
    given.touch()
    assert checkpoint(URL, "the net", str(given)) == given


def test_a_whole_folder_is_itself(tmp_path):
    assert model_folder(str(whole(tmp_path)), "the net") == tmp_path


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_folder_says_what_it_lacks(tmp_path, name):
    (whole(tmp_path) / name).unlink()
    with pytest.raises(
        UserError, match=f"^the net: {tmp_path} lacks {name}.*; give the folder of a transformers model"
    ):
        model_folder(str(tmp_path), "the net")


def test_a_hub_name_is_looked_for_in_the_cache_alone(cache):
    with pytest.raises(
        UserError, match=rf"^the net: someone/net is no folder, and not in the cache {cache}; get it with"
    ):
        model_folder("someone/net", "the net")
    snapshot = whole(cache / "models--someone--net" / "snapshots" / "abc")
    (cache / "models--someone--net" / "refs").mkdir()
    (cache / "models--someone--net" / "refs" / "main").write_text("abc")
    assert model_folder("someone/net", "the net") == snapshot


def test_a_half_downloaded_model_says_what_it_lacks(cache):
    snapshot = whole(cache / "models--someone--net" / "snapshots" / "abc")
    (snapshot / "model.safetensors").unlink()
    (cache / "models--someone--net" / "refs").mkdir()
    (cache / "models--someone--net" / "refs" / "main").write_text("abc")
    with pytest.raises(
        UserError, match=r"abc lacks model.safetensors or pytorch_model.bin; get it with `hf download s"
    ):
        model_folder("someone/net", "the net")

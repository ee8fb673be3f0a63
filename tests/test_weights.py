import json
from pathlib import Path

import huggingface_hub
import pytest
import torch

import mti
from mti import weights
from mti.types import UserError
from mti.weights import (
    NETWORK,
    WITH_PREPROCESSING,
    FilesMissing,
    ModelFiles,
    checkpoint,
    file_need,
    hub_need,
    model_folder,
    read_pickle,
    weights_path,
)

URL = "https://example.org/net-0123abcd.pth"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


@pytest.fixture
def torch_home(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty Hugging Face cache and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def whole(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).touch()
    return folder


def snapshot(cache):
    """The folder of someone/net in the cache, whole."""
    model = cache / "models--someone--net"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    return whole(model / "snapshots" / COMMIT)


def test_the_prefix_leads_into_the_package():
    assert weights_path("pocket:captioner") == Path(mti.__file__).parent / "pocket" / "weights" / "captioner"
    assert model_folder("pocket:captioner", NETWORK) == weights_path("pocket:captioner")


def test_other_paths_stay():
    assert weights_path("org/name") == Path("org/name")
    assert weights_path("/folder/pocket:x") == Path("/folder/pocket:x")


def test_a_checkpoint_is_where_torch_keeps_it(torch_home):
    file = torch_home / "hub" / "checkpoints" / "net-0123abcd.pth"
    with pytest.raises(
        UserError, match=rf"^the net: not found at {file}; get it with .*mti\.download.*, or from {URL}$"
    ):
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


@pytest.mark.parametrize("wanted", [NETWORK, WITH_PREPROCESSING])
def test_a_whole_folder_is_itself(tmp_path, wanted):
    assert model_folder(str(whole(tmp_path)), wanted) == tmp_path


@pytest.mark.parametrize("name", FILES)
def test_a_folder_says_what_it_lacks(tmp_path, name):
    (whole(tmp_path) / name).unlink()
    with pytest.raises(
        UserError, match=f"^the net: {tmp_path} lacks {name}.*; give the folder of a transformers model"
    ):
        model_folder(str(tmp_path), WITH_PREPROCESSING, "the net: ")


def test_a_folder_lacks_the_parts_that_its_index_names(tmp_path):
    part = tmp_path / "model-00001-of-00002.safetensors"
    (whole(tmp_path) / "model.safetensors").rename(part)
    index = {"weight_map": {"a": part.name, "b": "model-00002-of-00002.safetensors", "c": part.name}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=f"^{tmp_path} lacks model-00002-of-00002.safetensors; "):
        model_folder(str(tmp_path), NETWORK)


def test_a_hub_name_is_looked_for_in_the_cache_alone(cache, monkeypatch):
    monkeypatch.setattr(weights, "fetch_from_hub", None)
    with pytest.raises(
        UserError,
        match=rf"^the net: someone/net is no folder, and not in the cache {cache}; get it with .*mti\.download",
    ):
        model_folder("someone/net", WITH_PREPROCESSING, "the net: ")
    there = snapshot(cache)
    assert model_folder("someone/net", WITH_PREPROCESSING, "the net: ") == there


def test_a_half_downloaded_model_says_what_it_lacks(cache):
    (snapshot(cache) / "model.safetensors").unlink()
    with pytest.raises(UserError, match=rf"{COMMIT} lacks model.safetensors or pytorch_model.bin; get it with"):
        model_folder("someone/net", WITH_PREPROCESSING)


def test_what_is_whole_in_the_cache_is_not_asked_for(cache, monkeypatch):
    monkeypatch.setattr(weights, "fetch_from_hub", None)
    there = snapshot(cache)
    assert model_folder("someone/net", WITH_PREPROCESSING, download=True) == there


def test_of_what_a_repository_has_the_first_choice_is_read_with_what_belongs_to_it():
    names = ["config.json", "pytorch_model.bin", "model.safetensors", "tf_model.h5", "vocab.txt", "onnx/config.json"]
    assert NETWORK.chosen(names) == ["config.json", "model.safetensors", "vocab.txt"]
    names.remove("model.safetensors")
    assert NETWORK.chosen(names) == ["config.json", "pytorch_model.bin", "vocab.txt"]
    with pytest.raises(FilesMissing, match=r"preprocessor_config\.json or processor_config\.json"):
        WITH_PREPROCESSING.chosen(names)


def test_an_index_brings_its_shards_along():
    files = ModelFiles("a", (("unet/a.safetensors", "unet/a.safetensors.index.json", "unet/a.bin"),))
    shards = [f"unet/a-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert files.chosen(["unet/a.safetensors.index.json", *shards, "unet/b.safetensors"]) == [
        *shards,
        "unet/a.safetensors.index.json",
    ]


def test_what_cannot_be_had_is_one_line_with_the_way_out(cache):
    with pytest.raises(UserError, match=r"^net: someone/net cannot be downloaded: the hub cannot be reached") as error:
        model_folder("someone/net", NETWORK, "net: ", download=True)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"^/no/such/folder is no folder, and no name on the hub; give"):
        model_folder("/no/such/folder", NETWORK, download=True)


def test_a_checkpoint_is_a_need_with_its_hash(torch_home):
    (need,) = file_need("the net", URL)
    assert (need.place, need.is_local) == (torch_home / "hub" / "checkpoints" / "net-0123abcd.pth", False)
    assert need.fetch.args == (URL, need.place, "0123abcd")
    need.place.parent.mkdir(parents=True)
    need.place.touch()
    (need,) = file_need("the net", URL)
    assert need.is_local


def test_needs_know_their_size():
    (need,) = hub_need("CLIP", "openai/clip-vit-base-patch32", NETWORK)
    assert str(need) == "CLIP (0.61 GB) from openai/clip-vit-base-patch32"
    assert hub_need("the captioner", "pocket:captioner", NETWORK) == []
    (need,) = file_need("the segmenter", "https://x.org/sam_vit_b_01ec64.pth", "/tmp/sam.pth", "0" * 64)
    assert need.size == 0.38


def test_a_pickle_gives_tensors_and_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"a": torch.ones(2)}, tmp_path / "good.bin")
    torch.save({"a": Evil()}, tmp_path / "evil.bin")
    assert read_pickle(tmp_path / "good.bin")["a"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="holds more than weights"):
        read_pickle(tmp_path / "evil.bin")
    assert not (tmp_path / "ran").exists()

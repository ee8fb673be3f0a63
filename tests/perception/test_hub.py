import huggingface_hub
import pytest

from mti.perception.hub import model_folder
from mti.types import UserError


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty Hugging Face cache and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_folder_is_itself(tmp_path):
    assert model_folder(str(tmp_path)) == str(tmp_path)


def test_offline_the_cache_is_used(cache):
    model = cache / "models--someone--net"
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "snapshots" / "abc" / "config.json").write_text("{}")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    assert model_folder("someone/net") == str(model / "snapshots" / "abc")


@pytest.mark.parametrize("name", ["someone/net", "/no/such/folder"])
def test_what_cannot_be_had_is_one_line_with_the_way_out(cache, name):
    with pytest.raises(UserError, match=rf"^{name} is no folder.*hf download {name}") as error:
        model_folder(name)
    assert "\n" not in str(error.value)

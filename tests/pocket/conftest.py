import pytest

from mti.pocket.drawing import FONT
from mti.pocket.drawings import draw_all
from mti.pocket.tokenizer import make_tokenizer


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A folder with few drawings of either split."""
    if not FONT.exists():
        pytest.skip("drawing needs Debian's fonts-noto-color-emoji")
    work = tmp_path_factory.mktemp("pocket")
    draw_all(work, processes=1, counts={"train": 200, "test": 40})
    return work


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """The text encoders' tokenizer, from few captions."""
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"), captions=4_000)

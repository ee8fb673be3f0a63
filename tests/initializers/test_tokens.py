from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mti.embeddings import Learned, write_embeddings
from mti.initializers.tokens import Tokens
from mti.types import Concept, UserError

CUP = Concept("cup", ())


def test_the_embeddings_of_a_file_are_where_a_run_starts(tmp_path: Path) -> None:
    embeddings = torch.randn(3, 768)
    (file,) = write_embeddings("a1111", tmp_path / "mug", Learned(embeddings, "<mug>", {"step": "5"}))
    initializer = Tokens(str(file))
    initializer.check(CUP)
    initial = initializer(CUP, str.split)
    assert (initial.text, initial.source, initial.raw) == ("mug", "tokens", str(file))
    assert initial.details == {"step": "5"}
    assert initial.embeddings is not None
    assert torch.equal(initial.embeddings, embeddings)


def test_a_run_folder_is_taken_too(tmp_path: Path) -> None:
    write_embeddings("diffusers", tmp_path / "tokens", Learned(torch.ones(2, 768), "<mug>"))
    initial = Tokens(str(tmp_path))(CUP, str.split)
    assert initial.embeddings is not None
    assert initial.embeddings.shape == (2, 768)


@pytest.mark.parametrize(("path", "words"), [(None, "has no file: give one"), ("gone.pt", "cannot be read as learned")])
def test_what_is_missing_is_told_before_anything_is_loaded(tmp_path: Path, path: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Tokens(path and str(tmp_path / path)).check(CUP)

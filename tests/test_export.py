from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalTokenNotFoundError
from run_folders import finish

from mti import export as exporting
from mti.embeddings import read_embeddings
from mti.export import curve, export, learned_by, main
from mti.outputs import RunFolder
from mti.types import UserError

ROWS = torch.randn(3, 768, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = finish(
        tmp_path,
        "teapot",
        "caption",
        seed=2,
        pictures=True,
        model={"name": "sd15", "path": "stable-diffusion-v1-5/stable-diffusion-v1-5"},
    )
    folder.write_tokens(ROWS, "<teapot>")
    summary = folder.summary() or {}
    folder.write_summary({**summary, "steps": 100})
    return folder.path


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("diffusers", "teapot-caption.safetensors"),
        ("a1111", "teapot-caption.pt"),
        ("comfyui", "teapot-caption.safetensors"),
    ],
)
def test_files_are_named_by_concept_and_start_and_say_what_they_are(run: Path, to: str, name: str) -> None:
    (file,) = export(run, to)
    assert file == run / "export" / name
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    found = read_embeddings(file)
    assert torch.equal(found.embeddings, ROWS)
    about = dict(found.metadata)
    assert about.pop("commit").startswith("mti ")
    assert about.pop("model_path") == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    expected = {"concept": "teapot", "init": "caption", "model": "sd15", "text": "a teapot", "step": "100", "seed": "2"}
    assert about == expected


def test_the_hub_gets_a_folder_with_a_model_card(run: Path, tmp_path: Path) -> None:
    files = export(run, "hub", tmp_path / "out", None)
    folder = tmp_path / "out" / "teapot-caption"
    assert sorted(file.name for file in files) == sorted(path.name for path in folder.iterdir())
    names = {"README.md", "curve.svg", "learned_embeds.safetensors", "teapot-caption.pt", "0.png"}
    assert {file.name for file in files} == names
    card = (folder / "README.md").read_text("utf-8")
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert "They started from `a teapot`; a prompt calls them `<teapot>`." in card
    assert "pipe.load_textual_inversion('your-name/teapot-caption')" in card
    assert "![a photo of it](<0.png>)" in card
    compile(card.split("```python")[1].split("```")[0], "card", "exec")
    assert "<polyline" in (folder / "curve.svg").read_text()


def test_the_folder_is_pushed_where_a_repository_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo, exist_ok: calls.append((repo, exist_ok)))
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, folder_path, repo_id: calls.append((folder_path, repo_id)))
    export(run, "hub", tmp_path, "me/teapot")
    assert calls == [("me/teapot", True), (tmp_path / "teapot-caption", "me/teapot")]

    def refuse(*_: object, **__: object) -> None:
        raise LocalTokenNotFoundError("log in first")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(UserError, match=r"me/teapot cannot be pushed to .*`hf auth login`"):
        export(run, "hub", tmp_path, "me/teapot")


def test_words_of_a_run_stay_words_in_the_card(tmp_path: Path) -> None:
    folder = finish(tmp_path, "teapot", "caption", model={"name": "x`\n# heading", "path": "/folder"})
    folder.write_tokens(ROWS, "<teapot>")
    learned = learned_by(RunFolder(folder.path))
    card = exporting.model_card(learned, "me/x", "x.pt")
    assert "\n# heading" not in card
    assert "base_model" not in card


def test_a_curve_of_nothing_is_empty() -> None:
    assert "polyline" not in curve({})
    assert curve({0: 1.0, 10: 0.5}).count(",") == 2
    assert "polyline" in curve({0: 1.0})


def test_mistakes_are_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ([f"run={run}", "to=kohya"], "to=kohya: expected one of diffusers, a1111, comfyui, hub"),
        (["to=a1111"], "run: expected run=FOLDER to=diffusers|a1111|comfyui|hub"),
        ([f"run={run}", "to=a1111", "wher=x"], "wher: expected run=FOLDER"),
        ([f"run={tmp_path / 'gone'}", "to=a1111"], "gone"),
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
    main([f"run={run}", "to=a1111", f"output={tmp_path}"])
    assert capsys.readouterr().out == f"{tmp_path / 'teapot-caption.pt'}\n"

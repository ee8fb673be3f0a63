import itertools
import os
from pathlib import Path

import pytest
from PIL import Image

from mti.datasets import Folder
from mti.types import UserError


def picture_at(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 16), color).save(path)
    return path


def test_a_folder_as_a_data_set(tmp_path):
    mug = picture_at(tmp_path / "mug.png")
    cats = picture_at(tmp_path / "cat" / "1.png"), picture_at(tmp_path / "cat" / "2.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "concepts.yaml").write_text("cat: {class: cat, caption: a grey cat}")
    own = Folder(root=str(tmp_path))
    assert own.names() == ["mug", "cat"]
    own.check("cat")
    assert own.concept("cat").pictures == cats
    assert own.concept("cat").recorded == {"class": "cat", "caption": "a grey cat"}
    assert own.concept("mug").pictures == (mug,)
    assert own.concept("mug").recorded == {}


def test_a_folders_faults_are_named(tmp_path):
    with pytest.raises(UserError, match=r"dataset\.root=PATH"):
        Folder(None).names()
    with pytest.raises(UserError, match="no such folder"):
        Folder(str(tmp_path / "gone")).check("mug")
    (tmp_path / "mug.png").write_text("no picture")
    with pytest.raises(UserError, match="is no picture"):
        Folder(str(tmp_path)).check("mug")
    picture_at(tmp_path / "mug" / "1.png")
    with pytest.raises(UserError, match="two concepts named mug"):
        Folder(str(tmp_path)).names()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mgu: {class: mug}", "no concept 'mgu'"),
        ("mug: {klass: mug}", "has 'klass', expected {class: …, caption: …"),
        ("mug: a mug", "no mapping, expected {class: …, caption: …"),
        ("mug: {click: here}", r"expected click: \[x, y\]"),
        ("mug: {class: [a, b]}", "the class of 'mug' is no text"),
        ("mug: !!python/object/apply:os.system [ls]", "no mapping"),
        ("- mug", "expected lines like"),
        ("mug: {", "is no YAML"),
    ],
)
def test_a_wrong_record_is_refused(tmp_path, text, words):
    picture_at(tmp_path / "mug.png")
    (tmp_path / "concepts.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as error:
        Folder(str(tmp_path)).names()
    assert "\n" not in str(error.value)


WRITTEN = ["01", "no", "1e3", "null", "~", "true", "2026-11-25", "0x1f", "1_000", "mug.v1", "mug.v2", "茶壶"]


def test_names_are_those_of_the_files_whatever_yaml_takes_them_for(tmp_path):
    for name in WRITTEN:
        picture_at(tmp_path / f"{name}.png")
    lines = [f"{name}: {{caption: {name}, class: {i}, click: [{i}, 1.5]}}" for i, name in enumerate(WRITTEN)]
    (tmp_path / "concepts.yaml").write_text("\n".join(line for line in lines if not line.startswith("~")))
    own = Folder(str(tmp_path))
    assert own.names() == [name if name != "~" else "picture" for name in sorted(WRITTEN)]
    for i, name in enumerate(WRITTEN):
        if name != "~":
            concept = own.concept(name)
            assert concept.name == name
            assert concept.recorded == {"caption": name, "class": str(i)}
            assert concept.click == (i, 1.5)


def test_a_record_is_found_by_the_files_name_or_the_concepts(tmp_path):
    picture_at(tmp_path / "Tasse grün.png")
    picture_at(tmp_path / "it's.png")
    (tmp_path / "concepts.yaml").write_text("Tasse grün: {class: cup}\nit_s: {class: mug}", "utf-8")
    own = Folder(str(tmp_path))
    assert own.concept("Tasse_grün").recorded == {"class": "cup"}
    assert own.concept("Tasse_gru\u0308n").recorded == {"class": "cup"}  # as another keyboard writes it
    assert own.concept("it_s").recorded == {"class": "mug"}


def test_what_a_folder_skips_is_kept_with_its_concept(tmp_path):
    picture_at(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "notes.txt").write_text("mine")
    assert Folder(str(tmp_path)).concept("cat").skipped == {"notes.txt": "no picture"}


def refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_a_record_that_is_a_pipe_or_not_to_be_read(tmp_path, monkeypatch):
    picture_at(tmp_path / "mug.png")
    os.mkfifo(tmp_path / "concepts.yaml")
    with pytest.raises(UserError, match=r"concepts.yaml is no file"):
        Folder(str(tmp_path)).concept("mug")
    (tmp_path / "concepts.yaml").unlink()
    (tmp_path / "concepts.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"concepts.yaml is no YAML"):
        Folder(str(tmp_path)).concept("mug")
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UserError, match=r"concepts.yaml cannot be read \(Permission denied\)"):
        Folder(str(tmp_path)).concept("mug")


def test_a_bomb_of_aliases_is_one_short_line(tmp_path):
    picture_at(tmp_path / "mug.png")
    bomb = [
        "a: &a [x,x,x,x,x,x,x,x,x]",
        *(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise("abcdefghi")),
    ]
    (tmp_path / "concepts.yaml").write_text("\n".join(bomb))
    with pytest.raises(UserError, match="the record of 'a' is no mapping") as error:
        Folder(str(tmp_path)).concept("mug")
    assert len(str(error.value)) < 300


def test_two_names_alike_are_told_apart_or_refused(tmp_path):
    picture_at(tmp_path / "a b.png")
    picture_at(tmp_path / "a_b.png")
    with pytest.raises(UserError, match=r"two concepts named a_b: rename one of a b.png, a_b.png"):
        Folder(str(tmp_path)).names()


def test_the_caption_of_another_is_the_next_recorded_one(tmp_path):
    for name in "abc":
        picture_at(tmp_path / f"{name}.png")
    (tmp_path / "concepts.yaml").write_text("a: {caption: an a}\nc: {caption: a c}")
    own = Folder(str(tmp_path))
    assert own.records() == {"a": {"caption": "an a"}, "b": {}, "c": {"caption": "a c"}}
    assert own.caption_of_another("a") == "a c"
    assert own.caption_of_another("c") == "an a"

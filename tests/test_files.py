import errno
import json
import os
import pickle
import re
import stat

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from mti import files
from mti.files import DamagedFile, atomic, clean, read_bytes, read_json, read_text, safe_name, write_bytes, write_json
from mti.types import UserError

NAMES = [
    *(
        "Tasse grün.png",
        "茶壶.png",
        "it's.png",
        "mug (1), red=2.png",
        "[old] cup.png",
        "#1.png",
        "~/x",
        "../x",
        "/etc/passwd",
    ),
    *(
        "",
        ".",
        "..",
        "...",
        ".hidden",
        "-rf",
        "a\\b",
        "a\0b",
        "a\nb",
        "${oc.env:HOME}",
        "null,true",
        "é" * 200,
        "\udce9.png",
    ),
    *("%", "*", "?", "x" * 300, " ", "_", "{}", "a b", "“quoted”", "ﬁ", "🫖"),
]


@pytest.mark.parametrize("text", NAMES)
def test_any_text_makes_a_name_that_can_be_typed(text):
    name = safe_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*", name)
    assert len(name) <= 120
    (override,) = OverridesParser.create().parse_overrides([f"folder=outputs/{name}/s0"])
    assert override.value() == f"outputs/{name}/s0"


def test_different_texts_have_different_names_and_plain_ones_stay():
    texts = [*NAMES, "coffee_mug", "s0+lr-0.1", "mug.v1", "a-b"]
    assert len({safe_name(text) for text in texts}) == len(texts)
    for text in texts[-4:]:
        assert safe_name(text) == text
    assert safe_name("Tasse grün").startswith("Tasse_grun-")
    assert len(safe_name("x" * 50, longest=20)) == 20


def test_half_written_files_are_never_read(tmp_path):
    def write(text, then=None):
        with atomic(tmp_path / "file.txt") as draft:
            draft.write_text(text)
            if then:
                raise then

    write("old")
    with pytest.raises(RuntimeError, match="killed"):
        write("ne", then=RuntimeError("killed"))
    assert (tmp_path / "file.txt").read_text() == "old"
    write("new")
    assert (tmp_path / "file.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["file.txt"]


def write_folder(path, names):
    with atomic(path) as draft:
        draft.mkdir()
        for name in names:
            (draft / name).write_text(path.name)


def test_at_no_moment_is_a_replaced_folder_or_one_of_its_files_missing(tmp_path, monkeypatch):
    folder = tmp_path / "00005"
    write_folder(folder, ["0", "1", "2"])
    seen = []

    def watch(real):
        def call(*arguments, **keywords):
            seen.append(set(os.listdir(folder)))
            return real(*arguments, **keywords)

        return call

    for name in ("replace", "fsync"):
        monkeypatch.setattr(files.os, name, watch(getattr(os, name)))
    write_folder(folder, ["0", "1"])
    assert len(seen) >= 5
    assert all(names >= {"0", "1"} for names in seen)
    assert sorted(os.listdir(folder)) == ["0", "1"]
    assert os.listdir(tmp_path) == ["00005"]


def test_everything_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    told = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda fd: (told.append(os.readlink(f"/proc/self/fd/{fd}")), sync(fd)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (told.append("rename"), replace(a, b)))
    write_folder(tmp_path / "made" / "x", ["0"])
    draft = tmp_path / "made" / ".x.draft"
    assert told == [str(tmp_path), str(draft / "0"), str(draft), "rename", str(tmp_path / "made")]


def test_others_can_read_as_the_umask_says(tmp_path):
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"")
        write_folder(tmp_path / "folder", ["0"])
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "folder" / "0").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "choose a folder that you"),
        (errno.EROFS, "choose a folder that you"),
    ],
)
def test_a_file_system_that_refuses_is_told_in_a_line(tmp_path, monkeypatch, number, advice):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    write_bytes(tmp_path / "file", b"old")
    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(UserError, match=rf"file cannot be written \({os.strerror(number)}\): {advice}"):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_in_the_way_is_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for path in ("file/x", "folder", "loop/x", "x" * 300):
        with pytest.raises(UserError, match=r"cannot be written \("):
            write_bytes(tmp_path / path, b"")
    with pytest.raises(UserError, match=r"cannot be written \("):
        write_folder(tmp_path / "file", ["0"])
    with pytest.raises(UserError, match=r"/proc/x/y cannot be written \("):
        write_bytes(files.Path("/proc/x/y"), b"")
    assert (tmp_path / "folder").is_dir()


def test_a_bug_stays_a_bug(tmp_path):
    with pytest.raises(OSError, match="cannot write mode"), atomic(tmp_path / "x"):
        raise OSError("cannot write mode RGBA as JPEG")


def test_left_over_drafts_are_cleaned_and_nothing_else(tmp_path):
    for name in (".a.draft", "b.draft", ".lock", "x/.c.draft"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "x" / ".d.draft").mkdir()
    (tmp_path / "x" / ".d.draft" / "0.png").write_text("")
    clean(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [".lock", "b.draft", "x"]


def test_json_has_no_numbers_that_others_cannot_read(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": float("nan"), "b": [float("inf"), 1.5], "c": "茶", "d": "\udce9"})
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read_json(path, "") == {"a": None, "b": [None, 1.5], "c": "茶", "d": "\udce9"}
    path.write_text('{"a": NaN, "b": -Infinity, "c": 1e999}')
    assert read_json(path, "") == {"a": None, "b": None, "c": None}


@pytest.mark.parametrize("content", ["{", "[" * 10**5, "1" * 5000, '"a" "b"', "{'a': 1}", '{"a": 1}\n{'])
def test_what_is_no_json_is_damaged(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DamagedFile, match=r"x\.json is not JSON \(.*\): do this"):
        read_json(path, "do this")


def test_what_cannot_be_read_is_named_and_nothing_blocks(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, fault in {
        "none": "cannot be read",
        "folder": "is not a file",
        "pipe": "is not a file",
        "loop": "cannot",
    }.items():
        with pytest.raises(DamagedFile, match=f"{name} {fault}.*: do this"):
            read_bytes(tmp_path / name, "do this")
    for content, fault in ((b"", "is empty"), (b" \n", "is empty"), (b"\xff", "is not text"), (b"a\0b", "is not text")):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(DamagedFile, match=fault):
            read_text(tmp_path / "x", "")


def test_the_error_travels_between_processes(tmp_path):
    error = pickle.loads(pickle.dumps(DamagedFile(tmp_path, "is empty", "delete it")))
    assert str(error) == f"{tmp_path} is empty: delete it"
    assert isinstance(error, UserError)

import pytest
import yaml

from mti.reporting.reading import plain, read_record, settings
from mti.types import UserError


def test_values_stay_as_they_are_written():
    text = "a: {b: 0x10, c: no, d: '01', e: 1_000, f: null, h: [1, 2], i: [{j: k}], l: {}}\nm: ${oc.env:HOME}"
    assert settings(text, "config.yaml") == {
        "a.b": "0x10",
        "a.c": "no",
        "a.d": "01",
        "a.e": "1_000",
        "a.f": "null",
        "a.h": "[1, 2]",
        "a.i.0.j": "k",
        "m": "${oc.env:HOME}",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "just words",
        "a: [",
        "\x00",
        "a: 1\na: &x [*x",
        "[" * 5000,
        "a: " + "{b: " * 3000,
        "a: &x\n  b: *x",
        yaml.dump({str(i): i for i in range(6000)}),
        "\n".join(["a: &a [x, x, x]", *(f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]" for p, c in zip("abcdefg", "bcdefgh"))]),
    ],
    ids=range(11),
)
def test_what_is_no_configuration_is_told_in_a_line(text):
    with pytest.raises(UserError, match=r"^here/config.yaml holds [^\n]*$"):
        settings(text, "here/config.yaml")


def test_nothing_is_ever_built_from_a_configuration(tmp_path):
    text = f"a: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']"
    assert settings(text, "config.yaml") == {"a": f"[{tmp_path / 'made'}]"}
    assert not (tmp_path / "made").exists()


def test_plain_texts_are_one_line_without_tricks():
    assert plain("a\nb\x1b[31m\u202egnp.exe\ud800\x00") == "a b [31m gnp.exe  "
    assert plain("茶壶 grün 🫖 $x$ <b>") == "茶壶 grün 🫖 $x$ <b>"


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "\x80", '{"a": ' * 100_000])
def test_a_damaged_record_is_named(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"^record.json is damaged$"):
        read_record(path)


def test_records_have_plain_texts(tmp_path):
    path = tmp_path / "record.json"
    assert read_record(path) == {}
    path.write_text('{"a\\n": ["\\ud800b", 1, null, {"c": "d\\r"}]}')
    assert read_record(path) == {"a ": [" b", 1, None, {"c": "d "}]}

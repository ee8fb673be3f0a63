import pytest

from mti.reporting.reading import cleaned, plain, section, settings


def test_settings_are_texts_by_dotted_key():
    config = {"a": {"b": 16, "c": "no", "d": "01", "e": False, "f": None, "g": "${oc.env:HOME}"}, "h": [1, {"i": "j"}]}
    assert settings(config) == {
        "a.b": "16",
        "a.c": "no",
        "a.d": "01",
        "a.e": "false",
        "a.f": "null",
        "a.g": "${oc.env:HOME}",
        "h": '[1, {"i": "j"}]',
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\x1b[31m\u202egnp.exe\ud800\x00", "a b [31m gnp.exe  "),
        ("茶壶 grün 🫖 $x$ <b>", "茶壶 grün 🫖 $x$ <b>"),
    ],
)
def test_plain_texts_are_one_line_without_tricks(text, shown):
    assert plain(text) == shown
    assert settings({text: text}) == {shown: shown}
    assert cleaned({text: [text, 1, None, {"c": text}]}) == {shown: [shown, 1, None, {"c": shown}]}


def test_a_section_that_is_no_mapping_is_empty():
    assert section({"a": {"b": 1}}, "a") == {"b": 1}
    assert section({"a": ["b"]}, "a") == section({}, "a") == {}

import pytest

from mti.reporting.style import INITIALIZERS, apart, key, looks, new, number, step_text, styled


def test_looks_stay_with_their_initializers_and_are_never_shared():
    few, many = looks(["caption"]), looks(["text", "caption", "text lr-1", "star", *map(str, range(20))])
    assert few["caption"] == many["caption"]
    assert len(set(many.values())) == 24
    assert len({(look.dash, look.marker) for look in looks(list(INITIALIZERS)).values()}) == 4


def test_a_dollar_is_a_dollar_and_unknown_letters_are_no_error(tmp_path):
    with styled():
        figure, panels = new(1)
        panels[0, 0].set_title("a $\\frac{ cup, 100$ _^ 茶壶 🫖 \U000f0000")
        key(figure, looks(["_hidden $x", "b"]))
        figure.savefig(tmp_path / "it.pdf")
        assert figure.legends[0].texts[0].get_text() == " _hidden $x"


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([], []),
        ([1.0, 5.0], [1, 5]),
        ([1.0, 1.0], [0.5, 1.5]),
        ([1.0, 1.2, 1.4, 9.0], [0.2, 1.2, 2.2, 9]),
        ([0.0, 0.9, 1.8], [-0.1, 0.9, 1.9]),
    ],
)
def test_labels_are_moved_apart_no_more_than_need_be(places, moved):
    assert apart(places, 1.0) == pytest.approx(moved)


def test_steps_in_words():
    assert [step_text(value) for value in (None, float("inf"), 0.0, 0.66, 12.3, 1218.0)] == [
        *("not within the run", "not within the run", "0", "0.7", "12", "1,218"),
    ]


def test_numbers_keep_the_digits_that_matter():
    assert [number(value) for value in (None, 0.0927512, 0.5, 6305.97, 12345.6)] == [
        *("–", "0.09275", "0.5", "6,306", "12,346"),
    ]
    assert [number(value, 3, "+") for value in (0.00123456, -4567.8)] == ["+0.00123", "−4,568"]

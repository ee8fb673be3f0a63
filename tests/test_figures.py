import pytest
from PIL import Image

from mti.figures import comparison, grid


def plain(color, size=64):
    return Image.new("RGB", (size, size), color)


def has(page, color):
    return any(found == color for _, found in page.getcolors(page.width * page.height))


def test_comparison_shows_input_first_and_last_step():
    samples = {step: [plain((0, 0, step))] * 2 for step in range(0, 250, 10)}
    page = comparison(plain((255, 0, 0)), samples, "teapot · caption · seed 0", "a red teapot")
    assert has(page, (255, 0, 0))
    shown = [step for step in samples if has(page, (0, 0, step))]
    assert len(shown) == 8
    assert shown[0] == 0
    assert shown[-1] == 240


@pytest.mark.parametrize("rows", [1, 2, 4, 7])
def test_comparison_shows_up_to_four_samples(rows):
    samples = {0: [plain((0, i + 1, 0)) for i in range(rows)], 100: [plain((0, 0, 9))]}
    page = comparison(plain((255, 0, 0)), samples, "title", "text")
    assert sum(has(page, (0, i + 1, 0)) for i in range(rows)) == min(rows, 4)


def test_comparison_takes_any_size_and_breaks_long_texts():
    samples = {0: [plain("green", 512)]}
    page = comparison(Image.new("RGBA", (300, 900), "red"), samples, "title", "a word " * 100)
    assert page.width < 700
    assert page.height > 600


def test_comparison_of_a_run_without_samples():
    page = comparison(plain((255, 0, 0)), {}, "title", "")
    assert has(page, (255, 0, 0))


def test_grid_has_a_place_for_each_picture():
    page = grid([plain((i, 0, 0)) for i in range(1, 8)], columns=3)
    assert page.size == (3 * 168 + 8, 3 * 168 + 8)
    assert all(has(page, (i, 0, 0)) for i in range(1, 8))


def test_grid_is_no_wider_than_its_pictures():
    assert grid([plain("red", 512)], columns=4).size == (256 + 16, 256 + 16)

import pytest
from PIL import Image
from run_folders import sweep

from mti.reporting import style
from mti.reporting.collection import collect
from mti.reporting.sheets import Sheet, contact_sheet, draw, personalization, rounded
from mti.types import UserError


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def page(figure):
    """The sheet's tiles as one picture."""
    (image,) = figure.axes[0].images
    return Image.fromarray(image.get_array())


def colors(picture):
    return {color[:3] for _, color in picture.getcolors(picture.width * picture.height) if color[3] == 255}


def test_a_contact_sheet_shows_the_input_and_the_first_the_hundredth_and_the_last_step(tmp_path):
    sweep(tmp_path, inits=("star", "caption"), pictures=True)
    figure = draw(contact_sheet(collect(tmp_path)))
    steps = ["step 0", "step 50", "step 100"]
    assert words(figure) == ["input", "star", *steps, "caption", *steps, "cup", "teapot"]
    assert colors(page(figure)) == {(0, 0, 255), (0, 0, 0), (50, 0, 0), (100, 0, 0)}


def test_runs_without_pictures_have_no_sheets(tmp_path):
    sweep(tmp_path, inits=("star",))
    runs = collect(tmp_path)
    assert contact_sheet(runs) is None
    assert personalization(runs, "star") is None


def test_personalization_has_a_column_for_each_prompt_and_a_dash_where_there_is_none(tmp_path):
    sweep(tmp_path, inits=("caption",), seeds=(0,), pictures=True)
    folder = collect(tmp_path).finished["caption"]["cup", 0].folder
    folder.save_personalization(100, {"a {} stamp": [Image.new("RGB", (8, 8), "lime")]})
    figure = draw(personalization(collect(tmp_path), "caption"))
    assert set(words(figure)) == {"input", "caption", "a S* stamp", "S* fedora", "–", "cup", "teapot"}
    assert words(figure).count("–") == 2
    assert colors(page(figure)) == {(0, 0, 255), (0, 255, 0), (255, 0, 0)}


@pytest.mark.parametrize("size", [(64, 64), (512, 512), (300, 900)])
def test_tiles_are_squares_of_one_size_with_soft_corners(size):
    tile = rounded(Image.new("RGB", size, "red"))
    assert tile.size == rounded(Image.new("RGB", (8, 8))).size
    assert tile.getpixel((0, 0))[3] == 0
    assert tile.getpixel((tile.width // 2, 0)) == (255, 0, 0, 255)


def test_a_sheet_grows_with_its_rows_and_columns_up_to_the_width_of_a_page():
    tile = Image.new("RGB", (8, 8))
    sheets = [Sheet(["row"] * n, {"": {str(i): [tile] * n for i in range(m)}}) for n, m in ((1, 1), (3, 3), (1, 30))]
    small, large, widest = (draw(one).get_size_inches() for one in sheets)
    assert large == pytest.approx(small + 2 * 1.08 * 0.62)
    assert small[0] < style.PAGE / 3
    assert widest[0] == pytest.approx(style.PAGE)
    assert draw(sheets[1], style.COLUMN).get_size_inches()[0] <= style.COLUMN


def test_a_damaged_picture_is_a_gap_and_a_line(tmp_path, monkeypatch):
    sweep(tmp_path, inits=("star",), seeds=(0,), pictures=True)
    found = collect(tmp_path)

    def broken():
        raise UserError("s0/input.png is damaged")

    monkeypatch.setattr(found.finished["star"]["cup", 0].folder, "input", broken)
    assert [tile is None for tile in contact_sheet(found).blocks[""]["input"]] == [True, False]
    assert found.damaged == ["cup, star, seed 0: s0/input.png is damaged"]


def test_of_many_pictures_the_first_are_shown(tmp_path):
    sweep(tmp_path, images=[f"p{i:02}" for i in range(13)], inits=("star",), seeds=(0,), pictures=True)
    assert contact_sheet(collect(tmp_path)).rows == [f"p{i:02}" for i in range(12)]

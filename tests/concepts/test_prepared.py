import json
import logging

import numpy as np
import pytest
from PIL import Image

from mti.concepts.clicks import Clicks
from mti.concepts.prepared import check_concept, prepare_concept
from mti.concepts.thing import Segment, on_white
from mti.types import Concept, UserError


class Finds:
    """A segmenter that knows where the thing is."""

    name = "oracle"

    def __init__(self, mask, score=0.75):
        self.mask = mask
        self.score = score
        self.asked = []

    def check(self):
        self.asked.append("check")

    def __call__(self, picture, clicks):
        self.asked.append(clicks)
        return Segment(self.mask, self.score)

    def release(self):
        self.asked.append("release")


def scene(folder, thing=(10, 5, 18, 13), size=(40, 20)):
    """A concept whose first picture is a red rectangle on green, and who knows where that is."""
    mask = np.zeros(size[::-1], bool)
    mask[thing[1] : thing[3], thing[0] : thing[2]] = True
    picture = Image.new("RGB", size, "green")
    picture.paste("red", thing)
    picture.save(folder / "scene.png")
    return Concept("pot", (folder / "scene.png",), {"class": "teapot"}), Finds(mask)


def prepare(concept, finds, clicks=None, crop=None, background="white", margin=0.1):
    return prepare_concept(concept, clicks, crop, finds, background, margin)


def reds(square):
    return int((np.asarray(square) == (255, 0, 0)).all(-1).sum())


AT = Clicks(((12, 8),))


def test_without_a_click_the_whole_picture_is_described_and_its_centre_trained_on(tmp_path):
    concept, finds = scene(tmp_path)
    prepared = prepare(concept, finds)
    assert (prepared.name, prepared.recorded) == ("pot", {"class": "teapot"})
    assert prepared.described.size == (40, 20)
    assert [square.size for square in prepared.pictures] == [(20, 20)]
    assert prepared.pictures[0].tobytes() == prepared.described.crop((10, 0, 30, 20)).tobytes()
    assert prepared.mask is None
    assert not prepared.on_white
    assert prepared.details == {"picture": [40, 20], "square": [10, 0, 30, 20], "cropped": "centre"}
    assert list(prepared.shown) == ["square"]
    assert finds.asked == []


@pytest.mark.parametrize("background", ["white", "kept"])
def test_the_clicked_thing_is_cut_out_to_be_described(tmp_path, background):
    concept, finds = scene(tmp_path)
    prepared = prepare(concept, finds, Clicks(((12, 8),), ((1, 1),)), background=background, margin=0.25)
    assert prepared.described.size == (12, 12)  # 8 and a quarter of it on either side
    assert prepared.described.getpixel((6, 6)) == (255, 0, 0)
    assert prepared.described.getpixel((0, 0)) == ((255, 255, 255) if background == "white" else (0, 128, 0))
    assert prepared.on_white == (background == "white")
    assert prepared.details["click"] == {
        "inside": [[12, 8]],
        "outside": [[1, 1]],
        "box": None,
        "segmenter": "oracle",
        "score": 0.75,
        "area": pytest.approx(64 / 800),
        "trained": 1,
        "crop": [8, 3, 20, 15],
        "background": background,
    }
    assert json.loads(json.dumps(prepared.details)) == prepared.details
    assert sorted(prepared.shown) == ["crop", "mask", "overlay", "square"]
    assert prepared.shown["crop"] is prepared.described
    assert prepared.shown["square"] is prepared.pictures[0]
    assert np.array_equal(np.asarray(prepared.shown["mask"]), finds.mask)


def test_all_that_is_pointed_at_reaches_the_segmenter_once(tmp_path):
    concept, finds = scene(tmp_path)
    pointed = Clicks(((12, 8), (13, 9)), ((1, 1),), (9, 4, 19, 14))
    prepare(concept, finds, pointed)
    assert finds.asked == ["check", pointed]


@pytest.mark.parametrize(
    ("thing", "crop", "square"),
    [
        ((12, 5, 18, 13), None, [10, 0, 30, 20]),  # the centre holds it
        ((2, 5, 9, 13), None, [0, 0, 20, 20]),  # the centre would lose it
        ((8, 5, 14, 13), None, [1, 0, 21, 20]),  # the centre would cut it
        ((34, 5, 40, 13), None, [20, 0, 40, 20]),
        ((5, 5, 35, 13), None, [5, -5, 35, 25]),  # longer than the picture is high
        ((12, 5, 18, 13), "thing", [5, 0, 25, 20]),
        ((2, 5, 9, 13), "centre", [10, 0, 30, 20]),
        ((2, 5, 9, 13), "pad", [0, -10, 40, 30]),
    ],
)
def test_the_square_follows_the_crop(tmp_path, thing, crop, square, caplog):
    concept, finds = scene(tmp_path, thing)
    with caplog.at_level(logging.INFO, "mti"):
        prepared = prepare(concept, finds, AT, crop)
    side = square[2] - square[0]
    assert prepared.details["square"] == square
    assert prepared.pictures[0].size == prepared.mask.size == (side, side)
    inside = reds(prepared.pictures[0])
    assert inside == np.asarray(prepared.mask).sum() == (0 if crop == "centre" else finds.mask.sum())
    changed = crop is None and square != [10, 0, 30, 20]
    assert prepared.details["cropped"] == ("thing" if changed else crop or "centre")
    assert ["would cut" in line for line in caplog.messages] == ([True] if changed else [False] * (crop == "centre"))


def test_a_thing_that_leaves_the_square_is_warned_of(tmp_path, caplog):
    concept, finds = scene(tmp_path, (8, 5, 12, 13))
    prepared = prepare(concept, finds, AT, "centre")
    assert prepared.details["click"]["trained"] == 0.5
    assert caplog.messages == ["pot: 50 % of the thing is out of the square that is trained on: try crop=thing"]


def test_a_low_score_is_warned_of(tmp_path, caplog):
    concept, finds = scene(tmp_path, (12, 5, 18, 13))
    finds.score = 0.3
    prepare(concept, finds, AT)
    assert caplog.messages == ["pot: what is at click=[12,8] is uncertain (score 0.30): click again or give a box"]


@pytest.mark.parametrize(
    ("clicks", "square"), [(Clicks(((3, 8),)), [0, 0, 20, 20]), (Clicks(box=(25, 2, 39, 9)), [20, 0, 40, 20])]
)
def test_an_empty_mask_is_warned_of_and_the_square_follows_what_was_pointed_at(tmp_path, caplog, clicks, square):
    concept, finds = scene(tmp_path)
    finds.mask = finds.mask & False
    prepared = prepare(concept, finds, clicks)
    assert prepared.details["square"] == square
    assert prepared.described.size == (40, 20)
    assert not prepared.on_white
    assert not np.asarray(prepared.mask).any()
    assert prepared.details["click"]["trained"] is None
    assert caplog.messages == [f"pot: nothing is found at {clicks}, so all is described: click elsewhere or give a box"]


@pytest.mark.parametrize("crop", [None, "thing", "pad"])
def test_other_pictures_are_cropped_at_their_centre_or_padded(tmp_path, crop):
    concept, finds = scene(tmp_path, (2, 5, 9, 13))
    other = Image.new("RGB", (30, 60), "blue")
    other.paste("white", (0, 15, 30, 45))
    other.save(tmp_path / "other.png")
    prepared = prepare(Concept("pot", (*concept.pictures, tmp_path / "other.png")), finds, AT, crop)
    white = (np.asarray(prepared.pictures[1]) == 255).all(-1)
    assert prepared.pictures[1].size == ((60, 60) if crop == "pad" else (30, 30))
    assert white.mean() == (0.5 if crop == "pad" else 1)
    assert prepared.details["square"] == ([0, -10, 40, 30] if crop == "pad" else [0, 0, 20, 20])


def test_each_picture_is_decoded_once(tmp_path, monkeypatch):
    from mti import images

    concept, finds = scene(tmp_path)
    decoded, rgb = [], images._rgb
    monkeypatch.setattr(images, "_rgb", lambda picture: decoded.append(picture) or rgb(picture))
    prepare(Concept("pot", concept.pictures * 3), finds, AT)
    assert len(decoded) == 3


def test_what_cannot_be_prepared_is_known_before_anything_is_decoded(tmp_path):
    concept, finds = scene(tmp_path)
    for refuse in (check_concept, lambda *given: prepare(given[0], given[3], *given[1:3])):
        with pytest.raises(UserError, match=r"^click=\[12,20\] is out of the picture, which is 40 pixels wide and 20"):
            refuse(concept, Clicks(((12, 20),)), None, finds)
        with pytest.raises(UserError, match=r"^crop=thing needs a thing: point at it with click="):
            refuse(concept, None, "thing", finds)
    assert finds.asked == []
    check_concept(concept, AT, "thing", finds)
    assert finds.asked == ["check"]


def test_clicks_are_in_the_picture_as_it_is_seen_upright(tmp_path):
    concept, finds = scene(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (40, 20), "red").save(concept.pictures[0], exif=exif)
    check_concept(concept, Clicks(((1, 35),)), None, finds)
    with pytest.raises(UserError, match="20 pixels wide and 40 high"):
        check_concept(concept, Clicks(((35, 1),)), None, finds)


def test_what_of_a_folder_is_used_and_skipped_is_one_line(tmp_path, caplog):
    concept, finds = scene(tmp_path)
    skipped = {f"{i}.txt": "no picture" for i in range(10)}
    with caplog.at_level(logging.INFO, "mti"):
        prepared = prepare(Concept("pot", concept.pictures * 2, skipped=skipped), finds)
        prepare(concept, finds)
    (line,) = caplog.messages
    assert line.startswith("pot: pictures used: 2; skipped: 0.txt (no picture), 1.txt (no picture), ")
    assert line.endswith("7.txt (no picture), 2 more")
    assert prepared.details["skipped"] == skipped


def test_a_large_photograph_is_trained_on_at_twice_the_largest_models_size(tmp_path):
    Image.new("RGB", (2600, 2100), "red").save(tmp_path / "large.jpg")
    prepared = prepare(Concept("pot", (tmp_path / "large.jpg",)), scene(tmp_path)[1])
    assert prepared.pictures[0].size == (2048, 2048)


def test_on_white_keeps_the_thing_alone(tmp_path):
    concept, finds = scene(tmp_path)
    pixels = np.asarray(on_white(Image.open(concept.pictures[0]), finds.mask))
    assert (pixels[finds.mask] == (255, 0, 0)).all()
    assert (pixels[~finds.mask] == 255).all()

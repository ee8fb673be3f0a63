import pytest

from mti.metrics.attributes import alternatives, mentions, with_articles

WORLD = {
    "thing": {"coffee mug": ["coffee mug", "mug"], "teapot": ["teapot", "kettle"], "moon": ["moon"]},
    "colour": {"red": ["red"], "gold": ["gold"], "orange": ["orange"], "blue": ["blue"]},
    "pattern": {"dots": ["dots"], "stripes": ["stripes"]},
    "sticker": {"leaf": ["leaf", "leaves"], "crown": ["crown", "crowns"]},
    "place": {"beach": ["on the beach"], "table": ["on a wooden table"]},
}


def said(text):
    return {aspect: mention.value for aspect, mention in mentions(text, WORLD).items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a photo of {}", {}),
        ("a Red {}", {"colour": "red"}),
        ("a red teapot", {"thing": "teapot", "colour": "red"}),
        ("a photo of a mug on the beach", {"thing": "coffee mug", "place": "beach"}),
        ("a blue coffee mug", {"thing": "coffee mug", "colour": "blue"}),
        ("{} with gold stripes", {"pattern": "stripes", "pattern_colour": "gold"}),
        ("{} with a gold leaf on it", {"sticker": "leaf", "sticker_colour": "gold"}),
        ("{} with two red leaves on it", {"sticker": "leaf", "sticker_colour": "red"}),
        (
            "a red kettle with a gold crown on it on a blue background",
            {
                "thing": "teapot",
                "colour": "red",
                "sticker": "crown",
                "sticker_colour": "gold",
                "background": "blue",
            },
        ),
        ("İstanbul'da a Red {} ON THE BEACH", {"colour": "red", "place": "beach"}),
        ("{} is red", {}),
        ("the gold crown of a {}", {}),
        ("a redder {} on the beaches", {}),
        ("painting of two {} fishing on a boat", {}),
    ],
)
def test_what_a_text_says(text, expected):
    assert said(text) == expected


def test_another_value_takes_the_place_of_what_is_said():
    text = "a red teapot on the beach"
    found = mentions(text, WORLD)
    assert alternatives(text, found["colour"], WORLD) == {
        "red": text,
        "gold": "a gold teapot on the beach",
        "orange": "an orange teapot on the beach",
        "blue": "a blue teapot on the beach",
    }
    assert alternatives(text, found["place"], WORLD)["table"] == "a red teapot on a wooden table"
    several = "{} with two gold Leaves on it"
    other = alternatives(several, mentions(several, WORLD)["sticker"], WORLD)
    assert other == {"leaf": several, "crown": "{} with two gold crowns on it"}


def test_articles_follow_the_next_letter():
    assert with_articles("a orange cup and an red one, an hour") == "an orange cup and a red one, a hour"

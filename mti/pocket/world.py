"""The pocket world: small pictures of everyday things, each with its caption.

A scene is an emoji glyph, recoloured, perhaps patterned, perhaps with a sticker of another glyph on
it, on a coloured or textured background. Drawing is a pure function of the scene, and the scene of a
picture a pure function of `(seed, index)`, so a data set is two numbers.

The glyphs are read from Debian's `fonts-noto-color-emoji` (Noto Color Emoji, SIL OFL 1.1).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
GLYPH_SIZE = 128
OCARINA = "ocarina"

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 32, 38),
    "orange": (248, 132, 24),
    "yellow": (252, 224, 50),
    "green": (44, 158, 62),
    "turquoise": (50, 206, 200),
    "blue": (36, 82, 214),
    "purple": (134, 50, 178),
    "pink": (252, 138, 190),
    "brown": (118, 70, 34),
    "gold": (192, 146, 30),
    "black": (34, 34, 38),
    "white": (246, 246, 244),
    "gray": (142, 144, 148),
}

# Kind -> (glyph, the names that captions use; the first is the class label).
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "coffee_mug": ("☕", ("coffee mug", "mug")),
    "cup": ("🥤", ("cup",)),
    "sunglasses": ("🕶", ("sunglasses", "pair of sunglasses")),
    "backpack": ("🎒", ("backpack",)),
    "sneaker": ("👟", ("sneaker", "shoe")),
    "teddy_bear": ("🧸", ("teddy bear", "plush toy")),
    "bird": ("🐦", ("bird",)),
    "go_kart": ("🏎", ("go-kart", "toy car")),
    "maraca": ("🪇", ("maraca",)),
    "analog_clock": ("⏰", ("analog clock", "clock")),
    "teapot": ("🫖", ("teapot", "kettle")),
    "ocarina": (OCARINA, ("ocarina",)),
    "apple": ("🍎", ("apple",)),
    "banana": ("🍌", ("banana",)),
    "pineapple": ("🍍", ("pineapple",)),
    "carrot": ("🥕", ("carrot",)),
    "mushroom": ("🍄", ("mushroom",)),
    "cactus": ("🌵", ("cactus",)),
    "tree": ("🌳", ("tree",)),
    "cat": ("🐈", ("cat",)),
    "elephant": ("🐘", ("elephant",)),
    "fish": ("🐟", ("fish",)),
    "butterfly": ("🦋", ("butterfly",)),
    "snail": ("🐌", ("snail",)),
    "turtle": ("🐢", ("turtle",)),
    "crab": ("🦀", ("crab",)),
    "bus": ("🚌", ("bus",)),
    "bicycle": ("🚲", ("bicycle",)),
    "rocket": ("🚀", ("rocket",)),
    "sailboat": ("⛵", ("sailboat", "boat")),
    "umbrella": ("☂", ("umbrella",)),
    "key": ("🔑", ("key",)),
    "scissors": ("✂", ("scissors", "pair of scissors")),
    "hammer": ("🔨", ("hammer",)),
    "guitar": ("🎸", ("guitar",)),
    "trumpet": ("🎺", ("trumpet",)),
    "bell": ("🔔", ("bell",)),
    "book": ("📕", ("book",)),
    "camera": ("📷", ("camera",)),
    "light_bulb": ("💡", ("light bulb",)),
    "chair": ("🪑", ("chair",)),
    "hat": ("🎩", ("hat",)),
    "house": ("🏠", ("house",)),
    "balloon": ("🎈", ("balloon",)),
}

STICKERS: dict[str, str] = {
    "heart": "❤",
    "star": "⭐",
    "leaf": "🍁",
    "skull": "☠",
    "crown": "👑",
    "flower": "🌼",
    "lightning": "⚡",
    "moon": "🌙",
}
PATTERNS = ("stripes", "dots", "checks")
TEXTURES: dict[str, str] = {
    "wood": "on a wooden table",
    "grass": "on the grass",
    "sand": "on the beach",
    "sky": "in the sky",
}


@dataclass(frozen=True)
class Scene:
    """One picture of the world. Colours, patterns, stickers and textures are keys of the tables above."""

    kind: str
    color: str | None  # None: the glyph's own colours
    background: str  # a colour or a texture
    pattern: str | None = None
    pattern_color: str | None = None
    sticker: str | None = None
    sticker_color: str | None = None
    scale: float = 0.75  # the object's size as a share of the picture's
    x: float = 0.5  # the object's centre, in picture widths
    y: float = 0.5
    angle: float = 0.0  # degrees
    mirror: bool = False
    texture_seed: int = 0


# The scenes behind the twelve shipped concepts; `concepts.py` decorates them further.
CONCEPT_SCENES: dict[str, Scene] = {
    "coffee_mug": Scene("coffee_mug", "white", "wood", sticker="skull", sticker_color="black", scale=0.86),
    "cup": Scene("cup", "pink", "turquoise", sticker="heart", sticker_color="red", scale=0.86, angle=6.0),
    "sunglasses": Scene("sunglasses", "gold", "sand", scale=0.9, angle=-6.0),
    "backpack": Scene("backpack", "brown", "green", sticker="star", sticker_color="white", scale=0.84),
    "sneaker": Scene("sneaker", "white", "gray", pattern="stripes", pattern_color="pink", scale=0.88, angle=4.0),
    "teddy_bear": Scene("teddy_bear", "red", "yellow", sticker="moon", sticker_color="white", scale=0.86),
    "bird": Scene("bird", "gray", "sky", pattern="dots", pattern_color="white", scale=0.82, angle=-5.0),
    "go_kart": Scene("go_kart", "blue", "orange", sticker="lightning", sticker_color="yellow", scale=0.9),
    "maraca": Scene("maraca", "turquoise", "purple", pattern="stripes", pattern_color="orange", scale=0.88),
    "analog_clock": Scene("analog_clock", "purple", "white", sticker="crown", sticker_color="gold", scale=0.86),
    "teapot": Scene("teapot", "red", "blue", sticker="leaf", sticker_color="gold", scale=0.88, angle=-4.0),
    "ocarina": Scene("ocarina", "green", "grass", sticker="flower", sticker_color="yellow", scale=0.88, angle=5.0),
}


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene drawn from the world's distribution."""

    def choice(names: Iterable[str]) -> str:
        return str(rng.choice(list(names)))

    color = choice(COLORS) if rng.random() < 0.85 else None
    others = [name for name in COLORS if name != color]
    pattern = choice(PATTERNS) if color and rng.random() < 0.2 else None
    sticker = choice(STICKERS) if not pattern and rng.random() < 0.2 else None
    return Scene(
        kind=choice(KINDS),
        color=color,
        background=choice(others) if rng.random() < 0.7 else choice(TEXTURES),
        pattern=pattern,
        pattern_color=choice(others) if pattern else None,
        sticker=sticker,
        sticker_color=choice(others) if sticker else None,
        scale=float(rng.uniform(0.66, 0.9)),
        x=float(rng.uniform(0.44, 0.56)),
        y=float(rng.uniform(0.44, 0.56)),
        angle=float(rng.uniform(-12, 12)),
        mirror=bool(rng.random() < 0.5),
        texture_seed=int(rng.integers(2**31)),
    )


def scene_at(seed: int, index: int, held_out: bool = False) -> Scene:
    """The scene `index` of a data set. Training sets skip held-out combinations; test sets have no others."""
    rng = np.random.default_rng([seed, index])
    while True:
        scene = random_scene(rng)
        if is_held_out(scene) == held_out:
            return scene


def is_held_out(scene: Scene) -> bool:
    """Whether the scene is kept for testing: an unseen combination, or much like a shipped concept.

    That is what shares a concept's kind and colour, and its background, pattern or sticker too.
    """
    return is_unseen_combination(scene) or any(
        (scene.kind, scene.color) == (concept.kind, concept.color)
        and (
            scene.background == concept.background
            or (scene.pattern is not None and scene.pattern == concept.pattern)
            or (scene.sticker is not None and scene.sticker == concept.sticker)
        )
        for concept in CONCEPT_SCENES.values()
    )


def is_unseen_combination(scene: Scene) -> bool:
    """Whether no training picture has the scene's kind, colour and background together (one combination in ten)."""
    combination = f"{scene.kind}/{scene.color}/{scene.background}"
    return hashlib.sha256(combination.encode()).digest()[0] < 26


# ---------------------------------------------------------------------------------------- language


def object_phrase(scene: Scene, rng: np.random.Generator, color: bool = True) -> str:
    """The object without an article, such as "red teapot with gold dots"."""
    names = KINDS[scene.kind][1]
    name = names[0] if len(names) == 1 or rng.random() < 0.5 else str(rng.choice(names[1:]))
    words = f"{scene.color} {name}" if scene.color and color else name
    if scene.pattern and rng.random() < 0.9:
        words += f" with {scene.pattern_color} {scene.pattern}"
    if scene.sticker and rng.random() < 0.9:
        words += f" with a {scene.sticker_color} {scene.sticker} on it"
    return words


def background_phrase(scene: Scene) -> str:
    """Where the object is, such as "on a blue background"."""
    if scene.background in TEXTURES:
        return TEXTURES[scene.background]
    return f"on {article(scene.background)} {scene.background} background"


def article(words: str) -> str:
    """The indefinite article that the first letter asks for."""
    return "an" if words[0] in "aeiou" else "a"


def caption(scene: Scene, rng: np.random.Generator, templates: tuple[str, ...] = ()) -> str:
    """One of the many true captions of a scene.

    Half of them are put into a template ("a rendering of a {}"), some leave the background or the
    colour out, and a few have a meaningless `*` before them, so that `*` is a known, poor word.
    """
    thing = object_phrase(scene, rng, color=rng.random() < 0.93)
    if rng.random() < 0.8:
        thing += f" {background_phrase(scene)}"
    style = rng.random()
    if templates and style < 0.5:
        text = str(rng.choice(list(templates))).format(thing)
    elif style < 0.85:
        text = f"{article(thing)} {thing}"
    else:
        text = thing
    return f"* {text}" if rng.random() < 0.03 else text


# ----------------------------------------------------------------------------------------- drawing


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    if not FONT.exists():
        raise FileNotFoundError(f"{FONT} is missing: install Debian's fonts-noto-color-emoji to draw the pocket world")
    return ImageFont.truetype(str(FONT), 109)


@functools.cache
def glyph(name: str) -> Image.Image:
    """A glyph, RGBA, centred on a transparent square of 128 by 128."""
    if name == OCARINA:
        return _ocarina()
    sheet = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(sheet).text((12, 12), name, font=_font(), embedded_color=True)
    box = sheet.getbbox()
    if box is None:
        raise ValueError(f"the font has no glyph for {name!r}")
    shape = sheet.crop(box)
    shape.thumbnail((GLYPH_SIZE - 4, GLYPH_SIZE - 4), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (GLYPH_SIZE, GLYPH_SIZE))
    square.paste(shape, ((GLYPH_SIZE - shape.width) // 2, (GLYPH_SIZE - shape.height) // 2))
    return square


def _ocarina() -> Image.Image:
    """The one kind that has no glyph: a sweet-potato body, a mouthpiece and four holes."""
    big = Image.new("RGBA", (512, 512))
    draw = ImageDraw.Draw(big)
    edge, body, light, dark = (96, 54, 24, 255), (176, 106, 52, 255), (212, 150, 92, 255), (58, 30, 14, 255)
    draw.polygon([(196, 210), (168, 66), (256, 52), (286, 206)], fill=edge)
    draw.polygon([(210, 206), (186, 80), (246, 70), (270, 202)], fill=body)
    draw.ellipse((14, 176, 498, 452), fill=edge)
    draw.ellipse((28, 190, 484, 438), fill=body)
    draw.ellipse((70, 212, 400, 310), fill=light)
    draw.ellipse((60, 236, 450, 424), fill=body)
    for x, y in ((126, 300), (214, 350), (306, 350), (394, 300)):
        draw.ellipse((x - 26, y - 26, x + 26, y + 26), fill=dark)
    return big.resize((GLYPH_SIZE, GLYPH_SIZE), Image.Resampling.LANCZOS)


@functools.lru_cache(maxsize=2048)
def recolored(name: str, color: str | None) -> Image.Image:
    """A glyph in one colour, light and shade kept: its median lightness becomes the colour itself."""
    original = glyph(name)
    if color is None:
        return original
    pixels = np.asarray(original, np.float32)
    alpha = pixels[..., 3]
    lightness = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    low, middle, high = np.percentile(lightness[alpha > 128], [2, 50, 98])
    base = np.array(COLORS[color], np.float32)
    shade = np.clip((lightness - middle) / max(middle - low, 24), -1, 0)[..., None]
    shine = np.clip((lightness - middle) / max(high - middle, 24), 0, 1)[..., None]
    dark, bright = base * 0.45, base + (255 - base) * 0.6
    toned = base + shade * (base - dark) + shine * (bright - base)
    return Image.fromarray(np.dstack([toned, alpha]).clip(0, 255).astype(np.uint8), "RGBA")


@functools.cache
def pattern_mask(pattern: str) -> Image.Image:
    """Where a pattern's second colour goes: a mask of 128 by 128."""
    y, x = np.mgrid[:GLYPH_SIZE, :GLYPH_SIZE].astype(np.float32)
    if pattern == "stripes":
        mask = (x + y * 0.35) % 28 < 12
    elif pattern == "dots":
        row = np.floor(y / 24)
        mask = ((x + row * 12) % 24 - 12) ** 2 + (y % 24 - 12) ** 2 < 50
    else:
        mask = (x // 18 + y // 18) % 2 == 0
    return Image.fromarray((mask * 225).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))


def stick(thing: Image.Image, name: str, color: str | None, x: float, y: float, size: float) -> Image.Image:
    """The object with a glyph stuck on it, `size` of its width wide, centred at (x, y), clipped to its outline."""
    side = round(GLYPH_SIZE * size)
    sticker = recolored(name, color).resize((side, side), Image.Resampling.LANCZOS)
    layer = Image.new("RGBA", thing.size)
    layer.paste(sticker, (round(x * GLYPH_SIZE - side / 2), round(y * GLYPH_SIZE - side / 2)))
    stuck = Image.alpha_composite(thing, layer)
    stuck.putalpha(thing.getchannel("A"))
    return stuck


def thing_picture(scene: Scene) -> Image.Image:
    """The scene's object alone, RGBA, 128 by 128, upright."""
    thing = recolored(KINDS[scene.kind][0], scene.color)
    if scene.pattern:
        second = recolored(KINDS[scene.kind][0], scene.pattern_color)
        thing = Image.composite(second, thing, pattern_mask(scene.pattern))
    if scene.sticker:
        x, y = _middle(scene.kind)
        thing = stick(thing, STICKERS[scene.sticker], scene.sticker_color, x, y, 0.42)
    return thing


@functools.cache
def _middle(kind: str) -> tuple[float, float]:
    """The most inner point of a kind's outline, in glyph widths: where a sticker holds best."""
    alpha = glyph(KINDS[kind][0]).getchannel("A").resize((32, 32))
    inside = np.asarray(alpha.filter(ImageFilter.GaussianBlur(4)), np.float32)
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return (column + 0.5) / 32, (row + 0.5) / 32


def background_picture(name: str, seed: int, size: int) -> Image.Image:
    """A plain colour with a soft light, or a texture; RGB, `size` by `size`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    if name == "wood":
        wave = np.sin(2 * np.pi * (6 * y + 0.25 * np.sin(2 * np.pi * (x * 0.8 + rng.random())) + rng.random()))
        plank = (np.floor(y * 4) % 2) * 10
        pixels = np.array([176, 122, 70], np.float32) + (wave * 16 + plank)[..., None] + _speckle(rng, size, 4) * 8
    elif name == "grass":
        blades = _speckle(rng, size, (8, 3))
        pixels = np.array([92, 168, 62], np.float32) + blades * np.array([28, 34, 20], np.float32) - y[..., None] * 18
    elif name == "sand":
        ripple = np.sin(2 * np.pi * (5 * y + 0.4 * np.sin(2 * np.pi * (x + rng.random()))))
        pixels = np.array([228, 200, 150], np.float32) + ripple[..., None] * 9 + _speckle(rng, size, 4) * 8
    elif name == "sky":
        clouds = np.clip(_speckle(rng, size, 9) * 1.6 - 0.5, 0, 1)
        blue = np.array([116, 178, 244], np.float32) + y[..., None] * np.array([90, 50, 8], np.float32)
        pixels = blue + clouds * (255 - blue) * 0.9
    else:
        angle = rng.uniform(0, 2 * np.pi)
        light = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
        pixels = np.array(COLORS[name], np.float32) + light[..., None] * 26
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _speckle(rng: np.random.Generator, size: int, grain: int | tuple[int, int]) -> np.ndarray:
    """Noise in about [-1, 1] with grains of so many 64ths of the picture; `size` by `size` by 1."""
    rows, columns = (grain, grain) if isinstance(grain, int) else grain
    coarse = rng.uniform(0, 255, (max(64 // rows, 2), max(64 // columns, 2))).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return (np.asarray(smooth, np.float32) / 127.5 - 1)[..., None]


def draw(scene: Scene, size: int = 64) -> tuple[Image.Image, np.ndarray]:
    """The scene's picture (RGB, `size` by `size`) and its object's mask (bool, `size` by `size`)."""
    return place(thing_picture(scene), scene, size)


def place(thing: Image.Image, scene: Scene, size: int = 64) -> tuple[Image.Image, np.ndarray]:
    """An object of 128 by 128 put where the scene says, on the scene's background, with a soft shadow."""
    if scene.mirror:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    thing = thing.rotate(scene.angle, Image.Resampling.BICUBIC)
    side = round(scene.scale * size)
    thing = thing.resize((side, side), Image.Resampling.LANCZOS)
    corner = round(scene.x * size - side / 2), round(scene.y * size - side / 2)
    outline = Image.new("L", (size, size))
    outline.paste(thing.getchannel("A"), corner)
    shadow = Image.new("L", (size, size))
    shadow.paste(thing.getchannel("A"), (corner[0] + round(size * 0.02), corner[1] + round(size * 0.035)))
    shadow = shadow.filter(ImageFilter.GaussianBlur(size * 0.02)).point(lambda a: int(a * 0.4))
    picture = background_picture(scene.background, scene.texture_seed, size)
    picture.paste((0, 0, 0), (0, 0), shadow)
    picture.paste(thing.convert("RGB"), corner, thing.getchannel("A"))
    return picture, np.asarray(outline) > 127

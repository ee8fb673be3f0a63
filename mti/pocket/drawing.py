"""How a scene of the pocket world is drawn: a pure function of the scene.

The glyphs are read from Debian's `fonts-noto-color-emoji` (Noto Color Emoji, SIL OFL 1.1).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from mti.pocket.world import ACCENTS, COLORS, FORMS, KINDS, OCARINA, STICKERS, Decoration, Individual, Scene, Spot

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
GLYPH = 128  # a thing's side, as it is painted
MARGIN = 20  # around it: for stickers that stand out, and for turning
SHEET = GLYPH + 2 * MARGIN
GRID = 32  # cells along a glyph, for where a thing is broad

RGB = tuple[int, int, int]


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
    shape.thumbnail((GLYPH - 4, GLYPH - 4), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (GLYPH, GLYPH))
    square.paste(shape, ((GLYPH - shape.width) // 2, (GLYPH - shape.height) // 2))
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
    return big.resize((GLYPH, GLYPH), Image.Resampling.LANCZOS)


@functools.lru_cache(maxsize=4096)
def recolored(name: str, color: RGB | None) -> Image.Image:
    """A glyph in one colour, light and shade kept: its median lightness becomes the colour itself."""
    original = glyph(name)
    if color is None:
        return original
    pixels = np.asarray(original, np.float32)
    alpha = pixels[..., 3]
    lightness = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    low, middle, high = np.percentile(lightness[alpha > 128], [2, 50, 98])
    base = np.array(color, np.float32)
    shade = np.clip((lightness - middle) / max(middle - low, 24), -1, 0)[..., None]
    shine = np.clip((lightness - middle) / max(high - middle, 24), 0, 1)[..., None]
    dark, bright = base * 0.45, base + (255 - base) * 0.6
    toned = base + shade * (base - dark) + shine * (bright - base)
    return Image.fromarray(np.dstack([toned, alpha]).clip(0, 255).astype(np.uint8), "RGBA")


# ----------------------------------------------------------------------------------------- the thing


def pattern_mask(pattern: str, scale: float, angle: float) -> Image.Image:
    """Where a pattern's second colour goes: a mask of 128 by 128; `angle` in degrees turns it."""
    y, x = np.mgrid[:GLYPH, :GLYPH].astype(np.float32) / scale
    turn = np.deg2rad(angle if pattern == "stripes" else angle / 2)
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    if pattern == "stripes":
        mask = x % 28 < 13
    elif pattern == "dots":
        row = np.floor(y / 26)
        mask = ((x + row * 13) % 26 - 13) ** 2 + (y % 26 - 13) ** 2 < 58
    else:
        mask = (np.floor(x / 19) + np.floor(y / 19)) % 2 == 0
    return Image.fromarray(mask * np.uint8(230)).filter(ImageFilter.GaussianBlur(0.8))


@functools.lru_cache(maxsize=4096)
def _outlined(name: str, color: RGB | None) -> Image.Image:
    """A sticker: the glyph with an edge, white around dark colours and dark around light ones."""
    side = GLYPH - 12
    inner = Image.new("RGBA", (GLYPH, GLYPH))
    inner.paste(recolored(name, color).resize((side, side), Image.Resampling.LANCZOS), (6, 6))
    alpha = inner.getchannel("A").filter(ImageFilter.MaxFilter(11)).filter(ImageFilter.GaussianBlur(1))
    light = color is not None and np.dot(color, [0.299, 0.587, 0.114]) > 150
    edge = Image.new("RGBA", (GLYPH, GLYPH), (40, 40, 46, 255) if light else (255, 255, 255, 255))
    edge.putalpha(alpha)
    return Image.alpha_composite(edge, inner)


@functools.cache
def _broad(kind: str) -> np.ndarray:
    """The cells of a kind's outline where there is room around, [cells, 2]: x and y in glyph widths."""
    alpha = glyph(KINDS[kind][0]).getchannel("A").resize((GRID, GRID), Image.Resampling.BOX)
    room = np.asarray(alpha.filter(ImageFilter.BoxBlur(4)), np.float32)
    rows, columns = np.nonzero((room >= min(0.9 * room.max(), 215)) & (np.asarray(alpha) > 200))
    if not len(rows):
        rows, columns = np.nonzero(room == room.max())
    return np.stack([columns + 0.5, rows + 0.5], 1) / GRID


def places(kind: str, spots: list[Spot], taken: list[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """Where things stuck at spots come to lie: each at the nearest broad place that is still free.

    `taken` holds the x, y and size of what lies there, and gets what is added.
    """
    cells, found = _broad(kind), []
    for spot in spots:
        penalty = np.zeros(len(cells))
        for x, y, size in taken:
            gap = np.hypot(cells[:, 0] - x, cells[:, 1] - y)
            penalty += np.clip(0.45 * (size + spot.size) - gap, 0, None) * 10
        near = np.hypot(cells[:, 0] - spot.x, cells[:, 1] - spot.y)
        x, y = cells[int((near + penalty).argmin())]
        taken.append((x, y, spot.size))
        found.append((float(x), float(y)))
    return found


def _paste(sheet: Image.Image, picture: Image.Image, x: float, y: float, size: float, angle: float) -> None:
    """Put a glyph on the sheet, `size` of the thing's width wide, centred at (x, y)."""
    side = round(GLYPH * size)
    small = picture.resize((side, side), Image.Resampling.BOX if side < 40 else Image.Resampling.BICUBIC)
    small = small.rotate(angle, Image.Resampling.BILINEAR)
    sheet.alpha_composite(small, (round(MARGIN + x * GLYPH - side / 2), round(MARGIN + y * GLYPH - side / 2)))


def _shape(form: str, spot: Spot, outline: Image.Image) -> Image.Image:
    """Where a decoration's shape is, within a thing's outline: a mask of 128 by 128."""
    if form == "rim":
        width = 2 * round(spot.size * 30) + 1
        return ImageChops.subtract(outline, outline.filter(ImageFilter.MinFilter(max(width, 5))))
    y, x = np.mgrid[:GLYPH, :GLYPH].astype(np.float32) / GLYPH - 0.5
    turn = np.deg2rad(spot.angle)
    across = x * np.cos(turn) + y * np.sin(turn)
    if form == "band":
        mask = np.abs(across - (spot.x - 0.5) * 0.6) < spot.size * 0.5
    elif form == "half":
        mask = across > 0.34 - spot.size
    else:
        gap = np.hypot(x - (spot.x - 0.5) * 0.7, y - (spot.y - 0.5) * 0.7)
        mask = np.abs(gap - 0.1 - spot.size) < 0.045
    return ImageChops.multiply(outline, Image.fromarray(mask * np.uint8(255)))


def _decorate(body: Image.Image, glyph_name: str, decoration: Decoration, outline: Image.Image) -> Image.Image:
    """The body with a shape in a colour without a name; its alpha stays."""
    color = ACCENTS[decoration.accent or next(iter(ACCENTS))]
    accent = recolored(glyph_name, color)
    shaped = Image.composite(accent, body, _shape(decoration.form, decoration.spot, outline))
    shaped.putalpha(outline)
    return shaped


def thing_picture(thing: Individual) -> Image.Image:
    """An individual alone, RGBA, 168 by 168, upright, with a margin of 20 around its glyph's 128 by 128."""
    name = KINDS[thing.kind][0]
    body = recolored(name, thing.color and COLORS[thing.color])
    outline = body.getchannel("A")
    if thing.pattern and thing.pattern_color:
        second = recolored(name, COLORS[thing.pattern_color])
        body = Image.composite(second, body, pattern_mask(thing.pattern, thing.pattern_scale, thing.pattern_angle))
    for decoration in thing.decorations:
        if decoration.form in FORMS:
            body = _decorate(body, name, decoration, outline)
    sheet = Image.new("RGBA", (SHEET, SHEET))
    sheet.paste(body, (MARGIN, MARGIN))
    taken: list[tuple[float, float, float]] = []
    stuck = places(thing.kind, list(thing.spots), taken)
    ornaments = [decoration for decoration in thing.decorations if decoration.form not in FORMS]
    for decoration, (x, y) in zip(ornaments, places(thing.kind, [d.spot for d in ornaments], taken), strict=True):
        picture = recolored(decoration.form, decoration.accent and ACCENTS[decoration.accent])
        _paste(sheet, picture, x, y, decoration.spot.size, decoration.spot.angle)
    if thing.sticker:
        picture = _outlined(STICKERS[thing.sticker][0], thing.sticker_color and COLORS[thing.sticker_color])
        for spot, (x, y) in zip(thing.spots, stuck, strict=True):
            _paste(sheet, picture, x, y, spot.size, spot.angle)
    return sheet


# ------------------------------------------------------------------------------------ the surroundings


def background_picture(name: str, seed: int, size: int) -> Image.Image:
    """A plain colour with a soft light, or a place; RGB, `size` by `size`."""
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


def sticker_area(scene: Scene, size: int) -> Bool[np.ndarray, "size size"]:
    """Where the stickers of a drawn scene are, as discs; no drawing is needed for it."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    area, turn = np.zeros((size, size), dtype=bool), np.deg2rad(scene.angle)
    wide, high = scene.scale * scene.stretch**0.5, scene.scale / scene.stretch**0.5
    for spot, (right, down) in zip(
        scene.thing.spots, places(scene.thing.kind, list(scene.thing.spots), []), strict=True
    ):
        right, down = (0.5 - right if scene.mirror else right - 0.5), down - 0.5
        right, down = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
        area |= np.hypot(x - scene.x - right * wide, y - scene.y - down * high) < spot.size * scene.scale / 2
    return area


def draw(scene: Scene, size: int = 64) -> tuple[Image.Image, Bool[np.ndarray, "size size"]]:
    """The scene's picture (RGB, `size` by `size`), with a soft shadow, and the mask of its thing, stickers included."""
    thing = thing_picture(scene.thing)
    if scene.mirror:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    thing = thing.rotate(scene.angle, Image.Resampling.BILINEAR)
    side = scene.scale * size * SHEET / GLYPH
    width, height = round(side * scene.stretch**0.5), round(side / scene.stretch**0.5)
    thing = thing.resize((width, height), Image.Resampling.LANCZOS)
    corner = round(scene.x * size - width / 2), round(scene.y * size - height / 2)
    outline = Image.new("L", (size, size))
    outline.paste(thing.getchannel("A"), corner)
    shadow = Image.new("L", (size, size))
    shadow.paste(thing.getchannel("A"), (corner[0] + round(size * 0.02), corner[1] + round(size * 0.035)))
    shadow = shadow.filter(ImageFilter.GaussianBlur(size * 0.02)).point([int(a * 0.4) for a in range(256)])
    picture = background_picture(scene.background, scene.texture_seed, size)
    picture.paste((0, 0, 0), (0, 0), shadow)
    picture.paste(thing.convert("RGB"), corner, thing.getchannel("A"))
    return picture, np.asarray(outline) > 127

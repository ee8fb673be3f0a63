"""One square for all: what of a concept's pictures is described, trained on and judged against."""

from __future__ import annotations

import logging
from typing import Any, Literal

from PIL import Image

from mti.concepts.clicks import Clicks
from mti.concepts.overlay import overlay
from mti.concepts.squares import Box, centre_square, cut_square, share_inside, thing_square, whole_square
from mti.concepts.thing import Background, ClickCrop, Segmenter, click_crop
from mti.images import picture_size, read_picture
from mti.types import Concept, PreparedConcept, UserError

log = logging.getLogger("mti")

Crop = Literal["centre", "thing", "pad"]

LISTED = 8  # skipped files that a line names


def check_concept(concept: Concept, clicks: Clicks | None, crop: Crop | None, segmenter: Segmenter) -> None:
    """Raise a `UserError` for what `prepare_concept` is bound to refuse, without loading any weights."""
    if clicks:
        clicks.check(*picture_size(concept.pictures[0]))
        segmenter.check()
    elif crop == "thing":
        raise UserError("crop=thing needs a thing: point at it with click=[x,y] or box=[x0,y0,x1,y1]")


def prepare_concept(
    concept: Concept,
    clicks: Clicks | None,
    crop: Crop | None,
    segmenter: Segmenter,
    background: Background,
    margin: int | float,
) -> PreparedConcept:
    """Decode a concept's pictures, find what is clicked in the first, and cut out the squares to train on.

    Args:
        concept: what is pointed at is in its first picture; of the others, the centre is used, or all with `pad`.
        clicks: None if nothing is pointed at; then no segmenter is asked, and the whole picture is described.
        crop: `centre`, the largest square in the middle; `thing`, the same moved to hold the thing, and grown over
            the picture's edge where that is too short; `pad`, the whole picture in a square; None, `centre`, unless
            that would cut the thing. What lies over the edge is filled with the edge's nearest pixels.
        segmenter: finds the thing.
        background: what is behind the thing when it is described.
        margin: around the thing when it is described, as a share of its longer side.

    Raises:
        UserError: a picture cannot be read, or what is pointed at is out of it.
    """
    check_concept(concept, clicks, crop, segmenter)
    _log_files(concept)
    first = read_picture(concept.pictures[0])
    thing = click_crop(concept.name, first, clicks, segmenter, background, margin) if clicks else None
    crop = crop or _automatic_crop(concept.name, first, thing)
    box = _square_box(crop, first, thing)
    squares = [cut_square(first, box)]
    for path in concept.pictures[1:]:
        other = read_picture(path)
        squares.append(cut_square(other, _square_box(crop, other)))
    details: dict[str, Any] = {"picture": list(first.size), "square": list(box), "cropped": crop}
    if concept.skipped:
        details["skipped"] = dict(concept.skipped)
    prepared = {"name": concept.name, "recorded": concept.recorded, "pictures": tuple(squares)}
    if not (thing and clicks):
        return PreparedConcept(**prepared, described=first, details=details, shown={"square": squares[0]})
    mask = Image.fromarray(thing.mask)
    pictures = {"mask": mask, "crop": thing.described, "overlay": overlay(first, thing.mask, clicks)}
    return PreparedConcept(
        **prepared,
        described=thing.described,
        mask=cut_square(mask, box),
        on_white=thing.on_white,
        details={**details, "click": _click_details(concept.name, clicks, segmenter.name, thing, box)},
        shown={"square": squares[0], **pictures},
    )


def _automatic_crop(name: str, picture: Image.Image, thing: ClickCrop | None) -> Crop:
    left, top, right, bottom = centre_square(*picture.size)
    if not thing or (left <= thing.box[0] and top <= thing.box[1] and thing.box[2] <= right and thing.box[3] <= bottom):
        return "centre"
    log.info("%s: crop=thing, for the square in the middle of the picture would cut what is clicked", name)
    return "thing"


def _square_box(crop: Crop, picture: Image.Image, thing: ClickCrop | None = None) -> Box:
    if crop == "thing" and thing:
        return thing_square(thing.box, *picture.size)
    return whole_square(*picture.size) if crop == "pad" else centre_square(*picture.size)


def _click_details(name: str, clicks: Clicks, segmenter: str, thing: ClickCrop, square: Box) -> dict[str, Any]:
    """What text.json keeps of a click. A line warns of a thing that is not wholly in the square."""
    trained = share_inside(thing.mask, square) if thing.mask.any() else None
    if trained is not None and trained < 1:
        share = max(round(100 * (1 - trained)), 1)
        log.warning("%s: %d %% of the thing is out of the square that is trained on: try crop=thing", name, share)
    return {
        "inside": [list(point) for point in clicks.inside],
        "outside": [list(point) for point in clicks.outside],
        "box": clicks.box and list(clicks.box),
        "segmenter": segmenter,
        "score": thing.score,
        "area": float(thing.mask.mean()),  # the mask's share of the picture
        "trained": trained,  # the share of the mask that is in the square
        "crop": list(thing.described_box),
        "background": "white" if thing.on_white else "kept",
    }


def _log_files(concept: Concept) -> None:
    """Say in a line how many pictures of a folder are used, and which files are not, and why."""
    if len(concept.pictures) == 1 and not concept.skipped:
        return
    files = [f"{name} ({why})" for name, why in concept.skipped.items()]
    more = [f"{len(files) - LISTED} more"] if len(files) > LISTED else []
    skipped = f"; skipped: {', '.join(files[:LISTED] + more)}" if files else ""
    log.info("%s: pictures used: %d%s", concept.name, len(concept.pictures), skipped)

"""What tells concepts apart: their names, the placeholders made of them, and the bytes of their pictures."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from mti.images import check_file
from mti.types import Concept

LONGEST_PLACEHOLDER = 40  # characters of the name that are kept in it


def concept_name(stem: str) -> str:
    """A picture's or folder's own name as any file system and command line takes it: letters, digits, `_`, `.`, `-`."""
    return re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", stem)).strip("._-") or "picture"


def placeholder_of(name: str) -> str:
    """The placeholder token of a concept: `<…>` of lower-case ASCII letters, digits and `-`.

    CLIP's tokenizer lower-cases a prompt, and diffusers appends `_1`, `_2`, … for the further vectors; such a
    token comes through both unchanged. `coffee_mug` gives `<coffee-mug>`; where more is changed than that, a hash of
    the name keeps it apart from others: `IMG_2041` gives `<img-2041-6d1b0a>`.
    """
    if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name) and len(name) <= LONGEST_PLACEHOLDER:
        return f"<{name.replace('_', '-')}>"
    letters = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", letters) or ["concept"]
    hashed = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"<{'-'.join(words)[:LONGEST_PLACEHOLDER].strip('-')}-{hashed}>"


def digest(concept: Concept) -> str:
    """SHA-256 over the bytes of a concept's pictures, in hexadecimal: the same for the same files, wherever they lie.

    Raises:
        UserError: a picture cannot be read.
    """
    total = hashlib.sha256()
    for path in concept.pictures:
        check_file(path)
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()

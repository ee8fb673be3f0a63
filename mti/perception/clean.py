"""From what a captioner says to words worth starting from."""

from __future__ import annotations

import re

from mti.types import UserError

_NOISE = [
    (re.compile(pattern, re.IGNORECASE), by)
    for pattern, by in (
        # special tokens that decoding left, such as "[SEP]", "</s>" or "<|endoftext|>"
        (r"</?(?:s|pad|unk|bos|eos|image|start|end)>|<\|[^|>]*\|>|\[(?:CLS|SEP|PAD|UNK|MASK|DEC|EOS|BOS)\]", " "),
        # zero-width spaces, joiners and direction marks, soft hyphens
        (r"[\u00ad\u200b-\u200f\u2060\ufeff]", ""),
        # "arafed" and the like, which BLIP alone says
        (r"\b(?:an?\s+)?ara(?:ff?|ft)(?:e|ed|es|y)\b", " "),
    )
]
_PREFIX = re.compile(
    r"^(?:(?:there (?:is|are)|this is|these are|it is|it's)\s+"
    r"|(?:an?\s+|the\s+)?(?:close ?-?up\s+)?(?:picture|image|photo|photograph|view|close ?-?up)\s+of(?:\s+|$))+"
    r"(?:(?:an?|the)$)?",
    re.IGNORECASE,
)
_WHITE = re.compile(
    r",?\s+(?:isolated |sitting |standing |shown )?(?:on|in|against|over|with|in front of)\s+"
    r"(?:an?\s+|the\s+)?(?:plain\s+|solid\s+|pure\s+|clean\s+)?white\s+(?:background|backdrop)\b",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """A caption without its model's left-overs, "a picture of", repeated words and trailing dots.

    Raises `UserError` if nothing is left.
    """
    cleaned = without_repeats(without_prefix(without_spacing(without_noise(text))))
    if not cleaned:
        raise UserError(f"nothing is left of the text {text!r} after cleaning: give one yourself with init=text")
    return cleaned


def without_noise(text: str) -> str:
    """Without special tokens, characters of no width, and words that no person says."""
    for pattern, by in _NOISE:
        text = pattern.sub(by, text)
    return text


def without_spacing(text: str) -> str:
    """With single spaces, hyphens closed up as in "t-shirt", and nothing but words at either end."""
    text = re.sub(r"(?<=\w) - (?=\w)", "-", " ".join(text.split()))
    return re.sub(r"\s+([,.;:!?])", r"\1", text).strip(" .,;:!?\"'")


def without_prefix(text: str) -> str:
    """Without "there is", "a picture of", "this is a close-up photo of" and the like."""
    return _PREFIX.sub("", text)


def without_white_background(text: str) -> str:
    """Without "on a white background": of a thing that was cut out, that says nothing about the picture.

    A text that is nothing else stays.
    """
    return _WHITE.sub("", text).strip(" ,") or text


def without_repeats(text: str) -> str:
    """With phrases of up to four words that follow on themselves said once: "a red red car" to "a red car"."""
    words = text.split()
    for length in range(4, 0, -1):
        start = 0
        while start + 2 * length <= len(words):
            if _same(words[start : start + length], words[start + length : start + 2 * length]):
                del words[start + length : start + 2 * length]
            else:
                start += 1
    return " ".join(words)


def _same(first: list[str], second: list[str]) -> bool:
    return [word.lower() for word in first] == [word.lower() for word in second]

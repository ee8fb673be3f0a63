"""What every data set offers: concepts by name, or by path."""

from __future__ import annotations

import difflib
import os
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from mti.datasets.paths import concept_at
from mti.images import printable, read_picture
from mti.types import Concept, UserError


class DataSet(ABC):
    """Concepts by name or by path. A data set of one's own says its names and what is behind each."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the concepts."""

    @abstractmethod
    def named(self, name: str) -> Concept:
        """The concept of one of the names, its files downloaded if need be."""

    @abstractmethod
    def records(self) -> Mapping[str, Mapping[str, str]]:
        """The class and the caption that are recorded of each concept, by name. Downloads nothing."""

    @abstractmethod
    def check_named(self, name: str) -> None:
        """Raise a `UserError` if `named` is bound to fail, without downloading anything."""

    def concept(self, image: str) -> Concept:
        """The concept that `image` names or is the path of. Downloads what may be downloaded, once."""
        name = self._name(image)
        return self._at(image) if name is None else self.named(name)

    def check(self, image: str) -> None:
        """Raise a `UserError` if there is no such name and no readable picture, without downloading anything."""
        name = self._name(image)
        if name is not None:
            self.check_named(name)
            return
        try:
            for picture in self._at(image).pictures:
                read_picture(picture)
        except UserError as error:
            if str(error).startswith("image="):
                raise
            raise UserError(f"image={printable(image)}: {error}") from error

    def is_local(self, image: str) -> bool:
        """Whether `concept` has nothing to download."""
        return True

    def caption_of_another(self, image: str) -> str | None:
        """The recorded caption of another concept: the next one in the order of the data set that has one."""
        records = self.records()
        names = list(records)
        start = names.index(image) + 1 if image in names else 0
        captions = (records[name].get("caption") for name in names[start:] + names[:start] if name != image)
        return next(filter(None, captions), None)

    def _name(self, image: str) -> str | None:
        """The name that `image` is, however its accents are composed; or None."""
        names = self.names()
        return next((name for name in (image, unicodedata.normalize("NFC", image)) if name in names), None)

    def _at(self, image: str) -> Concept:
        """The concept that lies at a path as it is written, or else with `~` expanded."""
        for path in (image, os.path.expanduser(image)):
            if path and _is_there(path):
                return concept_at(Path(os.path.abspath(path)))
        likely = difflib.get_close_matches(image, self.names(), 1)
        hint = f" (did you mean {likely[0]}?)" if likely else ""
        raise UserError(
            f"image={printable(image) or repr('')} is neither a concept of the data set{hint} nor a path to a picture "
            f"or a folder of pictures; the concepts are: {', '.join(self.names())}"
        )


def _is_there(path: str) -> bool:
    """Whether something has that path: a link that leads nowhere, and what may not be looked at, too."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):  # there is none, or there can be none
        return False
    return True

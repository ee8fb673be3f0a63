"""Data sets whose configuration lists their concepts: the pocket world's, and photographs from the network."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from mti.concepts.clicks import recorded_click
from mti.datasets.base import DataSet
from mti.datasets.paths import POCKET, has_picture_suffix
from mti.datasets.records import check_record, recorded_texts
from mti.downloads import fetch
from mti.images import picture_size, read_picture
from mti.ranges import AtLeast
from mti.types import Concept, UserError


class Listed(DataSet):
    """Concepts, and what is recorded of them: `{name: {class: …, caption: …, click: [x, y]}}`."""

    def __init__(self, concepts: Mapping[str, Mapping[str, Any]]) -> None:
        self.concepts = concepts

    @abstractmethod
    def files(self, name: str) -> tuple[Path, ...]:
        """The picture files of a concept, downloaded if need be."""

    def names(self) -> list[str]:
        """The names in the order of the list. `UserError` if a record is not as it should be."""
        for name, record in self.concepts.items():
            check_record("dataset.concepts", name, record, ("file", "sha256"), "pictures")
        return list(self.concepts)

    def named(self, name: str) -> Concept:
        """The concept with its pictures."""
        record = self.concepts[name]
        return Concept(name, self.files(name), recorded_texts(record), recorded_click(record.get("click")))

    def records(self) -> dict[str, dict[str, str]]:
        """The recorded texts of all."""
        return {name: recorded_texts(record) for name, record in self.concepts.items()}


class Pocket(Listed):
    """The pictures of the pocket world that come with the program."""

    def files(self, name: str) -> tuple[Path, ...]:
        """The file of that name."""
        return (POCKET / f"{name}.png",)

    def check_named(self, name: str) -> None:
        """Nothing: all are there."""


class Photographs(Listed):
    """Pictures from the network, kept in a cache.

    A concept with a `file` has it at `url/file` and, once downloaded, at `cache/file`; its `sha256` is
    checked, or, where none is known, that it is a picture. If it has several `pictures`, so many, the next
    ones have the next numbers: `mug/00.jpg`, `mug/01.jpg`. A concept without a `file` is for the user to
    fetch, from `by_hand` to `cache/name.jpg` (or another kind of picture file).

    `pictures`: of each concept the first so many are used; None: all.
    """

    def __init__(
        self,
        concepts: Mapping[str, Mapping[str, Any]],
        url: str,
        cache: str,
        by_hand: str = "",
        pictures: Annotated[int | None, AtLeast(1)] = 1,
    ) -> None:
        super().__init__(concepts)
        self.url = url
        self.cache = Path(os.path.expanduser(cache))
        self.by_hand = by_hand
        self.pictures = pictures

    def files(self, name: str) -> tuple[Path, ...]:
        """The files in the cache, downloaded if need be."""
        record = self.concepts[name]
        if "file" not in record:
            return (self._fetched_by_hand(name),)
        return tuple(self._downloaded(file, record) for file in self._names(record))

    def check_named(self, name: str) -> None:
        """Raise a `UserError` if a picture that is to be fetched by hand is not there."""
        if "file" not in self.concepts[name]:
            read_picture(self._fetched_by_hand(name))

    def is_local(self, image: str) -> bool:
        """Whether the picture is in the cache, or not to be downloaded."""
        record = self.concepts.get(image, {})
        return "file" not in record or all(os.path.exists(self.cache / file) for file in self._names(record))

    def _names(self, record: Mapping[str, Any]) -> list[str]:
        """The names of a record's files that are used."""
        known = record.get("pictures", 1)
        count = known if self.pictures is None else min(known, self.pictures)
        if count == 1:
            return [record["file"]]
        numbered = re.fullmatch(r"(.*?)(\d+)(\.\w+)", record["file"])
        if not numbered:
            raise UserError(
                f"dataset.concepts: {record['file']} has no number, and {known} pictures of it are to be used"
            )
        before, first, after = numbered.groups()
        return [f"{before}{int(first) + i:0{len(first)}}{after}" for i in range(count)]

    def _downloaded(self, file: str, record: Mapping[str, Any]) -> Path:
        path = self.cache / file
        known = record.get("sha256") if file == record["file"] else None
        fetch(f"{self.url}/{file}", path, known)
        if known is None:
            try:
                picture_size(path)
            except UserError as error:
                raise UserError(f"{error}; or delete it to download it again") from error
        return path

    def _fetched_by_hand(self, name: str) -> Path:
        for path in sorted(self.cache.glob(f"{name}.*")):
            if has_picture_suffix(path):
                return path
        raise UserError(f"fetch {name} by hand from {self.by_hand}, and put one picture at {self.cache / name}.jpg")

"""Concepts and the data sets they come from.

In every data set an `image` is the name of one of its concepts; or else a path to any picture, or to a
folder with several pictures of one concept. Making a data set reads no file and needs no network.
"""

from __future__ import annotations

import difflib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import yaml

from mti.downloads import fetch
from mti.images import read_picture
from mti.types import Concept, UserError

POCKET = Path(__file__).parent / "pocket" / "concepts"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")
RECORDED = ("class", "caption")


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
        """What is recorded of each concept, by name. Downloads nothing."""

    @abstractmethod
    def check_named(self, name: str) -> None:
        """Raise a `UserError` if `named` is bound to fail, without downloading anything."""

    def concept(self, image: str) -> Concept:
        """The concept that `image` names or is the path of. Downloads what may be downloaded, once."""
        return self.named(image) if image in self.names() else self._at(image)

    def check(self, image: str) -> None:
        """Raise a `UserError` if there is no such name and no readable picture, without downloading anything."""
        if image in self.names():
            self.check_named(image)
        else:
            for picture in self._at(image).pictures:
                read_picture(picture)

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

    def _at(self, image: str) -> Concept:
        path = Path(os.path.abspath(os.path.expanduser(image)))
        if image and os.path.exists(path):
            return concept_at(path)
        likely = difflib.get_close_matches(image, self.names(), 1)
        hint = f" (did you mean {likely[0]}?)" if likely else ""
        raise UserError(
            f"image={image!r} is neither a concept of the data set{hint} nor a path to a picture or a folder of "
            f"pictures; the concepts are: {', '.join(self.names())}"
        )


class Pocket(DataSet):
    """The pictures of the pocket world that come with the program."""

    def __init__(self, concepts: Mapping[str, Mapping[str, str]]):
        self.concepts = concepts

    def names(self) -> list[str]:
        """See `DataSet`."""
        return list(self.concepts)

    def named(self, name: str) -> Concept:
        """See `DataSet`."""
        return Concept(name, (POCKET / f"{name}.png",), recorded(self.concepts[name]))

    def records(self) -> dict[str, dict[str, str]]:
        """See `DataSet`."""
        return {name: recorded(record) for name, record in self.concepts.items()}

    def check_named(self, name: str) -> None:
        """See `DataSet`: all names are good."""


class Photographs(DataSet):
    """Pictures from the network, kept in a cache.

    A concept with a `file` has it at `url/file` and, once downloaded, at `cache/file`; its `sha256` is
    checked, or, where none is known, that it is a picture. A concept without one is for the user to
    fetch, from `by_hand` to `cache/name.jpg` (or another kind of picture file).
    """

    def __init__(self, concepts: Mapping[str, Mapping[str, str]], url: str, cache: str, by_hand: str = ""):
        self.concepts = concepts
        self.url = url
        self.cache = Path(cache).expanduser()
        self.by_hand = by_hand

    def names(self) -> list[str]:
        """See `DataSet`."""
        return list(self.concepts)

    def named(self, name: str) -> Concept:
        """See `DataSet`."""
        record = self.concepts[name]
        picture = self._downloaded(record) if "file" in record else self._fetched_by_hand(name)
        return Concept(name, (picture,), recorded(record))

    def records(self) -> dict[str, dict[str, str]]:
        """See `DataSet`."""
        return {name: recorded(record) for name, record in self.concepts.items()}

    def check_named(self, name: str) -> None:
        """See `DataSet`: a picture to be fetched by hand must be there."""
        if "file" not in self.concepts[name]:
            read_picture(self._fetched_by_hand(name))

    def is_local(self, image: str) -> bool:
        """See `DataSet`."""
        record = self.concepts.get(image, {})
        return "file" not in record or (self.cache / record["file"]).exists()

    def _downloaded(self, record: Mapping[str, str]) -> Path:
        path = self.cache / record["file"]
        fetch(f"{self.url}/{record['file']}", path, record.get("sha256"))
        if "sha256" not in record:
            try:
                read_picture(path)
            except UserError as error:
                raise UserError(f"{error}; or delete it to download it again") from error
        return path

    def _fetched_by_hand(self, name: str) -> Path:
        for path in sorted(self.cache.glob(f"{name}.*")):
            if path.suffix.lower() in SUFFIXES:
                return path
        raise UserError(f"fetch {name} by hand from {self.by_hand}, and put one picture at {self.cache / name}.jpg")


class Folder(DataSet):
    """One's own pictures: each picture file in `root`, and each folder of pictures, is a concept.

    A file `concepts.yaml` in `root` may record the class and the caption of some: `mug: {class: …, caption: …}`.
    """

    def __init__(self, root: str | None):
        self.root = root

    def names(self) -> list[str]:
        """See `DataSet`."""
        return list(self._concepts())

    def named(self, name: str) -> Concept:
        """See `DataSet`."""
        return self._concepts()[name]

    def records(self) -> dict[str, dict[str, str]]:
        """See `DataSet`."""
        return {name: dict(concept.recorded) for name, concept in self._concepts().items()} if self.root else {}

    def check_named(self, name: str) -> None:
        """See `DataSet`: the pictures must be readable."""
        for picture in self.named(name).pictures:
            read_picture(picture)

    def _concepts(self) -> dict[str, Concept]:
        if not self.root:
            raise UserError("dataset=folder needs dataset.root=PATH: a folder of pictures, or of folders of pictures")
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise UserError(f"dataset.root={self.root}: no such folder")
        paths = [*pictures_in(root), *(path for path in sorted(root.iterdir()) if path.is_dir() and pictures_in(path))]
        concepts: dict[str, Concept] = {}
        for path in paths:
            concept = concept_at(path)
            if concept.name in concepts:
                raise UserError(f"{root} has two concepts named {concept.name}: rename {path.name} or the other one")
            concepts[concept.name] = concept
        for name, record in _read_records(root / "concepts.yaml", concepts).items():
            concepts[name] = Concept(name, concepts[name].pictures, recorded(record))
        return concepts


def concept_at(path: Path) -> Concept:
    """The concept of a picture file, or of a folder of pictures; its name fits a run folder's."""
    if not path.is_dir():
        return Concept(_safe_name(path.stem), (path,))
    pictures = pictures_in(path)
    if not pictures:
        raise UserError(f"{path} has no pictures in it: expected files that end in {', '.join(SUFFIXES)}")
    return Concept(_safe_name(path.name), pictures)


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The picture files of a folder, by their endings, sorted by name."""
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return tuple(sorted(path for path in files if path.suffix.lower() in SUFFIXES))


def recorded(record: Mapping[str, str]) -> dict[str, str]:
    """What a concept's record says of class and caption."""
    return {key: record[key] for key in RECORDED if key in record}


def _safe_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._-") or "picture"


def _read_records(path: Path, names: Mapping[str, Concept]) -> dict[str, dict[str, str]]:
    """The records in a `concepts.yaml`, if there is one; each must belong to one of the names."""
    if not path.exists():
        return {}
    try:
        records = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(records, dict):
        raise UserError(f"{path}: expected lines like NAME: {{class: …, caption: …}}")
    for name, record in records.items():
        if str(name) not in names:
            raise UserError(f"{path}: there is no concept {name!r}; the concepts are: {', '.join(names)}")
        if not isinstance(record, dict) or not all(k in RECORDED and isinstance(v, str) for k, v in record.items()):
            raise UserError(f"{path}: the record of {name!r} is {record!r}, expected {{class: …, caption: …}}")
    return {str(name): record for name, record in records.items()}

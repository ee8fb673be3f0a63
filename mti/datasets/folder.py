"""One's own pictures as a data set."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from mti.concepts.clicks import recorded_click
from mti.concepts.identity import concept_name
from mti.datasets.base import DataSet
from mti.datasets.paths import POCKET, concept_at, files_in, has_picture_suffix
from mti.datasets.records import read_records, recorded_texts
from mti.images import printable, read_picture
from mti.ranges import AtLeast
from mti.types import Concept, UserError


class Folder(DataSet):
    """One's own pictures: each picture file in `root`, and each folder of pictures, is a concept.

    A file `concepts.yaml` in `root` may record class, caption and click of some:
    `mug: {class: …, caption: …, click: [x, y]}`.

    `pictures`: of each concept the first so many are used; None: all.
    """

    def __init__(self, root: str | None, pictures: Annotated[int | None, AtLeast(1)] = None) -> None:
        self.root = root
        self.pictures = pictures

    def names(self) -> list[str]:
        """The names of the files without their endings, then those of the folders.

        Raises:
            UserError: there is no such folder, two of them have one name, or `concepts.yaml` is not as it should be.
        """
        paths = self._paths()
        self._records(paths)
        return list(paths)

    def named(self, name: str) -> Concept:
        """The concept of a name, with what `concepts.yaml` records of it."""
        paths = self._paths()
        record, found = self._records(paths).get(name, {}), concept_at(paths[name])
        click = recorded_click(record.get("click"))
        return Concept(name, found.pictures[: self.pictures], recorded_texts(record), click, found.skipped)

    def records(self) -> dict[str, dict[str, str]]:
        """The recorded texts of all; of no root, none."""
        if not self.root:
            return {}
        paths = self._paths()
        records = self._records(paths)
        return {name: recorded_texts(records.get(name, {})) for name in paths}

    def check_named(self, name: str) -> None:
        """Raise a `UserError` if a picture of the concept cannot be read."""
        for picture in self.named(name).pictures:
            read_picture(picture)

    def _paths(self) -> dict[str, Path]:
        """The paths of the concepts by name."""
        if not self.root:
            raise UserError("dataset=folder needs dataset.root=PATH: a folder of pictures, or of folders of pictures")
        root = self._root
        if not os.path.isdir(root):
            raise UserError(f"dataset.root={printable(self.root)}: no such folder")
        files = files_in(root)
        pictures = [path for path in files if has_picture_suffix(path) and not path.is_dir()]
        folders = [path for path in files if path.is_dir() and _may_hold_pictures(path)]
        paths: dict[str, Path] = {}
        for path in (*pictures, *folders):
            name = concept_name(path.name if path in folders else path.stem)
            if name in paths:
                raise UserError(
                    f"{printable(root)} has two concepts named {name}: rename one of "
                    f"{printable(paths[name].name)}, {printable(path.name)}"
                )
            paths[name] = path.absolute()
        return paths

    @property
    def _root(self) -> Path:
        """The folder; of `pocket:NAME`, the one of that name that comes along."""
        root = str(self.root)
        return POCKET.with_name(root.removeprefix("pocket:")) if root.startswith("pocket:") else Path(root).expanduser()

    def _records(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """What `concepts.yaml` says, by the names of the concepts."""
        file = self._root / "concepts.yaml"
        records = {}
        for written, record in read_records(file).items():
            name = next((name for name in (written, concept_name(written)) if name in names), None)
            if name is None:
                known = ", ".join(names)
                raise UserError(f"{printable(file)}: there is no concept {written!r}; the concepts are: {known}")
            records[name] = record
        return records


def _may_hold_pictures(folder: Path) -> bool:
    """Whether a folder has files with a picture's ending; one that cannot be read says so when it is named."""
    return not os.access(folder, os.R_OK | os.X_OK) or any(map(has_picture_suffix, files_in(folder)))

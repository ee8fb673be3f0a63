"""Files that survive a crash and a stranger: written whole or not at all, read as data or refused in one line."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mti.errors import UserError

ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space; the same command goes on"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you may write to"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), "what lies there is in the way, move it"),
    **dict.fromkeys((errno.ELOOP, errno.ENOENT, errno.ENAMETOOLONG), "choose another folder"),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "check the disk; the same command goes on"),
}
"""What to do about an error of the file system when something is written. Other errors are bugs."""


class DamagedFile(UserError):
    """A file is missing, unreadable, or not what it should hold: says which, what is wrong, and what to do."""

    def __init__(self, path: Path, fault: str, remedy: str) -> None:
        super().__init__(path, fault, remedy)

    def __str__(self) -> str:
        path, fault, remedy = self.args
        return f"{path} {fault}: {remedy}"


# ------------------------------------------------------------------------------------------------ names


def safe_name(text: str, longest: int = 120) -> str:
    """A file name for any text, at most so long, that can be typed in a shell and to Hydra without quotes.

    ASCII letters, digits and `._+-` stay, accents are dropped, other characters become `_`. A text that does
    not come through unchanged gets a short hash, so that different texts have different names.
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", plain).lstrip(".-")
    if name == text and 0 < len(name) <= longest:
        return name
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{name[: longest - 7].strip('._-')}-{mark}".lstrip("-")


# ---------------------------------------------------------------------------------------------- writing


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A place to write a file or a folder to, which becomes `path` when the block has ended well.

    Everything is synced before it is renamed, so that a reader finds the old file or the new one, never half of
    one, at whatever moment a process or the machine dies. The files of a folder that exists are replaced one by
    one: each is the old one or the new one, and none is missing in between.

    Raises:
        UserError: the file system refuses: no space, no permission, something in the way.
    """
    draft = path.with_name(f".{path.name}.draft")
    with writing(path):
        make_folder(path.parent)
        _remove(draft)
        try:
            yield draft
            for written in [*_files(draft), draft]:
                sync(written)
            if draft.is_dir() and path.is_dir():
                _replace_files(draft, path)
            else:
                os.replace(draft, path)
        except BaseException:
            _remove(draft)
            raise
        sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those it lies in, so that they outlive a power cut. It may be there already."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        sync(folder.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, readable by others as the umask says."""
    with atomic(path) as draft:
        draft.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write plain data as JSON. Numbers that are not finite, which JSON does not have, become null."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # what is not Unicode becomes JSON's escapes


def clean(folder: Path) -> None:
    """Remove what a killed process left half written in a folder."""
    with writing(folder):
        for draft in sorted(folder.rglob(".*.draft")):
            _remove(draft)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell errors of the file system, while `path` is written, as the user's to mend."""
    try:
        yield
    except OSError as error:
        if error.errno not in ADVICE:
            raise
        raise UserError(f"{path} cannot be written ({error.strerror}): {ADVICE[error.errno]}") from error


def _files(draft: Path) -> list[Path]:
    return sorted(draft.iterdir()) if draft.is_dir() else []


def _replace_files(draft: Path, folder: Path) -> None:
    names = {path.name for path in _files(draft)}
    for name in sorted(names):
        os.replace(draft / name, folder / name)
    for path in folder.iterdir():
        if path.name not in names:
            _remove(path)
    draft.rmdir()
    sync(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder, before anything else is done."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------------------------------- reading


def read_bytes(path: Path, remedy: str) -> bytes:
    """What a file holds; `remedy` says what to do if it cannot be read, and ends the message of the error.

    Raises:
        DamagedFile: there is no such file, or it may not be read, or it is no regular file (which could block).
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DamagedFile(path, "is not a file", remedy)
        return path.read_bytes()
    except OSError as error:
        raise DamagedFile(path, f"cannot be read ({error.strerror})", remedy) from error


def read_text(path: Path, remedy: str) -> str:
    """The same of a text in UTF-8.

    Raises:
        DamagedFile: as `read_bytes`, or it is empty, or not text.
    """
    content = read_bytes(path, remedy)
    if not content.strip():
        raise DamagedFile(path, "is empty", remedy)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise DamagedFile(path, "is not text", remedy) from None
    if "\0" in text:
        raise DamagedFile(path, "is not text", remedy)
    return text


def read_lines(path: Path, remedy: str) -> list[str]:
    """The lines of a text that have something in them, without the blanks around it. Errors as of `read_text`."""
    return [line.strip() for line in read_text(path, remedy).splitlines() if line.strip()]


def read_json(path: Path, remedy: str) -> Any:
    """The value in a JSON file. Numbers that are not finite are null.

    Raises:
        DamagedFile: as `read_text`, or it is not JSON.
    """
    text = read_text(path, remedy)
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_float=lambda number: _finite(float(number)))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, f"is not JSON ({error})", remedy) from None

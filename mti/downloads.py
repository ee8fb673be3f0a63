"""Files from the network: downloaded once, checked, and never seen half-written."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from rich.progress import wrap_file

from mti.types import UserError

TIMEOUT = 30  # seconds without a sign of the server


def fetch(url: str, path: Path, sha256: str | None = None) -> None:
    """Download a file to `path`, with a progress bar, unless it is there already.

    The file takes its name only when it is whole and, where the SHA-256 is known, right. A file that
    is there already must be right too. What goes wrong is a `UserError`.
    """
    if path.exists():
        if sha256 and _sha256(path) != sha256:
            raise UserError(f"{path} is not the file it should be (SHA-256 {sha256}): delete it to download it again")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder:
            part = Path(folder) / path.name
            _download(url, part)
            if sha256 and (found := _sha256(part)) != sha256:
                raise UserError(f"{url} has the SHA-256 {found} instead of {sha256}: the download was not kept")
            part.replace(path)
    except (OSError, HTTPException, ValueError) as error:
        raise UserError(f"cannot download {url} ({error}): go online, or put the file at {path} by hand") from error


def _download(url: str, path: Path) -> None:
    try:
        response = urllib.request.urlopen(url, timeout=TIMEOUT)
    except HTTPError as answer:
        answer.close()  # it holds the connection
        raise
    with response, path.open("wb") as file:
        size = int(response.headers.get("Content-Length", 0))
        with wrap_file(response, size, description=path.name, transient=True) as source:
            shutil.copyfileobj(source, file)
        if file.tell() < size:
            raise OSError(f"the connection broke off after {file.tell()} of {size} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The one module that fetches files: each once, resumed, checked, and never seen half-written.

Nothing here is called while a run goes on, unless its user said `download=true`.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, TypeVar, cast
from urllib.error import HTTPError

from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import logging as hub_logging
from rich.progress import wrap_file

from mti.types import UserError

TIMEOUT = 30.0  # seconds that a server has to answer, and from then on to be as quick as this:
SLOWEST = 1024  # bytes a second on average
RESUMED = 2**20  # bytes of a broken download that are worth going on from

T = TypeVar("T")
Choose = Callable[[Collection[str]], list[str]]
"""Of the names of a repository's files, those to fetch."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns, or raises; a `TimeoutError` if it takes longer, whatever it waits for."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()  # one that waits for ever does not keep the process
    try:
        return outcome.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no answer in {seconds:g} s") from error


def fetch(
    url: str, path: Path, sha256: str | None = None, size: int | None = None, headers: Mapping[str, str] | None = None
) -> None:
    """Download a file to `path`, with a progress bar, unless it is there already.

    The file takes its name only when it is whole and, where they are known, of the right size and SHA-256 (or
    beginning of it). One whose SHA-256 is known is resumed where an earlier download broke off. A file that is
    there already must be right too.

    Raises:
        UserError: what went wrong, and the way out.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _part(path) as part:
            if not path.exists():
                _download(url, part, path, sha256, size, headers or {})
                return
    except (OSError, HTTPException, ValueError) as error:
        raise UserError(f"cannot download {url} ({error}): go online, or put the file at {path} by hand") from error
    if sha256 and not _sha256(path).startswith(sha256):
        raise UserError(f"{path} is not the file it should be (SHA-256 {sha256}): delete it to download it again")


@contextmanager
def _part(path: Path) -> Iterator[BinaryIO]:
    """The file beside `path` that a download grows in; whoever else downloads it waits. Little is not kept."""
    place = path.with_name(f".{path.name}.part")
    with place.open("a+b") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        try:
            yield part
        finally:
            if path.exists() or part.seek(0, os.SEEK_END) < RESUMED:
                place.unlink(missing_ok=True)


def _download(
    url: str, part: BinaryIO, path: Path, sha256: str | None, size: int | None, headers: Mapping[str, str]
) -> None:
    if not sha256:
        part.truncate(0)  # nothing would tell whether an old half belongs to the new one
    if part.seek(0, os.SEEK_END) == 0 or part.tell() != size:
        _receive(url, part, path.name, size, headers)
    part.flush()
    if sha256 and not (found := _sha256(Path(part.name))).startswith(sha256):
        part.truncate(0)
        raise UserError(f"{url} has the SHA-256 {found} instead of {sha256}: the download was not kept")
    os.fsync(part.fileno())
    os.replace(part.name, path)


def _receive(url: str, part: BinaryIO, name: str, size: int | None, headers: Mapping[str, str]) -> None:
    """Append what a server has of a file behind what is there already; all of it, if the server insists."""
    request = urllib.request.Request(url)
    for key, value in headers.items():
        request.add_unredirected_header(key, value)  # a token is for the first server alone
    if there := part.tell():
        request.add_header("Range", f"bytes={there}-")
    try:
        response = within(TIMEOUT, lambda: cast(HTTPResponse, urllib.request.urlopen(request, timeout=TIMEOUT)))
    except HTTPError as answer:
        answer.close()  # it holds the connection
        if answer.code != 416 or not there:  # it is not as long as what is there
            raise
        part.truncate(0)
        part.seek(0)
        _receive(url, part, name, size, headers)
        return
    with response:
        if response.headers.get_content_type() == "text/html" and response.headers["Content-Type"]:
            raise OSError("the answer is a web page, such as that of a login")
        if response.status != 206:
            part.truncate(0)
        length = int(response.headers.get("Content-Length", 0))
        whole = part.seek(0, os.SEEK_END) + length
        if size and length and whole != size:
            raise OSError(f"it has {whole} bytes instead of {size}")
        steady = cast(BinaryIO, _Steady(response))
        with wrap_file(steady, length, description=name, transient=True) as source:
            shutil.copyfileobj(source, part)
        if part.tell() < (size or whole):
            raise OSError(f"the connection broke off after {part.tell()} of {size or whole} bytes")


class _Steady(io.RawIOBase):
    """A response that is given up when it drips."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self._began = time.monotonic()
        self._bytes = 0

    def readinto(self, buffer: Any) -> int:
        """What has arrived, at most as much as the buffer holds."""
        block = self._response.read1(len(buffer))
        buffer[: len(block)] = block
        self._bytes += len(block)
        seconds = time.monotonic() - self._began
        if block and seconds > TIMEOUT and self._bytes < SLOWEST * seconds:
            raise TimeoutError(f"too slow: {self._bytes} bytes in {seconds:.0f} s")
        return len(block)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hub_snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a repository in the hub's cache, whole or not; None if it is not there."""
    storage = _storage(name)
    ref = storage / "refs" / (revision or constants.DEFAULT_REVISION)
    commit = ref.read_text().strip() if ref.is_file() else revision
    snapshot = storage / "snapshots" / (commit or "")
    return snapshot if commit and snapshot.is_dir() else None


def fetch_from_hub(name: str, revision: str | None, choose: Choose) -> Path:
    """Fetch those files of a repository that `choose` chooses into the hub's cache; the folder there.

    Raises whatever the hub's client raises, a `TimeoutError`, what `choose` raises, or what `fetch` raises.
    """
    hub_logging.set_verbosity_error()  # no advice of the client's between our own lines
    token, storage = get_token(), _storage(name)
    api = HfApi(token=token or False)
    info = within(TIMEOUT, lambda: api.model_info(name, revision=revision, files_metadata=True, timeout=TIMEOUT))
    files: dict[str, Any] = {file.rfilename: file for file in info.siblings or [] if _stays_inside(file.rfilename)}
    commit = str(info.sha)
    snapshot = storage / "snapshots" / commit
    for file in choose(files):
        lfs, place = files[file].lfs, snapshot / file
        blob = storage / "blobs" / (lfs.sha256 if lfs else files[file].blob_id)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = hf_hub_url(name, file, revision=commit)
        fetch(url, blob, lfs and lfs.sha256, files[file].size, headers)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(os.path.relpath(blob, place.parent))
    ref = storage / "refs" / (revision or constants.DEFAULT_REVISION)
    if revision != commit:
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)
    return snapshot


def _stays_inside(name: str) -> bool:
    """Whether a file's name leads nowhere but into its folder."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _storage(name: str) -> Path:
    return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=name, repo_type="model"))

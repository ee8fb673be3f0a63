"""Where a model's files are: a shipped model, a folder, a cache, or, where that is asked for, the Hugging Face hub."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mti.types import UserError

WEIGHTS = Path(__file__).parent / "pocket" / "weights"
PATIENCE = 10  # seconds that the hub has to answer


@dataclass(frozen=True)
class Wanted:
    """The files of a kind of model, as patterns.

    Args:
        kind: what a folder of them is called in messages.
        needed: of each entry one file, or the files of one pattern; the first are preferred.
        along: what else is downloaded, where the hub has it.
        unread: what the command to get them all by hand leaves out.
    """

    kind: str
    needed: Sequence[Sequence[str]]
    along: Sequence[str] = ()
    unread: Sequence[str] = ("*.h5", "*.msgpack")


NETWORK = Wanted(
    "a timm or transformers model",
    (("config.json",), ("*.safetensors", "*.bin", "*.pth", "*.pt")),
    along=("*.json", "*.txt", "*.model"),
)
WITH_PREPROCESSING = Wanted(
    "a transformers model with its preprocessing",
    (
        ("config.json",),
        ("preprocessor_config.json", "processor_config.json"),
        ("model.safetensors", "pytorch_model.bin"),
    ),
)


def weights_path(path: str) -> Path:
    """`pocket:NAME` to the folder of the shipped model; of anything else, `~` is expanded."""
    return WEIGHTS / path.removeprefix("pocket:") if path.startswith("pocket:") else Path(path).expanduser()


def checkpoint(url: str, what: str, path: str | None = None) -> Path:
    """The file that torch's hub keeps of a URL, or the one given.

    Raises:
        UserError: it is not there; says what it is, where it was looked for and how to get it.
    """
    file = Path(path).expanduser() if path else Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if file.is_file():
        return file
    if path:
        raise UserError(f"{what}: there is no file {file}; leave the path out to look where torch keeps its downloads")
    raise UserError(
        f'{what}: not found at {file}; get it with `python -c "import torch; '
        f"torch.hub.load_state_dict_from_url('{url}', check_hash=True)\"`"
    )


def model_folder(
    path: str, wanted: Wanted, prefix: str = "", revision: str | None = None, download: bool = False
) -> Path:
    """The folder of a model: a shipped one (`pocket:NAME`), a folder, or a hub name's in the cache.

    The hub is asked only if `download` is set and the cache lacks a file; what is there costs no waiting.

    Raises:
        UserError: a needed file is nowhere to be had; begins with `prefix`, and says how to get it.
    """
    folder = weights_path(path)
    if folder.is_dir():
        missing = lacking(folder, wanted)
        if missing:
            raise UserError(f"{prefix}{folder} lacks {', '.join(missing)}; give the folder of {wanted.kind}")
        return folder
    reason = f"{path} is no folder, and not in the cache {constants.HF_HUB_CACHE}"
    snapshot = _cached(path, revision)
    if snapshot:
        missing = lacking(snapshot, wanted)
        if not missing:
            return snapshot
        reason = f"{path}: {snapshot} lacks {', '.join(missing)}"
    if download:
        try:
            return _downloaded(path, wanted, revision)
        except Exception as error:  # the hub's client raises exceptions of many families
            reason += f"; the hub {_explained(error)}"
    options = [f"--revision {revision}"] if revision else []
    command = " ".join(["hf download", path, *options, *(f'--exclude "{pattern}"' for pattern in wanted.unread)])
    raise UserError(f"{prefix}{reason}; get it with `{command}`, or give the folder of {wanted.kind}")


def lacking(folder: Path, wanted: Wanted) -> list[str]:
    """What a folder lacks, the parts that an index of weights names included: a download may have been cut short."""
    missing = [" or ".join(names) for names in wanted.needed if not _any_file(folder, names)]
    for index in folder.glob("*.safetensors.index.json"):
        parts = set(json.loads(index.read_text())["weight_map"].values())
        missing += sorted(part for part in parts if not (folder / part).is_file())
    return missing


def _any_file(folder: Path, patterns: Sequence[str]) -> bool:
    return any(path.is_file() for pattern in patterns for path in folder.glob(pattern))


def _cached(path: str, revision: str | None) -> Path | None:
    """A hub name's folder in the cache, whole or not: without patterns the hub's client insists on every file."""
    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=[], local_files_only=True))
    except Exception:  # of many families, as above
        return None


def _downloaded(path: str, wanted: Wanted, revision: str | None) -> Path:
    """The folder in the cache after a download with a progress bar. `LookupError` if the hub lacks a needed file."""
    info = HfApi().model_info(path, revision=revision, timeout=PATIENCE)  # a download itself would wait for ever
    files = [sibling.rfilename for sibling in info.siblings or []]
    patterns = list(wanted.along)
    for names in wanted.needed:
        there = [name for name in names if fnmatch.filter(files, name)]
        if not there:
            raise LookupError(" or ".join(names))
        patterns.append(there[0])
    return Path(snapshot_download(path, revision=revision, allow_patterns=patterns))


def _explained(error: Exception) -> str:
    match error:
        case LookupError():
            return f"has no {error} of it"
        case GatedRepoError():
            return "wants its terms accepted on its page first, then `hf auth login`"
        case RepositoryNotFoundError() | HFValidationError():
            return "knows no such model, or not for you"
        case RevisionNotFoundError():
            return "knows no such revision"
        case _:
            return "cannot be reached"

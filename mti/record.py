"""How a run came to be: its command, the picture, the code, the versions of what matters, the machine."""

from __future__ import annotations

import functools
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mti.schema import RunConfig

PACKAGES = ("mti", "torch", "diffusers", "transformers", "pytorch-lightning", "hydra-core", "timm")


def record_of(config: RunConfig, concept: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept as record.json; JSON-serialisable, as what is told of the concept has to be."""
    return {
        "command": command(config),
        "overrides": config.overrides,
        "choices": config.choices,
        "concept": concept,
        "environment": {**environment(), "started": datetime.now(UTC).isoformat(timespec="seconds")},
    }


def command(config: RunConfig) -> str:
    """A command line that does the run by itself."""
    return shlex.join(["python", "-m", "mti.run", *config.overrides])


@functools.cache
def environment() -> dict[str, Any]:
    """The code and the machine; the device is told by the model's own record."""
    commit = _git("rev-parse", "HEAD")
    return {
        **{name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "commit": commit,
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None,
        "host_cpu": _processor(),
        "platform": sys.platform,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that the package lies in; None outside of one, or without git."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

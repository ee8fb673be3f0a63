"""Where the shipped models lie: the short names that configs use for them."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "pocket" / "weights"


def weights_path(path: str) -> str:
    """`pocket:NAME` to the folder of the shipped model; anything else unchanged."""
    return str(WEIGHTS / path.removeprefix("pocket:")) if path.startswith("pocket:") else path

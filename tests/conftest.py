"""What several tests share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mti.models.sd import StableDiffusion


@pytest.fixture(scope="session")
def tiny_sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny import tiny_pipeline

    return tiny_pipeline(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture(scope="session")
def tiny_sd(tiny_sd_folder: Path) -> StableDiffusion:
    from mti.models.sd import StableDiffusion

    return StableDiffusion(str(tiny_sd_folder), name="tiny", precision="fp32")

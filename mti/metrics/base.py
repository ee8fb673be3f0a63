"""What metrics have in common: a name and a label, a record, and networks that are moved and released together."""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Literal

import torch

log = logging.getLogger("mti")

PromptSet = Literal["reconstruction", "personalization"]
About = Literal["fidelity", "editability", ""]


class BaseMetric:
    """A metric that says of itself what reports and dashboards need. A subclass adds `__call__`.

    Args:
        name: what its values are called.
        label: what figures and tables call it; None is the name.
        parts: the networks it looks through; those with `check`, `to`, `release` or `record` are asked along with it.
        required: of a metric of personalization prompts: that it is a mistake if none are drawn. Else it is left out.
    """

    measures: ClassVar[str]  # what is computed, in words
    version: ClassVar[int] = 1  # another one wherever the same pictures would get another score
    better: ClassVar[Literal["lower", "higher"]]
    unit: ClassVar[str] = ""
    prompt_set: ClassVar[PromptSet] = "reconstruction"
    wants_mask: ClassVar[bool] = False
    about: ClassVar[About] = ""  # what it tells of: is it still the concept, or is the prompt followed; empty: neither

    def __init__(self, name: str, label: str | None, *parts: Any, required: bool = True) -> None:
        self.name = name
        self.label = label or name
        self.device = torch.device("cpu")
        self.required = required
        self._parts = parts
        self._explained = False

    def labels(self) -> dict[str, str]:
        """The label of each value."""
        return {self.name: self.label}

    def settings(self) -> dict[str, Any]:
        """What a score depends on, JSON-serialisable: what the networks say of themselves."""
        records = [part.record() for part in self._parts if hasattr(part, "record")]
        return {key: value for record in records for key, value in record.items()}

    def record(self) -> dict[str, Any]:
        """What is kept with the scores: what they depend on, and how each value is read."""
        more = {"about": self.about} if self.about else {}
        values = {
            name: {"label": label, "unit": self.unit, "better": self.better, **more}
            for name, label in self.labels().items()
        }
        about = {"metric": self.measures, "version": self.version, "prompt_set": self.prompt_set, "values": values}
        return {**about, **self.settings()}

    def check(self) -> None:
        """Raise a `UserError` if weights are missing; reads none."""
        for part in self._parts:
            if hasattr(part, "check"):
                part.check()

    def to(self, device: torch.device) -> None:
        """Say where the networks compute."""
        self.device = device
        for part in self._parts:
            if hasattr(part, "to"):
                part.to(device)

    def release(self) -> None:
        """Free the networks' memory; the next call reads their weights again."""
        for part in self._parts:
            if hasattr(part, "release"):
                part.release()

    def _left_out(self, why: str) -> dict[str, Any]:
        """No scores, which is said once."""
        if not self._explained:
            log.warning("no %s: %s", self.name, why)
        self._explained = True
        return {}

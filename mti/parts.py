"""Parts from their nodes: each built once, however many runs name it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from mti.typed import HYDRAS_OWN, located


class Parts:
    """Builds parts (data sets, models, metrics …) and keeps them; equal nodes share one."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def build(self, node: Mapping[str, Any]) -> Any:
        """The part of a checked node, the parts within it built first."""
        key = json.dumps(node, sort_keys=True, default=str)
        if key not in self._built:
            arguments = {
                name: self.build(value) if isinstance(value, Mapping) and "_target_" in value else value
                for name, value in node.items()
                if name not in HYDRAS_OWN
            }
            kind = located(node["_target_"])
            self._built[key] = functools.partial(kind, **arguments) if node.get("_partial_") else kind(**arguments)
        return self._built[key]

    def forget(self, node: Mapping[str, Any]) -> None:
        """Let go of a part, so that its memory can be freed."""
        self._built.pop(json.dumps(node, sort_keys=True, default=str), None)

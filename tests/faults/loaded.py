"""Loads all that the entries of mti need, but not the entries, which start as `python -m` starts them."""

import importlib
import pkgutil

import matplotlib.pyplot  # noqa: F401
import torch

import mti

ENTRIES = ("mti.run", "mti.generate", "mti.report", "mti.dashboard")

torch.set_num_threads(1)
for module in pkgutil.walk_packages(mti.__path__, "mti."):
    if module.name not in ENTRIES and not module.name.startswith("mti.pocket") and "__main__" not in module.name:
        importlib.import_module(module.name)

"""The run folder: its only reader and writer. What lies in one is data, whoever sent it, and never code."""

from mti.files import DamagedFile, atomic, safe_name
from mti.outputs.batch_record import BatchRecord
from mti.outputs.listing import run_folders
from mti.outputs.locks import allow_locks
from mti.outputs.metrics_table import Curve
from mti.outputs.run_folder import RunFolder

__all__ = [
    "BatchRecord",
    "Curve",
    "DamagedFile",
    "RunFolder",
    "allow_locks",
    "atomic",
    "run_folders",
    "safe_name",
]

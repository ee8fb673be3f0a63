"""Runs diffusers' own textual-inversion training script and notes when each of its steps ended.

    python experiments/speed/diffusers_script.py SCRIPT TIMES.json ARGUMENTS_OF_THE_SCRIPT…

SCRIPT is examples/textual_inversion/textual_inversion.py of huggingface/diffusers, unchanged. It reports to
a tracker after every step: that call is where the clock is read, and the tracker itself is left out.
"""

from __future__ import annotations

import json
import math
import runpy
import sys
import time
from pathlib import Path

from accelerate import Accelerator
from transformers import CLIPTextModel


def main() -> None:
    """Run the script; when its steps ended, by the clock and in processor seconds, goes to TIMES.json."""
    script, times, *arguments = sys.argv[1:]
    ended: list[tuple[float, float]] = []

    def log(self: Accelerator, values: dict[str, float], **_: object) -> None:
        if not math.isfinite(values["loss"]):
            sys.exit(f"the script diverged after {len(ended)} steps: loss {values['loss']}")
        ended.append((time.perf_counter(), time.process_time()))

    Accelerator.log = log
    Accelerator.init_trackers = lambda *_, **__: None
    if not hasattr(CLIPTextModel, "text_model"):
        # transformers 5 has the parts of the text encoder one level higher than the script looks for them
        CLIPTextModel.text_model = property(_parts)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
    Path(times).write_text(json.dumps(ended))


def _parts(encoder: CLIPTextModel) -> CLIPTextModel:
    return encoder


if __name__ == "__main__":
    main()

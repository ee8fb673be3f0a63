"""How fast runs are trained: fused, one process each, and by diffusers' own script, in one go. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from diffusers import StableDiffusionPipeline

from mti.datasets import POCKET
from mti.images import read_picture, to_tensor
from mti.inversion import Run, TextualInversion
from mti.library_logging import quiet_lightning
from mti.lightning import lightning_trainer, step_numbers
from mti.memory import memory_kept
from mti.models.sd import StableDiffusion
from mti.optimizers.adamw import AdamW
from mti.schema import Trainer, Training
from mti.types import Posterior
from mti.weights import weights_path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PICTURES = ("teapot", "cup", "bird", "backpack", "sneaker", "sunglasses")
TEXTS = ("*", "a red teapot with gold dots on a blue background", "teapot", "a cup")
BATCH = 4
ADAMW = AdamW()  # of all runs, as where equal parts are built once
CORES = len(os.sched_getaffinity(0))

Seconds = np.ndarray
"""Two readings: the wall's clock, and processor seconds over the number of cores, which others' work delays less."""


def now() -> Seconds:
    """The time of this process."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time() / CORES])


class Clock(pl.Callback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ended: list[Seconds] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.ended.append(now())


def pace(ended: list[Seconds]) -> Seconds:
    """Seconds a step, of the steps after the first: the median."""
    return np.median(np.diff(np.array(ended), axis=0), axis=0)


def runs_of(model: StableDiffusion, count: int) -> list[Run]:
    """Runs of several pictures, texts and seeds."""
    kept: dict[str, Posterior] = {}
    for name in PICTURES:
        picture = to_tensor(read_picture(POCKET / f"{name}.png"), model.resolution)
        mean, std = model.encode_picture(picture[None])
        kept[name] = Posterior(mean.cpu(), std.cpu())
    made = []
    for i in range(count):
        name, text = PICTURES[i // len(TEXTS) % len(PICTURES)], TEXTS[i % len(TEXTS)]
        seed = i // (len(TEXTS) * len(PICTURES))
        made.append(Run(name, seed, model.token_ids(text), [kept[name]], Training(batch_size=BATCH), ADAMW))
    return made


@memory_kept()  # as where runs are trained
def steady(model: StableDiffusion, runs: list[Run], steps: int) -> Seconds:
    """Seconds a step of so many runs trained together, by Lightning, without evaluation."""
    clock = Clock()
    accelerator = "gpu" if model.device.type == "cuda" else "cpu"
    with quiet_lightning():
        trainer = lightning_trainer(Trainer(max_steps=steps, accelerator=accelerator), [clock])
        trainer.fit(TextualInversion(model, runs), step_numbers(steps))
    return pace(clock.ended)


@memory_kept()
def floor(model: StableDiffusion, samples: int, repeats: int = 3) -> Seconds:
    """Seconds of the U-Net's forward and its gradient to the conditioning alone, for so many samples."""
    noisy = torch.randn(samples, *model.latent_shape, device=model.device)
    times = torch.arange(samples, device=model.device) % len(model.alphas_cumprod)
    ids = torch.tensor([model.with_special_tokens([])] * samples, device=model.device)
    text = model.encode_text(ids, model.embedding[:0].float()).detach().requires_grad_()

    def once() -> None:
        torch.autograd.grad(model.denoise(noisy, times, text).square().mean(), text)

    return median_time(once, repeats)


def median_time(work: Callable[[], object], repeats: int) -> Seconds:
    """Seconds, after one time that does not count."""
    ended = []
    for _ in range(repeats + 1):
        work()
        ended.append(now())
    return pace(ended)


def whole(arguments: list[str]) -> Seconds:
    """Seconds of a process from its start to its end."""
    began = of_children()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return of_children() - began


def of_children() -> Seconds:
    """The time of the processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([time.perf_counter(), (used.ru_utime + used.ru_stime) / CORES])


def sweep(count: int, steps: int, precision: str, output: Path, fused: bool = True) -> Seconds:
    """Seconds of `mti.run` for a sweep of so many runs (a multiple of 4, or 1), from an empty folder."""
    shutil.rmtree(output, ignore_errors=True)
    inits = "star,multistar,class,caption" if count > 1 else "caption"
    pictures = min(len(PICTURES), max(1, count // 4))
    seeds = max(1, count // (4 * pictures))
    return whole(
        [
            *("-m", "mti.run", *(["-m"] if fused else []), f"init={inits}", f"image={','.join(PICTURES[:pictures])}"),
            *(f"seed={','.join(map(str, range(seeds)))}", "logger=csv", "metrics=none", f"output_dir={output}"),
            *(f"trainer.max_steps={steps}", f"training.batch_size={BATCH}", "evaluation.steps=[]"),
            *("evaluation.pictures=0", "evaluation.samples=1", f"model.precision={precision}"),
        ]
    )


def of_diffusers(
    script: Path, pipeline: Path, side: int, steps: int, precision: str, scratch: Path
) -> dict[str, Seconds]:
    """The same of diffusers' script on a pipeline's folder, for pictures of that side: a whole process, and a step.

    It gets the pipeline in fp32: it trains the text encoder in the precision of its file, and diverges in fp16.
    """
    data, times, full = scratch / "picture", scratch / "times.json", scratch / "fp32"
    data.mkdir(exist_ok=True)
    shutil.copy(POCKET / "teapot.png", data)
    StableDiffusionPipeline.from_pretrained(pipeline, torch_dtype=torch.float32).save_pretrained(full)
    seconds = whole(
        [
            *(str(HERE / "diffusers_script.py"), str(script), str(times)),
            *("--pretrained_model_name_or_path", str(full), "--train_data_dir", str(data)),
            *("--placeholder_token", "<teapot>", "--initializer_token", "teapot", "--resolution", str(side)),
            *("--train_batch_size", str(BATCH), "--max_train_steps", str(steps), "--learning_rate", "5e-3"),
            *("--lr_warmup_steps", "0", "--mixed_precision", {"fp32": "no"}.get(precision, precision)),
            *("--output_dir", str(scratch / "diffusers"), "--seed", "0"),
        ]
    )
    return {
        "whole": seconds,
        "step": pace([np.array([wall, cpu / CORES]) for wall, cpu in json.loads(times.read_text())]),
    }


def pocket(options: argparse.Namespace) -> dict[str, Any]:
    """All comparisons on the pocket suite, on the CPU."""
    model = StableDiffusion("pocket:ldm", "pocket", precision=options.precision)
    sizes, steps = options.runs, options.steps
    runs = runs_of(model, max(sizes))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        single = [sweep(1, steps, options.precision, scratch / "one", fused=False) for _ in range(2)]
        fused = {n: sweep(n, steps, options.precision, scratch / "many") for n in sizes}
        step = {n: steady(model, runs[:n], 4 if n > 4 else 12) for n in sizes}
        alone = floor(model, max(sizes) * BATCH)
        folder, given = weights_path("pocket:ldm"), options.diffusers
        script = of_diffusers(given, folder, 64, steps, options.precision, scratch) if given else None
    one, one_step = np.mean(single, axis=0), step[1] if 1 in step else steady(model, runs[:1], 12)
    most, usual = max(sizes), options.usual_steps

    def at_length(seconds: Seconds, pace: Seconds) -> Seconds:
        return seconds + (usual - steps) * pace

    found: dict[str, Any] = {
        "run-steps/s, whole process": {
            "fused": {n: n * steps / fused[n] for n in sizes},
            "one process each": steps / one,
        },
        "run-steps/s, steady": {"fused": {n: n / step[n] for n in sizes}},
        "seconds": {"one process": single, "fused": fused, "fused step": step, "floor of a step": alone},
        "ratios": {
            "fused to one process each, whole": {n: n * one / fused[n] for n in sizes},
            f"the same for {usual} steps, extrapolated": {
                n: n * at_length(one, one_step) / at_length(fused[n], step[n]) for n in sizes
            },
            f"step of {most} fused runs to its floor": step[most] / alone,
        },
    }
    if script:
        found["run-steps/s, whole process"]["diffusers"] = steps / script["whole"]
        found["run-steps/s, steady"]["diffusers"] = 1 / script["step"]
        found["seconds"]["diffusers"] = script
        found["ratios"]["fused to diffusers, steady"] = {n: n / step[n] * script["step"] for n in sizes}
    return found


def machine() -> dict[str, Any]:
    """Where this was measured."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.processor(),
        "cores": CORES,
        "load before": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 4, 16, 48])
    parser.add_argument("--steps", type=int, default=50, help="of each run, in what is measured as a whole process")
    parser.add_argument(
        "--usual-steps", type=int, default=200, help="the length that whole processes are extrapolated to"
    )
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--diffusers", type=Path, help="diffusers' examples/textual_inversion/textual_inversion.py")
    return parser.parse_args()


def keep(found: dict[str, Any], options: argparse.Namespace, where: dict[str, Any], kind: str) -> None:
    """Print a result, and keep it under today's date."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    settings.pop("diffusers")
    record = {"date": date.today().isoformat(), "machine": where, "settings": settings, **found}
    text = json.dumps(record, indent=2, default=lambda readings: dict(zip(("wall", "cpu"), readings, strict=True)))
    print(text)
    path = HERE / "results" / f"{date.today().isoformat()}-{kind}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")


def main() -> None:
    """Measure, print, and keep the result."""
    options, where = arguments(), machine()
    keep(pocket(options), options, where, f"pocket-{options.precision}")


if __name__ == "__main__":
    main()

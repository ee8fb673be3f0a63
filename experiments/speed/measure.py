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
from mti.memory import fitting, memory_kept
from mti.models.sd import StableDiffusion
from mti.optimizers.adamw import AdamW
from mti.schema import Trainer, Training
from mti.throughput import counted
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


def of_diffusers(script: Path, steps: int, precision: str, scratch: Path) -> dict[str, Seconds]:
    """The same of diffusers' script: seconds of the whole process, and of a step.

    It gets the pipeline in fp32: it trains the text encoder in the precision of its file, and diverges in fp16.
    """
    data, times, full = scratch / "picture", scratch / "times.json", scratch / "fp32"
    data.mkdir(exist_ok=True)
    shutil.copy(POCKET / "teapot.png", data)
    StableDiffusionPipeline.from_pretrained(weights_path("pocket:ldm"), torch_dtype=torch.float32).save_pretrained(full)
    seconds = whole(
        [
            *(str(HERE / "diffusers_script.py"), str(script), str(times)),
            *("--pretrained_model_name_or_path", str(full), "--train_data_dir", str(data)),
            *("--placeholder_token", "<teapot>", "--initializer_token", "teapot", "--resolution", "64"),
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
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        single = [sweep(1, steps, options.precision, scratch / "one", fused=False) for _ in range(2)]
        fused = {n: sweep(n, steps, options.precision, scratch / "many") for n in sizes}
        step = {n: steady(model, runs[:n], 4 if n > 4 else 12) for n in sizes}
        alone = floor(model, max(sizes) * BATCH)
        script = of_diffusers(options.diffusers, steps, options.precision, scratch) if options.diffusers else None
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


def full_size(folder: Path, channels: tuple[int, ...], text: int, side: int) -> Path:
    """A pipeline folder of Stable Diffusion 1.5's architecture with random weights, and the pocket's tokenizer."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    pocket = weights_path("pocket:ldm")
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(pocket / part, folder / part)
    settings = json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 77}))
    begin, end = (49406, 49407)
    known = CLIPTextConfig.from_pretrained(pocket / "text_encoder")
    configuration = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=text,
        intermediate_size=4 * text,
        num_hidden_layers=12 if text == 768 else 2,
        num_attention_heads=text // 64,
        bos_token_id=getattr(known, "bos_token_id", begin),
        eos_token_id=getattr(known, "eos_token_id", end),
        pad_token_id=getattr(known, "pad_token_id", end),
    )
    CLIPTextModel(configuration).save_pretrained(folder / "text_encoder")
    AutoencoderKL(
        block_out_channels=tuple(max(32, c * 2 // 5) for c in channels),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=8 * side,
    ).save_pretrained(folder / "vae")
    UNet2DConditionModel(
        sample_size=side, block_out_channels=channels, cross_attention_dim=text, attention_head_dim=8
    ).save_pretrained(folder / "unet")
    shutil.copy(pocket / "model_index.json", folder)
    return folder


def gpu(options: argparse.Namespace, peak_tflops: float) -> dict[str, Any]:
    """Stable Diffusion 1.5's architecture at 512×512 in bf16, as many runs as fit: pace, memory, share of the peak."""
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        model = StableDiffusion(
            str(full_size(Path(folder), tuple(options.channels), options.text, options.side)), "sd15, random"
        )
    model = model.to(device)
    run = runs_of(model, 1)[0]

    def once(count: int) -> None:
        TextualInversion(model, [run] * count).to(device).training_step(0).backward()

    fit, told = fitting(once, options.at_most, device)
    runs = runs_of(model, fit)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step = steady(model, runs, 8)[0]
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    work = counted(model, run)
    assert work, "memory that held all runs holds one"
    flops = work.flops * fit
    return {
        "runs at once": fit,
        "memory": told,
        "peak GiB": peak,
        "run-steps/s, steady": fit / step,
        "step to its floor": (step / floor(model, fit * BATCH))[0],
        "TFLOP/s": flops / step / 1e12,
        "share of the device's peak": flops / step / 1e12 / peak_tflops,
    }


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
    parser.add_argument(
        "--gpu-peak", type=float, help="measure a GPU whose peak in bf16 is so many TFLOP/s (H100: 989)"
    )
    parser.add_argument("--device", default="cuda", help="of --gpu-peak")
    parser.add_argument("--at-most", type=int, default=48, help="runs at once of --gpu-peak")
    parser.add_argument("--channels", type=int, nargs=4, default=[320, 640, 1280, 1280], help="of its U-Net")
    parser.add_argument("--text", type=int, default=768, help="width of its text encoder")
    parser.add_argument("--side", type=int, default=64, help="of its latents; pictures have 8 times as many pixels")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and keep the result under today's date."""
    options, where = arguments(), machine()
    found = gpu(options, options.gpu_peak) if options.gpu_peak else pocket(options)
    kind = "gpu" if options.gpu_peak else f"pocket-{options.precision}"
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    settings.pop("diffusers")
    record = {"date": date.today().isoformat(), "machine": where, "settings": settings, **found}
    text = json.dumps(record, indent=2, default=lambda readings: dict(zip(("wall", "cpu"), readings, strict=True)))
    print(text)
    path = HERE / "results" / f"{date.today().isoformat()}-{kind}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()

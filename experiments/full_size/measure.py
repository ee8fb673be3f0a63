"""One training step and one picture of each large model on a CPU: seconds and memory. See README.md."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from transformers import BertTokenizer

import mti.models
from mti.evaluation import draw_pictures, ids_of
from mti.inversion import Run, TextualInversion
from mti.models.precision import Precision
from mti.models.pretrained import PretrainedModel
from mti.optimizers.adamw import AdamW
from mti.schema import Evaluation, Training
from mti.types import Posterior
from mti.weights import weights_path

CONFIGS = Path(mti.models.__file__).parent / "configs"
TOKENIZER = weights_path("pocket:ldm") / "tokenizer"
MODELS = {"ldm256": 256, "sd15": 512, "sdxl": 512}  # the side of the pictures
STEPS = 2  # of the sampler


def random_model(name: str, folder: Path, dtype: torch.dtype) -> Path:
    """A pipeline folder of the published architecture with random weights, and a small tokenizer."""
    torch.set_default_dtype(dtype)
    try:
        _of_latent_diffusion(folder) if name == "ldm256" else _of_configs({"sd15": "sd1"}.get(name, name), folder)
    finally:
        torch.set_default_dtype(torch.float32)
    return folder


def _of_configs(layout: str, folder: Path) -> None:
    shutil.copytree(CONFIGS / layout, folder)
    index = json.loads((folder / "model_index.json").read_text())
    for part, about in index.items():
        if part.startswith("tokenizer"):
            shutil.copytree(TOKENIZER, folder / part)
            settings = json.loads((folder / part / "tokenizer_config.json").read_text())
            (folder / part / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 77}))
        elif (folder / part / "config.json").exists():
            library, kind = about
            made: Any = getattr(diffusers if library == "diffusers" else transformers, kind)
            if library == "diffusers":
                made.from_config(json.loads((folder / part / "config.json").read_text())).save_pretrained(folder / part)
            else:
                made(made.config_class.from_pretrained(folder / part)).save_pretrained(folder / part)


def _of_latent_diffusion(folder: Path) -> None:
    """ldm-text2im-large-256, by the numbers of its files."""
    (folder / "tokenizer").mkdir(parents=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "teapot", "*"]
    (folder / "tokenizer" / "vocab.txt").write_text("\n".join(pieces) + "\n")
    BertTokenizer(str(folder / "tokenizer" / "vocab.txt"), model_max_length=512).save_pretrained(folder / "tokenizer")
    shutil.copytree(CONFIGS / "sd1" / "scheduler", folder / "scheduler")
    bert = LDMBertModel(LDMBertConfig(vocab_size=30_522, encoder_layers=32, d_model=1280))
    bert.save_pretrained(folder / "bert", safe_serialization=False)
    torch.save(bert.state_dict(), folder / "bert" / "pytorch_model.bin")
    vae = json.loads((CONFIGS / "sd1" / "vae" / "config.json").read_text())
    AutoencoderKL.from_config({**vae, "sample_size": 256}).save_pretrained(folder / "vqvae", safe_serialization=False)
    unet = json.loads((CONFIGS / "sd1" / "unet" / "config.json").read_text())
    unet = {**unet, "sample_size": 32, "cross_attention_dim": 1280}
    UNet2DConditionModel.from_config(unet).save_pretrained(folder / "unet", safe_serialization=False)
    names = {"vqvae": ["diffusers", "AutoencoderKL"], "bert": ["latent_diffusion", "LDMBertModel"]}
    names |= {"tokenizer": ["transformers", "BertTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"]}
    index = {"_class_name": "LDMTextToImagePipeline", **names, "scheduler": ["diffusers", "DDIMScheduler"]}
    (folder / "model_index.json").write_text(json.dumps(index))


def memory() -> float:
    """The most memory that this process has held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(folder: Path, side: int, precision: Precision) -> dict[str, float]:
    """Load, train one step of one sample, and draw one picture."""
    found = {}
    began = time.perf_counter()

    def done(what: str) -> None:
        nonlocal began
        found[f"{what}, s"], found[f"{what}, GiB"] = time.perf_counter() - began, memory()
        began = time.perf_counter()

    model: Any = PretrainedModel(str(folder), precision=precision, resolution=side).load().to(torch.device("cpu"))
    done("load")
    posterior = Posterior(*(part.cpu() for part in model.encode_picture(torch.zeros(1, 3, side, side))))
    done("encode")
    run = Run("teapot", 0, model.token_ids("a photo"), [posterior], Training(batch_size=1), AdamW())
    module = TextualInversion(model, [run])
    module.training_step(0).backward()
    done("training step")
    noise = torch.randn(1, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    ids, rows = ids_of(model, ["a photo"], [], 1), model.embedding[:0].float()
    picture = draw_pictures(model, noise, ids, rows, Evaluation(num_inference_steps=STEPS))
    done("picture")
    assert picture.shape == (1, 3, side, side)
    return found


def main() -> None:
    """Measure each model in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), help="ldm256, sd15, sdxl")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    parser.add_argument("--folder", type=Path, help="measure the model that lies here")
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder, MODELS[options.models[0]], options.precision)))
        return
    for name in options.models:
        with tempfile.TemporaryDirectory() as scratch:
            dtype = torch.float32 if options.precision == "fp32" else torch.bfloat16
            folder = random_model(name, Path(scratch) / name, dtype)
            command = [sys.executable, __file__, name, "--folder", str(folder), "--precision", options.precision]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                name, options.precision, ", ".join(f"{what}: {value:.1f}" for what, value in found.items()), flush=True
            )


if __name__ == "__main__":
    main()

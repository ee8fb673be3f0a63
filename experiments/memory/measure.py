"""The memory of a GPU that each large model takes, measured on tensors that have sizes and no values. See README.md."""

from __future__ import annotations

import argparse
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary
from transformers import BertTokenizer, CLIPTokenizer

import mti.models
from mti.inversion import Run, TextualInversion
from mti.minibatch import Ahead, Minibatch
from mti.models import base
from mti.models.ldm import LatentDiffusionBERT
from mti.models.sd import StableDiffusion
from mti.models.sdxl import StableDiffusionXL
from mti.optimizers.adamw import AdamW
from mti.schema import Training
from mti.types import Posterior
from mti.weights import weights_path

CONFIGS = Path(mti.models.__file__).parent / "configs"
TOKENIZER = weights_path("pocket:ldm") / "tokenizer"
GIGA = 2**30
MODELS = {  # the adapter, the layout of the networks, the side of the pictures, and how many are drawn at once
    "ldm256": (LatentDiffusionBERT, "sd1", 256, 16),
    "sd15": (StableDiffusion, "sd1", 512, 16),
    "sd21": (StableDiffusion, "sd2", 768, 16),
    "sdxl": (StableDiffusionXL, "sdxl", 1024, 4),
}
BATCH = 4  # samples of an update
WAYS = {  # of training: samples at once, gradient checkpointing, runs
    "one run": (None, False, 1),
    "2 samples at once": (2, False, 1),
    "1 sample at once": (1, False, 1),
    "checkpointing": (None, True, 1),
    "8 runs": (None, False, 8),
    "8 runs, 4 samples at once": (4, False, 8),
    "8 runs, checkpointing": (None, True, 8),
}


class Architecture:
    """A pipeline of which there are only the configurations: its networks have the published sizes, and no values."""

    def __init__(self, name: str) -> None:
        adapter, self.layout, side, _ = MODELS[name]
        self.kind = adapter.kind
        self.index = json.loads((CONFIGS / self.layout / "model_index.json").read_text())
        self.changes: dict[str, dict[str, Any]] = {"unet": {"sample_size": side // 8}}
        if name == "ldm256":
            self.changes["unet"]["cross_attention_dim"] = 1280
        self.scheduler_config = self.config("scheduler")

    def config(self, part: str) -> dict[str, Any]:
        """The configuration of a part."""
        kind = "scheduler_config" if part == "scheduler" else "config"
        own = json.loads((CONFIGS / self.layout / part.replace("vqvae", "vae") / f"{kind}.json").read_text())
        return {**own, **self.changes.get(part, {})}

    def tokenizer(self, part: str, kind: type[Any]) -> Any:
        """A small one in place of the real."""
        if kind is BertTokenizer:
            return BertTokenizer(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}, model_max_length=77)
        return CLIPTokenizer.from_pretrained(TOKENIZER, model_max_length=77)

    def network(self, part: str, kind: Any) -> nn.Module:
        """A network as on a GPU: the U-Net in bf16, the autoencoder in fp32, products of text encoders in bf16."""
        if kind is LDMBertModel:
            made: nn.Module = LDMBertModel(LDMBertConfig(vocab_size=30_522, encoder_layers=32, d_model=1280))
        elif kind in (UNet2DConditionModel, AutoencoderKL):
            torch.set_default_dtype(torch.bfloat16 if kind is UNet2DConditionModel else torch.float32)
            made = kind.from_config(self.config(part))
            torch.set_default_dtype(torch.float32)
        else:
            made = kind(kind.config_class.from_dict(self.config(part)))
        for module in made.modules() if part not in ("unet", "vae", "vqvae") else ():
            if isinstance(module, nn.Linear | nn.Conv2d):
                for name, own in list(module.named_parameters(recurse=False)):
                    setattr(module, name, nn.Parameter(own.to(torch.bfloat16), requires_grad=False))
        return made


class OnGPU:
    """Mixed into an adapter: the CPU of the stand-ins computes as a GPU would."""

    _unet_dtype = torch.bfloat16


def build(name: str, gradient_checkpointing: bool) -> Any:
    """The adapter of a model, its networks without values."""
    adapter = type("OnGPU", (OnGPU, MODELS[name][0]), {})
    there = mock.patch.object(nn.Module, "to", lambda network, *_, **__: network)
    with there, mock.patch.object(base, "open_pipeline", return_value=Architecture(name)):
        model: Any = adapter(name, precision="bf16", gradient_checkpointing=gradient_checkpointing)
    return model


class Held(TorchDispatchMode):
    """Counts the bytes of tensors that are held, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.known, self.now, self.most = WeakIdKeyDictionary(), 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        """Compute, and count what is new."""
        found = function(*arguments, **(keywords or {}))
        for one in tree_leaves(found):
            if isinstance(one, Tensor):
                self.add(one)
        return found

    def add(self, tensor: Tensor) -> None:
        """Count a tensor's memory until it is freed."""
        storage = tensor.untyped_storage()
        if storage not in self.known:
            self.known[storage] = None
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._freed, storage.nbytes())

    def _freed(self, size: int) -> None:
        self.now -= size


def peak(model: Any, work: Callable[[], object]) -> float:
    """GiB that the networks and a piece of work take at most."""
    held = Held()
    for network in (model._unet, model._vae, *model._encoders):
        for own in (*network.parameters(), *network.buffers()):
            held.add(own)
    with held:
        work()
    return held.most / GIGA


def training(name: str, samples_at_once: int | None, gradient_checkpointing: bool, runs: int) -> float:
    """The peak of an update."""
    model = build(name, gradient_checkpointing)
    posterior = Posterior(*torch.zeros(2, 1, *model.latent_shape))
    run = Run("x", 0, [5, 6, 7], [posterior], Training(batch_size=BATCH), AdamW())
    module = TextualInversion(model, [run] * runs, samples_at_once=samples_at_once)
    batch = stand_in(model, runs * BATCH)
    module._ahead = Ahead(lambda _: batch)
    return peak(model, lambda: module.training_step(0).backward())


def stand_in(model: Any, samples: int) -> Minibatch:
    """A minibatch of so many samples, each with a prompt of its own."""
    latents = torch.zeros(samples, *model.latent_shape)
    ids = torch.zeros(samples, model.context_length, dtype=torch.long)
    numbers = torch.zeros(samples, dtype=torch.long)
    return Minibatch(latents, latents, numbers, ids, numbers, None)


@torch.no_grad()
def others(name: str) -> list[float]:
    """The peaks of what a run does besides: a picture encoded, a step of the sampler, and its pictures decoded."""
    model, (_, _, side, at_once) = build(name, False), MODELS[name]
    text: Tensor = model.encode_text(torch.zeros(at_once, model.context_length, dtype=torch.long), model.embedding[:0])
    latents, times = torch.zeros(at_once, *model.latent_shape), torch.zeros(at_once, dtype=torch.long)
    return [
        peak(model, lambda: model.encode_picture(torch.zeros(1, 3, side, side))),
        peak(model, lambda: model.denoise(latents, times, text)),
        peak(model, lambda: model.decode(latents)),
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    base.SMALL = 0  # attention is fused, as on a GPU
    base.keep_products_in = lambda *_: None  # they are kept so from the beginning
    print(f"| GiB | {' | '.join(WAYS)} | encode | draw | decode |\n| --- |{' --- |' * (len(WAYS) + 3)}")
    for name in parser.parse_args().models:
        with FakeTensorMode(allow_non_fake_inputs=True):
            found = [*(training(name, *way) for way in WAYS.values()), *others(name)]
        print(f"| `{name}` | {' | '.join(f'{value:.1f}' for value in found)} |", flush=True)


if __name__ == "__main__":
    main()

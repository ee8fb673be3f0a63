"""The pocket latent diffusion model: `python -m mti.pocket.train_ldm`.

A Stable Diffusion in small: an ε-predicting U-Net with cross-attention on the pocket autoencoder's
latents, trained jointly with a CLIP text encoder that has its own BPE tokenizer. Prepares (and keeps)
the latents and caption tokens of all drawings first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mti.pocket import drawings, world
from mti.pocket.stage import DEVICE, Stage, arguments, forget_origin, keep_log, to_model
from mti.templates import OBJECT, STYLE

BATCH = 64
CONTEXT = 32
PICTURES = 100_000  # of the drawings: more than are seen often
CAPTIONS_EACH = 4
NOISES_EACH = 2  # (t, ε) pairs for each picture of a batch, which share the encoded caption
EMPTY_SHARE = 0.1
MIN_SNR_GAMMA = 5.0
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer in which every word of the world and of the templates is one token."""
    rng = np.random.default_rng(0)
    captions = [world.caption(drawings.scene("train", i), rng, OBJECT) for i in range(20_000)]
    words = [template.format("*") for template in OBJECT + STYLE] * 20
    bpe = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        captions + words,
        trainers.BpeTrainer(vocab_size=2048, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False),
    )
    learned = json.loads(bpe.to_str())["model"]
    letters = sorted(alphabet)
    merges = [tuple(merge) for merge in learned["merges"]]
    names = letters + [f"{letter}</w>" for letter in letters] + ["".join(merge) for merge in merges] + [BEGIN, END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    tokenizer = CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=CONTEXT, pad_token=END
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def caption_tokens(tokenizer: CLIPTokenizer, work: Path) -> Tensor:
    """Token ids of several captions of every training picture: int16, [pictures, captions, context]."""
    path = work / "captions.npy"
    if not path.exists():
        rows, tokenizer = [], deepcopy(tokenizer)  # which would keep, and be saved with, padding and truncation
        for index in range(PICTURES):
            rng = np.random.default_rng([drawings.TRAIN_SEED, index, 1])
            scene = drawings.scene("train", index)
            rows += [world.caption(scene, rng, OBJECT) for _ in range(CAPTIONS_EACH)]
        ids = [
            tokenizer(rows[i : i + 10_000], padding="max_length", truncation=True, return_tensors="np")["input_ids"]
            for i in range(0, len(rows), 10_000)
        ]
        np.save(path, np.concatenate(ids).astype(np.int16).reshape(-1, CAPTIONS_EACH, CONTEXT))
    return torch.from_numpy(np.load(path))


def latents(vae: Any, work: Path, name: str = "latents") -> Tensor:
    """The scaled latents of every training picture, kept under a name: fp16, [pictures, channels, 16, 16]."""
    path = work / f"{name}.npy"
    if not path.exists():
        train = torch.from_numpy(np.load(work / "train.npy", mmap_mode="c")[:PICTURES])
        parts = []
        with torch.inference_mode(), torch.autocast(DEVICE.type, torch.bfloat16):
            for batch in train.split(250):
                mean = vae.encode(to_model(batch)).latent_dist.mean
                parts.append((mean.float() * vae.config["scaling_factor"]).half().cpu())
        np.save(path, torch.cat(parts).numpy())
    return torch.from_numpy(np.load(path))


class Denoiser(nn.Module):
    """The two parts that are trained: a text encoder and a U-Net."""

    def __init__(self, text_encoder: Any, unet: Any):
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """The predicted noise; each prompt serves its share of the batch."""
        text = self.text_encoder(ids).last_hidden_state.repeat_interleave(len(noisy) // len(ids), 0)
        return self.unet(noisy, timesteps, text).sample


def build(tokenizer: CLIPTokenizer) -> Denoiser:
    """The untrained parts."""
    vocabulary = tokenizer.get_vocab()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=vocabulary[BEGIN],
            eos_token_id=vocabulary[END],
            pad_token_id=vocabulary[END],
        )
    )
    unet = UNet2DConditionModel(
        sample_size=drawings.SIZE // 4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=192,
        attention_head_dim=4,
    )
    return Denoiser(text_encoder, unet)


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def objective(tokenizer: CLIPTokenizer, clean: Tensor, work: Path) -> Callable[[Any, int], dict[str, Tensor]]:
    """What a latent diffusion model's stage minimises: the error of the predicted noise, min-SNR weighted.

    Hang et al. 2023, arXiv:2303.09556. Each drawing comes with one of its captions, or with an empty one.
    """
    captions = caption_tokens(tokenizer, work)
    alphas = scheduler().alphas_cumprod.to(DEVICE)
    vocabulary = tokenizer.get_vocab()
    empty = torch.tensor([vocabulary[BEGIN]] + [vocabulary[END]] * (CONTEXT - 1))

    def loss(model: nn.Module, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        index = torch.randint(PICTURES, (BATCH // NOISES_EACH,), generator=generator)
        wording = torch.randint(CAPTIONS_EACH, index.shape, generator=generator)
        ids = captions[index, wording].long()
        ids[torch.rand(index.shape, generator=generator) < EMPTY_SHARE] = empty
        z = clean[index].repeat_interleave(NOISES_EACH, 0).to(DEVICE).float()
        timesteps = torch.randint(1000, (BATCH,), generator=generator).to(DEVICE)
        noise = torch.randn(z.shape, generator=generator).to(DEVICE)
        alpha = alphas[timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * z + (1 - alpha).sqrt() * noise
        error = (model(noisy, timesteps, ids.to(DEVICE)).float() - noise).pow(2).mean((1, 2, 3))
        snr = (alpha / (1 - alpha)).flatten()
        return {"loss": (error * snr.clamp(max=MIN_SNR_GAMMA) / snr).mean(), "mse": error.mean()}

    return loss


def main() -> None:
    """Prepare, train, and write a `StableDiffusionPipeline` folder."""
    options = arguments(__doc__, steps=5_000)
    folder = options.weights / "ldm"
    tokenizer = train_tokenizer(folder / "tokenizer")
    vae: Any = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
    vae.to(DEVICE)
    loss = objective(tokenizer, latents(vae, options.work), options.work)
    stage = Stage("ldm", build(tokenizer), loss, options.steps, 8e-4, options.work, weight_decay=0.001)
    finish(stage.run(), vae, tokenizer, "ldm", options)


def finish(model: Any, vae: Any, tokenizer: CLIPTokenizer, stage: str, options: argparse.Namespace) -> None:
    """Write all parts as a pipeline, and the stage's length and log."""
    folder = options.weights / "ldm"
    parts: dict[str, Any] = {
        "vae": vae,
        "text_encoder": model.text_encoder,
        "tokenizer": tokenizer,
        "unet": model.unet,
        "scheduler": scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
    }
    StableDiffusionPipeline(**parts, requires_safety_checker=False).to(dtype=torch.float16).save_pretrained(folder)
    for name in ("vae", "unet"):
        forget_origin(folder / name)
    summary = {"steps": options.steps, "pictures_seen": options.steps * BATCH}
    (folder / f"{stage}.json").write_text(json.dumps(summary, indent=2) + "\n")
    keep_log(stage, options.work, folder)


if __name__ == "__main__":
    main()

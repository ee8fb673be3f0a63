"""Tiny models with fixed random weights, in the file formats of the large ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    LDMTextToImagePipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from tokenizers import pre_tokenizers
from transformers import BertTokenizer, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
WORDS = ("a", "photo", "of", "the", "red", "teapot", "cat", "good")
CONTEXT = 24


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's byte-level BPE over the whole byte alphabet, in which each of `WORDS` is one token."""
    folder.mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = {}
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges[parts[0], parts[1]] = "".join(parts[:2])
            parts[:2] = ["".join(parts[:2])]
    names = [*letters, *(f"{letter}</w>" for letter in letters), *merges.values(), BEGIN, END]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=CONTEXT, pad_token=END
    )


def tiny_pipeline(folder: Path, prediction_type: str = "epsilon", seed: int = 0) -> Path:
    """Save a Stable Diffusion pipeline of 32×32 pictures and 4×8×8 latents with random weights; its folder."""
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        text_encoder, vae, unet = _networks(tokenizer)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def scheduler(prediction_type: str = "epsilon") -> DDIMScheduler:
    """That of Stable Diffusion."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def _networks(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, AutoencoderKL, UNet2DConditionModel]:
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    return text_encoder, vae, unet


def tiny_ldm(folder: Path, seed: int = 0) -> Path:
    """Save a pipeline such as that of ldm-text2im-large-256, in its files: `.bin` alone, word pieces in vocab.txt."""
    (folder / "words").mkdir(parents=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "tea", "##pot", "*", ","]
    pieces.remove("teapot")
    (folder / "words" / "vocab.txt").write_text("\n".join(pieces) + "\n")
    tokenizer = BertTokenizer(str(folder / "words" / "vocab.txt"), model_max_length=512)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bert = LDMBertModel(
            LDMBertConfig(
                vocab_size=len(pieces),
                encoder_layers=2,
                encoder_ffn_dim=64,
                encoder_attention_heads=2,
                head_dim=8,
                d_model=32,
            )
        )
        _, vae, unet = _networks(tiny_tokenizer(folder / "unused"))
    pipeline = LDMTextToImagePipeline(vqvae=vae, bert=bert, tokenizer=tokenizer, unet=unet, scheduler=scheduler())
    pipeline.save_pretrained(folder, safe_serialization=False)
    torch.save(bert.state_dict(), folder / "bert" / "pytorch_model.bin")
    (folder / "bert" / "model.safetensors").unlink()
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "words" / "vocab.txt").rename(folder / "tokenizer" / "vocab.txt")
    return folder


def tiny_sdxl(folder: Path, seed: int = 0) -> Path:
    """Save a Stable Diffusion XL pipeline of 32×32 pictures, its encoders 32 and 48 wide, `eos_token_id` 2 as there."""
    first, second = (tiny_tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2"))
    second.pad_token = "!"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        text_encoder, vae, _ = _networks(first)
        config = text_encoder.config.to_dict()
        wider = {"hidden_size": 48, "num_attention_heads": 4, "projection_dim": 40, "hidden_act": "gelu"}
        old = {"eos_token_id": 2}
        encoder_2 = CLIPTextModelWithProjection(CLIPTextConfig(**{**config, **wider, **old}))
        text_encoder = CLIPTextModel(CLIPTextConfig(**{**config, **old}))
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=80,
            attention_head_dim=4,
            norm_num_groups=8,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 40,
        )
        vae.register_to_config(scaling_factor=0.13025)
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=encoder_2,
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=scheduler(),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder

"""The tokenizer of the pocket's text encoders: CLIP's byte pairs, in which each word of the world is one token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from mti.pocket import language
from mti.pocket.drawings import scene
from mti.templates import OBJECT, STYLE

CONTEXT = 48
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def make_tokenizer(folder: Path, captions: int = 20_000) -> CLIPTokenizer:
    """Learn the byte pairs from so many captions and the templates, and write the tokenizer. The same every time."""
    rng = np.random.default_rng(0)
    texts = [language.caption(scene("train", index), rng, OBJECT) for index in range(captions)]
    words = [template.format("*") for template in OBJECT + STYLE] * 20
    bpe = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts + words,
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


def encoded(tokenizer: CLIPTokenizer, texts: Sequence[str], longest: bool = False) -> Int[Tensor, "batch tokens"]:
    """Token ids between begin and end, padded to the context, or only to the longest of the texts."""
    padding = "longest" if longest else "max_length"
    return tokenizer(list(texts), padding=padding, truncation=True, return_tensors="pt")["input_ids"]

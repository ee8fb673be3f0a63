"""The number formats inside a frozen model."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Precision = Literal["auto", "fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def automatic(device: torch.device) -> str:
    """The format that a device is quick at.

    bf16 on a CPU that multiplies in it (AVX512-BF16, AMX), and on GPUs since Ampere; Volta and Turing (V100, T4)
    only imitate it and are quick at fp16. Every other device gets fp32.
    """
    if device.type == "cpu":
        quick = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bf16" if quick else "fp32"
    if device.type != "cuda":
        return "fp32"
    capability = torch.cuda.get_device_capability(device)
    return "bf16" if capability >= (8, 0) else "fp16" if capability >= (7, 0) else "fp32"


def keep_products_in(network: nn.Module, dtype: torch.dtype) -> None:
    """Keep what autocast would cast at every forward, the weights of products, in that format: to the same bits."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype)

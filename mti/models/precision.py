"""The number formats inside a frozen model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

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


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention as products and a softmax, the products in the format of what comes in, and not in fp32.

    U-Net and text encoder of the pocket model, forward and backward, 192 samples in bf16 on two cores with AMX: 0.95 s;
    with products in fp32, which is PyTorch's choice, 1.11 s; fused 1.56 s.
    """
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of every device
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


def guarded(function: Callable[[Tensor], Tensor], input: Tensor, dtype: torch.dtype) -> Tensor:
    """`function(input)`; in fp16 its gradient is scaled on the way back, so that small ones do not become 0.

    fp16 ends at 6e-8, below which the gradients of a mean over a latent often lie. Inside, the largest gradient that
    comes in becomes 1; outside, all is as without.
    """
    if dtype != torch.float16 or not (torch.is_grad_enabled() and input.requires_grad):
        return function(input)
    scale: list[Tensor] = []

    def enlarge(gradient: Tensor) -> Tensor:
        largest = gradient.abs().amax()
        scale[:] = [torch.where(largest > 0, torch.exp2(-torch.log2(largest).floor()), 1.0)]
        return gradient * scale[0]

    inner = input.view_as(input)
    inner.register_hook(lambda gradient: gradient / scale[0])
    output = function(inner)
    output.register_hook(enlarge)
    return output

"""What is measured of a run at given steps: a deterministic loss, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mti.loss import latent_diffusion_loss
from mti.noise import evaluation_grid
from mti.sampling import sample
from mti.tokens import encode_distinct, prompt_ids
from mti.types import LatentDiffusion, Metric, Posterior

Embeddings = Float[Tensor, "num_vectors width"]


@dataclass(frozen=True)
class Personalization:
    """Pictures that put the learned thing elsewhere: into other places, materials, company."""

    prompts: Sequence[str] = ()  # `{}` stands for the placeholders
    steps: Sequence[int] = ()  # after how many updates
    pictures: int = 4  # of each prompt


@dataclass(frozen=True)
class EvaluationProtocol:
    """How runs are evaluated; kept with every score, since scores compare only under the same protocol."""

    steps: Sequence[int]  # after how many updates, beside the last
    prompts: Sequence[str]  # the reconstruction prompts; `{}` stands for the placeholders
    samples: int  # (t, ε) pairs of the evaluation loss, shared out over the prompts
    pictures: int  # generated at each evaluated step, shared out over the prompts
    num_inference_steps: int  # of DDIM
    guidance_scale: float  # classifier-free guidance scale
    batch_size: int  # of the U-Net while evaluating; changes memory and speed, not results
    personalization: Personalization = field(default_factory=Personalization)
    version: int = 2

    @property
    def reconstruction(self) -> list[str]:
        """The reconstruction prompt of each picture: the prompts take turns."""
        return [self.prompts[i % len(self.prompts)] for i in range(self.pictures)]

    def record(self, metrics: Mapping[str, Metric]) -> dict[str, Any]:
        """What is kept with the scores, JSON-serialisable: the protocol, and what the metrics say of themselves."""
        about = {name: getattr(metric, "record", dict)() for name, metric in metrics.items()}
        return {**asdict(self), "sampler": "DDIM", "metrics": about}


def measured(
    metrics: Mapping[str, Metric],
    kind: str,
    generated: Float[Tensor, "generated 3 height width"],
    reference: Float[Tensor, "reference 3 height width"],
    prompts: Sequence[str],
) -> dict[str, float]:
    """The scores of all metrics that judge this kind of pictures, "reconstruction" or "personalization".

    A metric's value for each picture becomes two: the mean `eval/<name>`, and the standard deviation over
    pictures `eval/<name>_std` (of a sample; left out for a single picture).
    """
    scores: dict[str, float] = {}
    for metric in metrics.values():
        if getattr(metric, "prompt_set", "reconstruction") != kind:
            continue
        for name, value in metric(generated, reference, prompts).items():
            if isinstance(value, Tensor) and value.numel() > 1:
                scores[f"eval/{name}_std"] = value.std().item()
            scores[f"eval/{name}"] = value.mean().item() if isinstance(value, Tensor) else value
    return scores


def ids_of(model: LatentDiffusion, prompts: Sequence[str], placeholders: Sequence[int], count: int) -> Tensor:
    """The token ids, with special tokens and padded, of `count` prompts, which take turns: int64, [count, context]."""
    padded = [prompt_ids(model, prompt, placeholders) for prompt in prompts]
    return torch.tensor([padded[i % len(padded)] for i in range(count)], device=model.device)


def evaluation_loss(
    model: LatentDiffusion,
    protocol: EvaluationProtocol,
    image: str,
    posterior: Posterior,
    ids: Tensor,
    embeddings: Embeddings,
) -> float:
    """`evaluation_losses` of a single run."""
    return evaluation_losses(model, protocol, [image], [posterior], ids, embeddings)[0]


@torch.no_grad()
def evaluation_losses(
    model: LatentDiffusion,
    protocol: EvaluationProtocol,
    images: Sequence[str],
    posteriors: Sequence[Posterior],
    ids: Int[Tensor, "runs_samples context"],
    embeddings: Embeddings,
) -> list[float]:
    """Eq. (1) on a fixed grid of (t, ε), the same for every run of a picture: free of training noise.

    `ids` holds a padded prompt for each of the grid's samples, run after run. The latents are the posterior's
    means; several pictures take turns. The U-Net's batches are full, whatever run their samples are of.
    """
    timesteps, which = len(model.alphas_cumprod), torch.arange(protocol.samples)
    grids = [evaluation_grid(image, protocol.samples, timesteps, model.latent_shape) for image in images]
    latents = [posterior.mean.cpu()[which % len(posterior.mean)] for posterior in posteriors]
    times, noises = (torch.cat(parts) for parts in zip(*grids, strict=True))
    text, prompt = encode_distinct(model, ids, embeddings, protocol.batch_size)
    z_0, losses = torch.cat(latents), []
    for part in torch.arange(len(ids)).split(protocol.batch_size):
        z, t, eps = (tensor[part].to(model.device) for tensor in (z_0, times, noises))
        losses.append(latent_diffusion_loss(model, z, text[prompt[part]], t, eps))
    return torch.cat(losses).view(len(images), -1).mean(dim=1).tolist()


@torch.no_grad()
def draw_pictures(
    model: LatentDiffusion,
    noise: Float[Tensor, "pictures c h w"],
    ids: Int[Tensor, "pictures context"],
    embeddings: Embeddings,
    *,
    num_inference_steps: int,
    guidance_scale: float,
    batch_size: int,
) -> Float[Tensor, "pictures 3 height width"]:
    """Pictures in [-1, 1] for padded prompts, each from its own initial noise, on the CPU."""
    text, prompt = encode_distinct(model, ids, embeddings, batch_size)
    empty = model.encode_text(torch.tensor([model.with_special_tokens([])], device=model.device), embeddings)
    latents = sample(
        model, text[prompt], empty, noise.to(model.device), num_inference_steps, guidance_scale, batch_size
    )
    return torch.cat([model.decode(part).cpu() for part in latents.split(batch_size)])

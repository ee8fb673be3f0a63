"""What is measured of a run at given steps: a deterministic loss, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mti.loss import latent_diffusion_loss
from mti.noise import evaluation_grid
from mti.sampling import sample
from mti.schema import Evaluation, Personalization
from mti.tokens import encode_distinct, prompt_ids
from mti.types import LatentDiffusion, Metric, Posterior

Embeddings = Float[Tensor, "num_vectors width"]


VERSION = 3  # of the protocol; scores of different versions do not compare


def reconstruction_prompts(evaluation: Evaluation) -> list[str]:
    """The reconstruction prompt of each picture: the prompts take turns."""
    return [evaluation.prompts[i % len(evaluation.prompts)] for i in range(evaluation.pictures)]


def is_personalized(evaluation: Evaluation, personalization: Personalization, step: int, evaluated: bool) -> bool:
    """Whether the personalization prompts are drawn at a step: one that is named, or any evaluated one to choose from.

    With `evaluation.choice`, and no steps named, that is every evaluated step.
    """
    if personalization.steps:
        return step in personalization.steps
    return evaluated and evaluation.choice.wanted


def protocol_record(
    evaluation: Evaluation, personalization: Personalization, metrics: Mapping[str, Metric], model: LatentDiffusion
) -> dict[str, Any]:
    """What is kept with the scores, JSON-serialisable: how they were measured, and by which metrics."""
    about = {name: getattr(metric, "record", dict)() for name, metric in metrics.items()}
    how = {**asdict(evaluation), "personalization": asdict(personalization)}
    del how["choice"]  # which changes no score
    return {**how, "version": VERSION, "metrics": about, "precision": model.precision}


def measured(
    metrics: Mapping[str, Metric],
    prompt_set: str,
    generated: Float[Tensor, "generated 3 height width"],
    reference: Float[Tensor, "reference 3 height width"],
    prompts: Sequence[str],
    mask: Bool[Tensor, "reference height width"] | None = None,
) -> dict[str, float]:
    """The scores of all metrics of a set of prompts, "reconstruction" or "personalization".

    A metric's value for each picture becomes two: the mean `eval/<name>`, and the standard deviation over
    pictures `eval/<name>_std` (of a sample; left out for a single picture). The mask is True on the thing.
    """
    scores: dict[str, float] = {}
    for metric in metrics.values():
        if getattr(metric, "prompt_set", "reconstruction") != prompt_set:
            continue
        more: Any = {"mask": mask} if getattr(metric, "wants_mask", False) else {}
        for name, value in metric(generated, reference, prompts, **more).items():
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
    evaluation: Evaluation,
    image: str,
    posterior: Posterior,
    ids: Tensor,
    embeddings: Embeddings,
) -> float:
    """`evaluation_losses` of a single run."""
    return evaluation_losses(model, evaluation, [image], [posterior], ids, embeddings)[0]


@torch.no_grad()
def evaluation_losses(
    model: LatentDiffusion,
    evaluation: Evaluation,
    images: Sequence[str],
    posteriors: Sequence[Posterior],
    ids: Int[Tensor, "runs_samples context"],
    embeddings: Embeddings,
) -> list[float]:
    """Eq. (1) on a fixed grid of (t, ε), the same for every run of a picture: free of training noise.

    `ids` holds a padded prompt for each of the grid's samples, run after run. The latents are the posterior's
    means; several pictures take turns. The U-Net's batches are full, whatever run their samples are of.
    """
    timesteps, which = len(model.alphas_cumprod), torch.arange(evaluation.samples)
    grids = [evaluation_grid(image, evaluation.samples, timesteps, model.latent_shape) for image in images]
    latents = [posterior.mean.cpu()[which % len(posterior.mean)] for posterior in posteriors]
    times, noises = (torch.cat(parts) for parts in zip(*grids, strict=True))
    text, prompt = encode_distinct(model, ids, embeddings, evaluation.batch_size)
    z_0, losses = torch.cat(latents), []
    for part in torch.arange(len(ids)).split(evaluation.batch_size):
        z, t, eps = (tensor[part].to(model.device) for tensor in (z_0, times, noises))
        losses.append(latent_diffusion_loss(model, z, text[prompt[part]], t, eps))
    return torch.cat(losses).view(len(images), -1).mean(dim=1).tolist()


@torch.no_grad()
def draw_pictures(
    model: LatentDiffusion,
    noise: Float[Tensor, "pictures c h w"],
    ids: Int[Tensor, "pictures context"],
    embeddings: Embeddings,
    how: Evaluation,
) -> Float[Tensor, "pictures 3 height width"]:
    """Pictures in [-1, 1] for padded prompts, each from its own initial noise, on the CPU.

    Sampler, steps, guidance, the prompt that it leads away from, and the batch size are those of `how`.
    """
    text, prompt = encode_distinct(model, ids, embeddings, how.batch_size)
    away = torch.tensor([prompt_ids(model, how.negative_prompt, [])], device=model.device)
    latents = sample(
        model,
        text[prompt],
        model.encode_text(away, embeddings),
        noise.to(model.device),
        how.num_inference_steps,
        how.guidance_scale,
        how.batch_size,
        how.sampler,
    )
    return torch.cat([model.decode(part).cpu() for part in latents.split(how.batch_size)])

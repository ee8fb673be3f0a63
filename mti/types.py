"""The words that all rooms share: what goes in, what comes out, and what a part must offer.

Pictures are `Float[Tensor, "batch 3 height width"]` in [-1, 1] unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

Tokenize = Callable[[str], list[str]]
"""A text to the names of its tokens under the diffusion model's own tokenizer, without begin and end."""


class UserError(Exception):
    """A mistake of the user's: one line that says what was given, what was expected and what to do."""


@dataclass(frozen=True)
class Concept:
    """A thing to find words for: one picture of it, or several, and what is recorded about it."""

    name: str
    pictures: tuple[Path, ...]
    recorded: Mapping[str, str] = field(default_factory=dict)  # "class" and "caption", as in table A.1


@dataclass(frozen=True)
class InitialText:
    """The text whose tokens' embeddings a run starts from, and where it came from."""

    text: str
    source: str  # "fixed", "given", "recorded", or the name of the model that looked at the picture
    raw: str  # as it came, before it was cleaned
    details: Mapping[str, Any] = field(default_factory=dict)  # scores and other guesses, JSON-serialisable
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)  # what was looked at: "mask", "crop", "overlay"
    embeddings: Float[Tensor, "num_vectors width"] | None = None  # to start from, instead of the text's own


@runtime_checkable
class Initializer(Protocol):
    """Chooses the initial text of a concept.

    It may have a method `check(concept)` that raises a `UserError` for what can be known to go wrong
    before any weights are loaded.
    """

    def __call__(self, concept: Concept, tokenize: Tokenize) -> InitialText:
        """The text; `tokenize` is the diffusion model's."""
        ...


class Guess(NamedTuple):
    """What a perception model says of a picture, with its score (a probability, or a log-probability)."""

    text: str
    score: float


@runtime_checkable
class Perception(Protocol):
    """A classifier or a captioner: an RGB picture to guesses, best first. Loads its weights on first use."""

    name: str

    def __call__(self, picture: Image.Image) -> list[Guess]:
        """What the model sees."""
        ...


Scores = Mapping[str, "float | Tensor"]
"""Named values: a number for all generated pictures together, or `Float[Tensor, " generated"]`, one for each."""


@runtime_checkable
class Metric(Protocol):
    """Compares generated pictures with the concept's own: several in, named values out.

    Making one costs nothing; weights are loaded when it is first called. It may also have

    - `prompt_set`: "personalization" to be handed the pictures of those prompts; otherwise it is handed those of
      the reconstruction prompts;
    - `check()`, which raises a `UserError` if weights are missing, before anything is trained;
    - `record`: what must be kept with its scores for others to compare with, such as the backbone.
    """

    def __call__(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        prompts: Sequence[str],
    ) -> Scores:
        """The scores; `prompts` says what each generated picture was drawn for, `{}` for the placeholders."""
        ...


class Posterior(NamedTuple):
    """The autoencoder's Gaussian over a picture's latent, scaled as the U-Net sees it."""

    mean: Float[Tensor, "batch channels height width"]
    std: Float[Tensor, "batch channels height width"]


@runtime_checkable
class LatentDiffusion(Protocol):
    """A frozen text-to-image latent diffusion model, reduced to what inversion needs.

    Everything that goes in and comes out is fp32, whatever the precision inside. No parameter
    requires a gradient; gradients flow through `encode_text` to `embeddings` and through `denoise` to `text`.

    The conditioning is opaque: what `encode_text` gives and `denoise` takes, an entry for each prompt. A model of
    two text encoders has both embeddings of a token in one row, one behind the other.
    """

    name: str
    resolution: int  # the side of its square pictures, in pixels
    latent_shape: tuple[int, int, int]  # channels, height, width
    context_length: int  # tokens of a prompt, begin and end included
    prediction_type: Literal["epsilon", "v_prediction"]
    precision: str  # inside, on its device: fp32, bf16 or fp16
    alphas_cumprod: Float[Tensor, " timesteps"]  # ᾱ_t, on the CPU
    embedding: Float[Tensor, "vocabulary width"]  # the frozen embedding table
    scheduler_config: Mapping[str, Any]  # of the diffusers scheduler the model was trained with
    device: torch.device

    def to(self, device: torch.device) -> LatentDiffusion:
        """Move everything to a device."""
        ...

    def token_ids(self, text: str) -> list[int]:
        """A text's token ids, without begin and end, of any length."""
        ...

    def token_names(self, ids: Sequence[int]) -> list[str]:
        """The tokens as the tokenizer writes them."""
        ...

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """A prompt's ids between begin and end, padded to `context_length`. The caller checks the length."""
        ...

    def encode_picture(self, pictures: Float[Tensor, "batch 3 height width"]) -> Posterior:
        """Pictures in [-1, 1] to their latents' posterior."""
        ...

    def decode(self, latents: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 3 height width"]:
        """Latents to pictures in [-1, 1]."""
        ...

    def encode_text(
        self, ids: Int[Tensor, "batch context"], embeddings: Float[Tensor, "num_vectors width"]
    ) -> Float[Tensor, "batch lines channels"]:
        """c_θ: padded prompts to conditioning. The id `len(embedding) + i` stands for `embeddings[i]`."""
        ...

    def denoise(
        self,
        noisy: Float[Tensor, "batch channels h w"],
        timesteps: Int[Tensor, " batch"],
        text: Float[Tensor, "batch lines text_channels"],
    ) -> Float[Tensor, "batch channels h w"]:
        """The U-Net's prediction, of ε or of v as `prediction_type` says."""
        ...

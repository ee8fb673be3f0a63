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

from mti.errors import UserError as UserError

Tokenize = Callable[[str], list[str]]
"""A text to the names of its tokens under the diffusion model's own tokenizer, without begin and end."""


@dataclass(frozen=True)
class Concept:
    """A thing to find words for: one picture of it, or several, and what is recorded about it."""

    name: str
    pictures: tuple[Path, ...]
    recorded: Mapping[str, str] = field(default_factory=dict)  # "class" and "caption", as in table A.1
    click: tuple[int | float, int | float] | None = None  # recorded: on the thing, in the first picture's own pixels
    skipped: Mapping[str, str] = field(default_factory=dict)  # files of its folder that are not used, and why


@dataclass(frozen=True)
class PreparedConcept:
    """A concept as it is described, trained on and judged against: the same for every initializer."""

    name: str
    recorded: Mapping[str, str]
    pictures: tuple[Image.Image, ...]  # RGB squares, one for each picture of the concept
    described: Image.Image  # what classifier and captioner look at: the picture, or the thing cut out of it
    mask: Image.Image | None = None  # of the clicked thing in the first square, in its pixels; mode "1"
    on_white: bool = False  # whether everything but the thing is white in `described`
    details: Mapping[str, Any] = field(default_factory=dict)  # how it was prepared, JSON-serialisable
    shown: Mapping[str, Image.Image] = field(default_factory=dict)  # to be kept: "square", "mask", "crop", "overlay"


Rows = Callable[["LatentDiffusion", Sequence[int], torch.Generator], Tensor]
"""A model, a text's token ids and a source of chance to rows to start from, one for each token."""


@dataclass(frozen=True)
class InitialText:
    """The text whose tokens' embeddings a run starts from, and where it came from."""

    text: str
    source: str  # "fixed", "given", "recorded", or the name of the model that looked at the picture
    raw: str  # as it came, before it was cleaned
    details: Mapping[str, Any] = field(default_factory=dict)  # scores and other guesses, JSON-serialisable
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)  # kept beside it: "mask", "crop", "overlay"
    embeddings: Float[Tensor, "num_vectors width"] | None = None  # to start from, instead of the text's own
    rows: Rows | None = None  # or what makes them of the model
    candidates: Sequence[InitialText] = ()  # a race decides between them, and this is the first of them
    cuts: Sequence[int] = ()  # after how many updates it drops the worse half


@runtime_checkable
class Initializer(Protocol):
    """Chooses the initial text of a concept.

    It may have

    - `check(concept)`, which raises a `UserError` for what can be known of a `Concept` to go wrong before any
      weights are loaded;
    - `release()`, which lets go of the weights of the models that it asked.
    """

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
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

    def release(self) -> None:
        """Let go of the weights; the next call loads them again."""
        ...


@runtime_checkable
class StopRule(Protocol):
    """Says when a run has learned enough, by its evaluation loss alone: whoever resumes a run comes to the same."""

    every: int  # updates between two measurements

    def __call__(self, losses: Mapping[int, float]) -> bool:
        """Whether to stop now, after these losses at these steps, in their order."""
        ...


Scores = Mapping[str, "float | Tensor"]
"""Values by name: a number for all generated pictures together, or `Float[Tensor, " generated"]`, one for each."""


@runtime_checkable
class Metric(Protocol):
    """Compares generated pictures with the concept's own: several in, named values out.

    A class with `__call__` alone is a metric of the reconstruction prompts. It may also have, and a
    `mti.metrics.base.BaseMetric` has,

    - `prompt_set`: "personalization" to be handed the pictures of those prompts;
    - `wants_mask`: True to be called with `mask=`, the concept's masks in the reference pictures' pixels,
      `Bool[Tensor, "reference height width"]`, True on the thing, nowhere True where none is known; or None;
    - `record()`: what is kept with its scores, JSON-serialisable. `record()["values"][name]` has the `label`, `unit`
      and `better` ("lower" or "higher") of each value, and what it is `about` ("fidelity" or "editability");
    - `check()`, which raises a `UserError` if weights are missing, before anything is trained;
    - `to(device)`, which says where its networks compute, and `release()`, which frees them until the next call.
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
    alphas_cumprod: Float[Tensor, " timesteps"]  # ᾱ_t, on its device
    embedding: Float[Tensor, "vocabulary width"]  # the frozen embedding table
    widths: Sequence[int]  # of the text encoders whose embeddings lie side by side in a row
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

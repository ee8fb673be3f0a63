"""What a run's curves are to be seen beside: losses of fixed texts, and what the autoencoder alone costs.

mse.initial_text    the evaluation loss of the plain initial text; a run starts from it
mse.empty_prompt    the same of the empty prompt: what the model knows without any words
mse.caption_of_another   the same of another picture's caption
floor.<metric>      the metric of the picture encoded and decoded: no words can do much better
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mti.evaluation import evaluation_loss, ids_of, measured
from mti.schema import Evaluation
from mti.types import LatentDiffusion, Metric, Posterior, UserError


class Calibration:
    """Computes the levels of runs against one model; what two runs have in common is computed once."""

    def __init__(self, model: LatentDiffusion, evaluation: Evaluation, metrics: Mapping[str, Metric]):
        self.model = model
        self.evaluation = evaluation
        self.metrics = metrics
        self._losses: dict[tuple[str, str], float] = {}
        self._floors: dict[str, dict[str, float]] = {}

    def levels(
        self,
        image: str,
        text: str,
        caption_of_another: str | None,
        pictures: Float[Tensor, "pictures 3 height width"],
        posterior: Posterior,
        mask: Bool[Tensor, "pictures height width"] | None = None,
    ) -> dict[str, dict[str, float]]:
        """The levels of a run that starts from `text`. A text that is None or too long for the prompts is left out."""
        texts = {"initial_text": text, "empty_prompt": "", "caption_of_another": caption_of_another}
        losses = {name: self._loss(image, words, posterior) for name, words in texts.items()}
        if image not in self._floors:
            self._floors[image] = self._floor(pictures, posterior, mask)
        known = {name: loss for name, loss in losses.items() if loss is not None}
        return {"mse": known, "floor": self._floors[image]}

    def _loss(self, image: str, text: str | None, posterior: Posterior) -> float | None:
        """The evaluation loss of a text in the reconstruction prompts; no words at all are the empty prompt."""
        if text is None:
            return None
        if (image, text) not in self._losses:
            prompts: Sequence[str] = self.evaluation.prompts if text else [""]
            try:
                ids = ids_of(self.model, prompts, self.model.token_ids(text), self.evaluation.samples)
            except UserError:  # the text is too long
                return None
            none = torch.zeros(0, self.model.embedding.shape[1], device=self.model.device)
            self._losses[image, text] = evaluation_loss(self.model, self.evaluation, image, posterior, ids, none)
        return self._losses[image, text]

    def _floor(self, pictures: Tensor, posterior: Posterior, mask: Tensor | None) -> dict[str, float]:
        """Each picture against itself after encoding and decoding, averaged over the pictures that have a value."""
        sets = {getattr(metric, "prompt_set", "reconstruction") for metric in self.metrics.values()}
        if "reconstruction" not in sets:
            return {}
        decoded = self.model.decode(posterior.mean.to(self.model.device)).cpu()
        scores: dict[str, list[float]] = {}
        for i in range(len(pictures)):
            own = None if mask is None else mask[[i]]
            one = measured(self.metrics, "reconstruction", decoded[[i]], pictures[[i]], ["{}"], own)
            for name, value in one.items():
                scores.setdefault(name.removeprefix("eval/"), []).append(value)
        return {name: sum(values) / len(values) for name, values in scores.items()}

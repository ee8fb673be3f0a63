"""Prepare: each part of each run made once. Pictures are decoded, described and encoded; nothing is trained yet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mti.calibration import Calibration
from mti.clock import timed
from mti.close import fail
from mti.concepts.clicks import resolve_clicks
from mti.concepts.prepared import prepare_concept
from mti.images import to_tensor
from mti.inversion import Run
from mti.isolation import isolated
from mti.parts import Parts
from mti.phases import phase
from mti.plan import PlannedRun, has_pictures, prompts_of
from mti.race import race
from mti.schema import Training
from mti.starts import Start, starts_of
from mti.tokens import prompt_ids
from mti.types import InitialText, LatentDiffusion, Metric, Posterior, PreparedConcept, UserError

log = logging.getLogger("mti")


@dataclass(frozen=True)
class PreparedRun:
    """A run with all that training and judging it needs."""

    planned: PlannedRun
    concept: PreparedConcept
    text: InitialText
    token_names: Sequence[str]
    references: Float[Tensor, "pictures 3 size size"]  # what it is trained on and judged against, in [-1, 1]
    mask: Bool[Tensor, "pictures size size"] | None  # True on the clicked thing; None if none was clicked
    run: Run
    raced: int = 0  # updates that are done already: those of the race that its text won
    perception: float = 0.0  # seconds that finding the thing and looking at the picture took


class Described(NamedTuple):
    """What is known of a run before its picture is encoded."""

    concept: PreparedConcept
    text: InitialText
    starts: list[tuple[InitialText, Start]]  # the rows to start from; of a race, those of all candidates
    seconds: float  # that concept and text took to make, without the reading of weights


class Preparation:
    """Makes prepared runs for one model; what several runs have in common is made once."""

    def __init__(self, model: LatentDiffusion, parts: Parts) -> None:
        self.model, self.parts = model, parts
        self._concepts: dict[str, tuple[PreparedConcept, float]] = {}  # and the seconds that it took
        self._texts: dict[str, tuple[InitialText, float]] = {}  # the same
        self._references: dict[int, Tensor] = {}
        self._posteriors: dict[tuple[int, bool], list[Posterior]] = {}
        self._calibrations: dict[str, Calibration] = {}

    def __call__(self, runs: Sequence[PlannedRun]) -> list[PreparedRun]:
        """The runs that can be trained: one whose picture or text is not to be had ends by itself."""
        described = isolated(runs, self._describe, fail)
        for planned, _ in described:
            for node in (planned.config.init.initializer, planned.config.segmenter):
                getattr(self.parts.build(node), "release", lambda: None)()
        return [prepared for _, prepared in isolated(described, self._encode, _fail)]

    def _describe(self, run: PlannedRun) -> Described:
        """The square that is trained on, the initial text, and the rows to start from.

        The seconds are those of making the first two, also where another run of the list had them made: a run by
        itself would have to. The reading of models' weights, for which only the first waits, is not in them.
        """
        config, build = run.config, self.parts.build
        initializer = build(config.init.initializer)
        clicks = resolve_clicks(config.click, config.outside, config.box, run.concept)
        view = repr(
            (run.concept.pictures, clicks, config.crop, config.segmenter, config.init.background, config.init.margin)
        )
        if view not in self._concepts:
            with phase(f"{run.concept.name}: preparing its pictures"):
                self._concepts[view] = timed(
                    lambda: prepare_concept(
                        run.concept,
                        clicks,
                        config.crop,
                        build(config.segmenter),
                        config.init.background,
                        config.init.margin,
                    )
                )
        concept, finding = self._concepts[view]
        question = repr((view, config.init.initializer))
        if question not in self._texts:
            with phase(f"{config.title}: looking at the picture"):
                self._texts[question] = timed(lambda: initializer(concept, self._tokenize))
        text, looking = self._texts[question]
        seed, name, init = config.seed, run.concept.name, config.init
        starts = starts_of(self.model, text, seed, name, init.num_vectors, init.padding)
        own = chain.from_iterable(prompts_of(config, run.concept))
        for prompt in [*config.prompts, *own]:
            for _, start in starts:
                prompt_ids(self.model, prompt, start.token_ids)
        if not text.candidates:
            self._keep(run, concept, text, starts[0][1].token_ids)
        return Described(concept, text, starts, finding + looking)

    def _keep(self, run: PlannedRun, concept: PreparedConcept, text: InitialText, ids: Sequence[int]) -> None:
        """Write and tell the text that is trained."""
        shown = replace(text, details={**concept.details, **text.details}, pictures={**concept.shown, **text.pictures})
        run.folder.write_text(shown, self.model.token_names(ids))
        log.info("%s: %r, tokens: %d (%s)", run.config.title, text.text, len(ids), text.source)

    def _tokenize(self, text: str) -> list[str]:
        return self.model.token_names(self.model.token_ids(text))

    def _encode(self, found: tuple[PlannedRun, Described]) -> PreparedRun:
        """The latents' posteriors, the race's winner, and the levels that the curves are to be seen beside."""
        planned, (concept, text, starts, seconds) = found
        config, flip = planned.config, planned.config.training.flip
        if id(concept) not in self._references:
            size = self.model.resolution
            self._references[id(concept)] = torch.stack([to_tensor(square, size) for square in concept.pictures])
        references = self._references[id(concept)]
        if (id(concept), flip) not in self._posteriors:
            views = [references, references.flip(-1)] if flip else [references]
            with phase(f"{concept.name}: encoding its pictures"):
                encoded = [self.model.encode_picture(view) for view in views]
            self._posteriors[id(concept), flip] = [Posterior(mean.cpu(), std.cpu()) for mean, std in encoded]
        mask, prompts = mask_of(concept, references), prompts_of(config, planned.concept)
        runs = [
            Run(
                concept.name,
                config.seed,
                start.token_ids,
                self._posteriors[id(concept), flip],
                config.training,
                self.parts.build(config.optimizer),
                start.rows,
                loss_weights(mask, self.model.latent_shape, config.training),
                self.parts.build(config.stop) if config.stop else None,
                prompts,
                config.trainer.max_steps,
            )
            for _, start in starts
        ]
        run, raced = runs[0], 0
        if text.candidates:
            winner, told = race(planned, [one for one, _ in starts], runs, text.cuts, self.model)
            run, raced, won = runs[winner], text.cuts[-1], starts[winner][0]
            text = replace(won, details={**won.details, "race": told})
            self._keep(planned, concept, text, run.token_ids)
        another = self.parts.build(config.dataset).caption_of_another(config.image)
        with phase(f"{config.title}: measuring what its curves are to be seen beside"):
            levels = self._calibration(planned, concept).levels(
                concept.name, text.text, another, references, run.posteriors[0], mask
            )
        planned.folder.write_calibration(levels)
        names = self.model.token_names(run.token_ids)
        return PreparedRun(planned, concept, text, names, references, mask, run, raced, seconds)

    def _calibration(self, planned: PlannedRun, concept: PreparedConcept) -> Calibration:
        config = planned.config
        key = repr((config.evaluation, config.metrics, id(concept)))  # concepts of one name may differ
        if key not in self._calibrations:
            metrics = metrics_of(planned, self.parts)
            self._calibrations[key] = Calibration(self.model, config.evaluation, metrics)
        return self._calibrations[key]


def mask_of(
    concept: PreparedConcept, references: Float[Tensor, "pictures 3 size size"]
) -> Bool[Tensor, "pictures size size"] | None:
    """Where the clicked thing is in the references: known of the first picture alone."""
    if concept.mask is None:
        return None
    masks = torch.zeros(len(references), *references.shape[2:], dtype=torch.bool)
    small = concept.mask.convert("L").resize((references.shape[3], references.shape[2]))
    masks[0] = torch.from_numpy(np.array(small)) > 127
    return masks


def loss_weights(
    mask: Bool[Tensor, "pictures size size"] | None, latent_shape: tuple[int, int, int], training: Training
) -> list[Float[Tensor, "pictures 1 h w"]] | None:
    """What each place of a latent counts in the loss: 1 on the thing, `training.background` beside it.

    Between them by the share of its pixels that are the thing's. A picture of which no mask is known counts evenly.
    With `training.flip` the weights of the mirrored pictures follow. The idea of masked training is that of
    OneTrainer and sd-scripts.
    """
    if training.mask is None:
        return None
    if mask is None:
        raise UserError("training.mask=thing: no thing is clicked on in this picture; give click=[x,y], or no mask")
    share = F.interpolate(mask[:, None].float(), latent_shape[1:], mode="area")
    weight = training.background + (1 - training.background) * share
    weight[~mask.any(dim=(1, 2))] = 1.0
    return [weight, weight.flip(-1)] if training.flip else [weight]


def metrics_of(planned: PlannedRun, parts: Parts) -> dict[str, Metric]:
    """The metrics of a run that have pictures to measure, by the names of their choices."""
    every = {name: parts.build(node) for name, node in planned.config.metrics.items()}
    return {name: metric for name, metric in every.items() if has_pictures(metric, planned.config)}


def _fail(found: tuple[PlannedRun, Described], reason: str) -> None:
    fail(found[0], reason)

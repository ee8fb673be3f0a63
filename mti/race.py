"""The race of `init=ranked`: all candidates trained at once, the worse half dropped at each cut.

Successive halving (Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", arXiv:1502.07943) on the deterministic evaluation loss. The race is a run's first updates: the candidates
are trained under the run's own noise and settings, in a fused batch of their own, and the winner goes on from the last
cut with its embeddings and its optimizer's state. What it hands on is kept in the run folder's `race`, a run folder
without a configuration: metrics.csv (the winner's), a checkpoint, and last of all summary.json, which tells the race.
A race that is interrupted is run again, to the same bits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from mti.callbacks.evaluation import losses_of
from mti.concepts.identity import placeholder_of
from mti.inversion import Run, TextualInversion
from mti.library_logging import quiet_lightning
from mti.lightning import lightning_trainer, step_numbers
from mti.memory import is_out_of_memory
from mti.outputs import RunFolder
from mti.plan import PlannedRun
from mti.rows import relative_norms
from mti.schema import Evaluation
from mti.termination import TERMINATION
from mti.types import InitialText, LatentDiffusion, UserError

log = logging.getLogger("mti")


def race_folder(folder: RunFolder) -> RunFolder:
    """Where a run's race is kept."""
    return RunFolder(folder.path / "race")


def race(
    planned: PlannedRun, texts: Sequence[InitialText], runs: Sequence[Run], cuts: Sequence[int], model: LatentDiffusion
) -> tuple[int, dict[str, Any]]:
    """The number of the candidate that wins, and what is told of the race; that of before if it was run before.

    Raises:
        UserError: no candidate came to the end, or the memory does not hold all of them.
    """
    folder, config = race_folder(planned.folder), planned.config
    if told := folder.summary():
        return told["winner"], told
    began = time.monotonic()
    module = TextualInversion(model, runs, samples_at_once=config.training.samples_at_once)
    halving = Halving(texts, cuts, config.evaluation)
    log.info("%s: %d candidates for %d updates", config.title, len(runs), cuts[-1])
    try:
        with quiet_lightning(), TERMINATION.deferred():
            trainer = lightning_trainer(replace(config.trainer, max_steps=cuts[-1]), [halving])
            trainer.fit(module, step_numbers(cuts[-1]))
    except Exception as error:
        if is_out_of_memory(error):
            advice = "lower init.candidates, or try training.samples_at_once=1"
            raise UserError(f"out of memory with {len(runs)} candidates at once: {advice}") from None
        raise
    if not module.active:
        raise UserError(f"no candidate came to the end of the race: {module.failures[0]}")
    (winner,) = module.active
    folder.resume(0)
    for step, values in halving.rows[winner].items():
        folder.record(step, values)
    for step, rows in halving.learned[winner].items():
        planned.folder.write_tokens(rows, placeholder_of(planned.concept.name), step)
    folder.save_state(cuts[-1], halving.state)
    told = {"winner": winner, **halving.told(module), "seconds": round(time.monotonic() - began, 1)}
    folder.write_summary(told)
    log.info("%s: %r wins", config.title, texts[winner].text)
    return winner, told


class Halving(pl.Callback):
    """Measures all candidates at the evaluated steps and the cuts, and drops the worse half at each cut.

    `rows` and `learned` hold, for each candidate, its measured values and embeddings by step; `state` is the winner's.
    """

    def __init__(self, texts: Sequence[InitialText], cuts: Sequence[int], evaluation: Evaluation) -> None:
        self.texts, self.cuts, self.evaluation = texts, cuts, evaluation
        self.losses: list[dict[int, float]] = [{} for _ in texts]
        self.rows: list[dict[int, dict[str, float]]] = [{} for _ in texts]
        self.learned: list[dict[int, Tensor]] = [{} for _ in texts]
        self.state: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the texts as they are."""
        assert isinstance(pl_module, TextualInversion)
        TERMINATION.raise_if_requested()
        self._measure(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Record the batch's losses; at a cut, drop the worse half."""
        assert isinstance(pl_module, TextualInversion)
        TERMINATION.raise_if_requested()
        for i in pl_module.active:
            self.rows[i].setdefault(pl_module.done - 1, {})["train/mse"] = pl_module.losses[i]
        self._measure(pl_module)
        if pl_module.done in self.cuts:
            self._cut(pl_module)

    def _measure(self, module: TextualInversion) -> None:
        step, which = module.done, module.active
        evaluated = step in self.evaluation.steps
        if not which or not (evaluated or step in self.cuts):
            return
        for i, loss in zip(which, losses_of(module, which, self.evaluation), strict=True):
            self.losses[i][step] = loss
            if evaluated and step < self.cuts[-1]:  # there the run is evaluated as any other
                norm = relative_norms(module.learned(i), module.vocabulary).mean().item()
                self.rows[i].setdefault(step, {}).update({"eval/mse": loss, "eval/row_norm": norm})
                self.learned[i][step] = module.learned(i).detach().cpu().clone()

    def _cut(self, module: TextualInversion) -> None:
        step, last = module.done, module.done == self.cuts[-1]
        best = sorted(module.active, key=lambda i: self.losses[i][step])
        kept = kept_at(len(best), last)
        for i in best[kept:]:
            module.stopped[i] = step
        if last and best:
            self.state = {name: value.detach().cpu().clone() for name, value in module.run_state(best[0]).items()}
        for i in best[:1]:
            told = step, kept, len(best), self.texts[i].text, self.losses[i][step]
            log.info("race, step %d: %d of %d go on, the best is %r (%.4f)", *told)

    def told(self, module: TextualInversion) -> dict[str, Any]:
        """The race as data: each candidate with its losses at the steps, and when and why it was dropped."""
        candidates = [
            {
                "text": text.text,
                "source": text.source,
                "losses": {str(step): loss for step, loss in self.losses[i].items()},
                "dropped": module.stopped.get(i),
                "failure": module.failures.get(i),
            }
            for i, text in enumerate(self.texts)
        ]
        updates = sum("train/mse" in values for rows in self.rows for values in rows.values())
        return {"cuts": list(self.cuts), "candidates": candidates, "updates": updates}


def kept_at(count: int, last: bool) -> int:
    """How many of so many candidates go on after a cut: the better half, rounded up; after the last cut one."""
    return min(count, 1) if last else -(-count // 2)

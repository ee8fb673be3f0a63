"""Figure 3 from run folders: `python experiments/figure3/plot.py outputs/figure3`.

Draws the evaluation loss of each initializer, averaged over pictures and seeds, and prints what the
experiment claims. Trains nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mti.outputs import Curve, RunFolder

INITIALIZERS = {"star": "#6b7280", "multistar": "#2563eb", "class": "#d97706", "caption": "#dc2626"}
HERE = Path(__file__).parent


def curves(root: Path) -> dict[str, dict[tuple[str, int], Curve]]:
    """The evaluation loss of every finished run, by initializer and by (image, seed)."""
    found: dict[str, dict[tuple[str, int], Curve]] = defaultdict(dict)
    for path in sorted(root.rglob("summary.json")):
        folder = RunFolder(path.parent)
        summary = folder.summary() or {}
        if not folder.finished:
            print(f"left out, {summary.get('status')}: {path.parent}")
            continue
        found[summary["init"]][summary["image"], summary["seed"]] = folder.metrics()["eval/mse"]
    return found


def mean_curve(runs: dict[tuple[str, int], Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, mean loss, and the standard error over runs of the steps that all of them measured."""
    steps = sorted(set.intersection(*(set(curve) for curve in runs.values())))
    table = np.array([[curve[step] for step in steps] for curve in runs.values()])
    return np.array(steps), table.mean(0), table.std(0, ddof=1) / np.sqrt(len(table))


def steps_to_reach(steps: np.ndarray, loss: np.ndarray, level: float) -> float | None:
    """The first step at which a curve, straight between its points, is as low as `level`."""
    below = np.flatnonzero(loss <= level)
    if not len(below):
        return None
    i = below[0]
    if i == 0:
        return float(steps[0])
    share = (loss[i - 1] - level) / (loss[i - 1] - loss[i])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def main() -> None:
    """Plot, print and write figure3.json beside the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the experiment's folder of run folders")
    parser.add_argument("--output", type=Path, default=HERE / "figure3.png")
    arguments = parser.parse_args()
    found = curves(arguments.root)
    means = {name: mean_curve(found[name]) for name in INITIALIZERS if len(found.get(name, {})) > 1}
    if "star" not in means:
        parser.error(f"{arguments.root} holds no finished runs of init=star to compare with")
    level = means["star"][1][-1]

    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    summary = {}
    for name, (steps, loss, error) in means.items():
        axes.plot(steps, loss, color=INITIALIZERS[name], marker="o", markersize=3, label=name)
        axes.fill_between(steps, loss - error, loss + error, color=INITIALIZERS[name], alpha=0.15, linewidth=0)
        reached = steps_to_reach(steps, loss, level)
        summary[name] = {
            "runs": len(found[name]),
            "reaches_stars_final_loss_at_step": None if reached is None else round(reached, 1),
            "loss": {int(step): round(float(value), 5) for step, value in zip(steps, loss, strict=True)},
        }
        print(f"{name:10} {len(found[name]):3} runs  start {loss[0]:.4f}  end {loss[-1]:.4f}  star's end at {reached}")
    axes.axhline(level, color=INITIALIZERS["star"], linewidth=0.8, linestyle=":")
    axes.set(xlabel="step", ylabel="LDM MSE (evaluation grid)", title="Loss by initializer, pocket suite")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=150)
    arguments.output.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A W&B workspace that compares the initializers: `python -m mti.dashboard ENTITY --experiment paper`.

It shows what `mti.report` shows, while runs are still going on: every panel averages over pictures and
seeds by initializer. Needs an account and `pip install 'mti[dashboard]'`.
"""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

from mti.reporting.style import INITIALIZERS
from mti.types import UserError

if TYPE_CHECKING:
    import wandb_workspaces.workspaces as ws

INITIALIZER = "init.name"  # where a run's configuration has it
LONGEST_PROJECT = 128  # characters of a project's name
PANELS = {
    "Loss": {
        "Evaluation loss": "^eval/mse$",
        "Training loss, smoothed": "^train/mse$",
    },
    "Generated pictures": {
        "LPIPS": "^eval/lpips(_pocket)?$",
        "SIFID": "^eval/sifid(_pocket)?$",
        "CLIP-I and DINO": "^eval/(clip_i|dino)$",
        "CLIP-T": "^eval/clip_t$",
    },
}
"""Sections and their panels, each with the metrics it shows: a pattern, as models have metrics of their own."""


def main() -> None:
    """Make the workspace that the command line asks for and say where it is. Ends with 2 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m mti.dashboard", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("entity", help="a W&B user or team")
    parser.add_argument("--project", default="mti", help="mti, if not given")
    parser.add_argument(
        "--experiment", help="one experiment's runs only: a W&B group; all of the project, if not given"
    )
    parser.add_argument("--name", help='of the workspace; "Initializers: EXPERIMENT", if not given')
    given = parser.parse_args()
    try:
        print(save(given.entity, given.project, given.experiment, given.name))
    except UserError as mistake:
        print(f"mti: {mistake}", file=sys.stderr)
        sys.exit(2)


def save(entity: str, project: str, experiment: str | None = None, name: str | None = None) -> str:
    """Make the workspace; its address.

    Raises:
        UserError: a name is none that W&B takes, the package is missing, or the server does not take the workspace.
    """
    _check(entity, project, experiment, name)
    try:
        made = workspace(entity, project, experiment, name)
    except ImportError:
        raise UserError("the dashboard needs the package wandb-workspaces: pip install 'mti[dashboard]'") from None
    try:
        return made.save().url
    except Exception as error:  # W&B's own, its service's and its transport's errors have no common base
        reason = " ".join(str(error).split())
        raise UserError(f"W&B has not taken the workspace ({type(error).__name__}: {reason})") from error


def _check(entity: str, project: str, experiment: str | None, name: str | None) -> None:
    if not re.fullmatch(r"[\w-]+", entity):
        raise UserError(f"{entity!r} is no W&B user or team: expected letters, digits, - and _")
    if not project.strip() or re.search(r"[/\\#?%:\x00-\x1f]", project) or len(project) > LONGEST_PROJECT:
        raise UserError(
            f"--project={project!r} is no W&B project: expected up to {LONGEST_PROJECT} letters, no /\\#?%:"
        )
    for option, given in (("--experiment", experiment), ("--name", name)):
        kinds = {unicodedata.category(letter)[0] for letter in given or ""}
        if given is not None and not (given.strip() and kinds <= set("LNPZM")):
            raise UserError(f"{option}={given!r} is no name for W&B: expected letters, digits, spaces and punctuation")


def workspace(entity: str, project: str, experiment: str | None = None, name: str | None = None) -> ws.Workspace:
    """The workspace, not saved yet; making it asks no server."""
    import wandb_workspaces.expr as expr
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    sections = [
        ws.Section(name=title, panels=[_curve(shown, pattern) for shown, pattern in panels.items()], is_open=True)
        for title, panels in PANELS.items()
    ]
    end = wr.BarPlot(
        title="Evaluation loss at the end",
        metrics=["eval/mse"],
        groupby=wr.Config(INITIALIZER),
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
    )
    sections[0].panels.append(end)
    samples = wr.MediaBrowser(title="Samples", media_keys=["samples"], num_columns=6)
    sections.append(ws.Section(name="Samples", panels=[samples], is_open=True))
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name or ("Initializers" if experiment is None else f"Initializers: {experiment}"),
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="step", max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Metric("Group") == experiment) if experiment else "",
            groupby=[expr.Config(INITIALIZER)],
            group_colors={**INITIALIZERS},
            pinned_columns=["summary:eval/mse", "config:image", "config:seed"],
        ),
    )


def _curve(title: str, pattern: str) -> Any:
    """Mean and standard error by initializer, over steps."""
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title=title,
        x="step",
        metric_regex=pattern,
        groupby=wr.Config(INITIALIZER),
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        smoothing_factor=0.9 if "smoothed" in title else None,
        smoothing_type="exponential" if "smoothed" in title else None,
        max_runs_to_show=100,
    )


if __name__ == "__main__":
    main()

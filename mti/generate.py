"""Pictures from learned tokens: `python -m mti.generate run=outputs/… prompt="a photo of {} on the beach"`.

A run folder is data: it names its model and how it was evaluated. The model's class comes from the receiver's own
configuration, and nothing of the folder is resolved or instantiated.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mti.checks import checked, raise_together
from mti.command_line import command
from mti.errors import UserError
from mti.schema import Evaluation, Generate
from mti.templates import SLOT
from mti.typed import HYDRAS_OWN, convert, part, written

if TYPE_CHECKING:
    import torch

    from mti.outputs import RunFolder

log = logging.getLogger("mti")


@command("generate", Generate)
def main(config: DictConfig) -> None:
    """Generate, write every picture and a grid of them, and say where they are."""
    wanted, faults = checked(config, Generate)
    raise_together(faults)
    if wanted:
        log.info("%s", generate(wanted))


def generate(wanted: Generate) -> Path:
    """Draw the pictures; the file of their grid, beside which the single pictures and request.json lie.

    Raises:
        UserError: a folder holds no learned tokens, the prompt has no place for them or is too long, the model is
            not to be had, or the output folder holds something else.
    """
    import torch  # here, as --help need not wait for it

    from mti.choice import step_of
    from mti.evaluation import draw_pictures
    from mti.images import to_pil
    from mti.noise import initial_latents
    from mti.parts import Parts
    from mti.phases import phase
    from mti.tokens import slotted_ids

    folders = [begun_at(one) for one in ([wanted.run] if isinstance(wanted.run, str) else wanted.run)]
    if not folders:
        raise UserError("run=[]: expected the folder of a run, or several")
    device = device_of(wanted.device)
    steps = [step_of(folder, wanted.step) for folder in folders]
    learned = [folder.read_tokens(step) for folder, step in zip(folders, steps, strict=True)]
    run = begun(folders[0])
    how = evaluated_with(run, wanted)
    seed = wanted.seed if wanted.seed is not None else own_setting(run, "seed", int)
    prompts = [wanted.prompt] if wanted.prompt is not None else how.prompts
    if not prompts:
        raise UserError("prompt=null: the run has no prompts of its own, give one: prompt='a photo of {}'")
    for prompt in prompts:
        check_slots(prompt, len(folders))
    node = model_of(run, wanted.base_model, folders[0])
    with phase(f"loading {node.get('name', 'the model')}"):
        model = Parts().build(node).load().to(device)
    embeddings = torch.cat([rows for rows, _ in learned])
    if embeddings.shape[1] != model.embedding.shape[1]:
        raise UserError(
            f"{folders[0].path} has tokens of width {embeddings.shape[1]}, and {model.name} takes "
            f"{model.embedding.shape[1]}: give the model that they were learned for, base_model=…"
        )
    placeholders, start = [], len(model.embedding)
    for rows, _ in learned:
        placeholders.append(list(range(start, start + len(rows))))
        start += len(rows)
    count = wanted.pictures or how.pictures or 1
    ids = [slotted_ids(model, prompts[i % len(prompts)], placeholders) for i in range(count)]
    noise = initial_latents(seed, concept_name(folders[0]), count, model.latent_shape)
    with phase(f"drawing {count} pictures"):
        pictures = draw_pictures(model, noise, torch.tensor(ids, device=device), embeddings.to(device), how)
    request = {
        "runs": [str(folder.path) for folder in folders],
        "prompts": prompts,
        "negative_prompt": how.negative_prompt,
        "pictures": count,
        "seed": seed,
        "step": steps[0] if len(set(steps)) == 1 else steps,
        "sampler": how.sampler,
        "num_inference_steps": how.num_inference_steps,
        "guidance_scale": how.guidance_scale,
        "model": model.name,
        "precision": model.precision,
    }
    names = [placeholder for _, placeholder in learned]
    return write([to_pil(picture) for picture in pictures], request, names, wanted.output)


def begun_at(name: str) -> RunFolder:
    """The run folder of that name. `UserError` if no run has begun there."""
    from mti.outputs import RunFolder

    folder = RunFolder(Path(name).expanduser())
    if not name or not folder.has_config:
        raise UserError(
            f"run={written(name)}: no run is there: give the folder of one, such as outputs/default/teapot/caption/s0"
        )
    return folder


def device_of(name: str | None) -> torch.device:
    """The device of a name; without one a GPU if there is one. `UserError` if there is no such device here."""
    import torch

    here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    here += ["mps"] * torch.backends.mps.is_available()
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in here and not (name == "cuda" and torch.cuda.is_available()):
        raise UserError(f"device={written(name)}: expected one of {', '.join(here)}")
    return torch.device(name)


def begun(folder: RunFolder) -> dict[str, Any]:
    """What a run folder says of its run, as plain data."""
    config = folder.read_config()
    if not isinstance(config.get("evaluation"), Mapping) or not isinstance(config.get("model"), Mapping):
        raise UserError(f"{folder.path}/config.yaml says nothing of model and evaluation: give the folder of a run")
    return config


def concept_name(folder: RunFolder) -> str:
    """The name that a run's noise is drawn by."""
    concept = (folder.read_record() or {}).get("concept")
    return str(concept["name"]) if isinstance(concept, Mapping) and "name" in concept else folder.read_tokens()[1]


def own_setting(run: Mapping[str, Any], key: str, hint: Any) -> Any:
    """A setting of a run, which has to be what it is in a configuration."""
    faults: list[str] = []
    value = convert(run.get(key), hint, key, faults)
    raise_together(f"the run's config.yaml: {fault}" for fault in faults)
    return value


def evaluated_with(run: Mapping[str, Any], wanted: Generate) -> Evaluation:
    """The run's own settings of evaluation, with those in their place that were asked for."""
    how = own_setting(run, "evaluation", Evaluation)
    names = ("negative_prompt", "sampler", "num_inference_steps", "guidance_scale", "batch_size")
    given = {name: getattr(wanted, name) for name in names if getattr(wanted, name) is not None}
    return dataclasses.replace(how, **given)


def model_of(run: Mapping[str, Any], choice: str | None, folder: RunFolder) -> Mapping[str, Any]:
    """The node of a run's model: the receiver's own choice of that name, with the settings that the run names."""
    own = choice is None
    if choice is None:
        choices = run.get("choices")
        choice = str(choices.get("model", "")) if isinstance(choices, Mapping) else ""
    if not re.fullmatch(r"[\w-]+", choice):
        raise UserError(f"{folder.path} does not name a choice of conf/model: give one, base_model=pocket")
    try:
        node: Any = OmegaConf.to_container(hydra.compose("run", [f"model={choice}"]).model, resolve=True)
    except HydraException:
        raise UserError(f"conf/model has no {choice}, which {folder.path} was made with: give base_model=…") from None
    if own:
        node |= {key: one for key, one in run["model"].items() if key in node and key not in HYDRAS_OWN}
    faults: list[str] = []
    checked_node = part(node, "model", faults)
    raise_together(f"{folder.path}: {fault}" for fault in faults)
    return checked_node or {}


def check_slots(prompt: str, runs: int) -> None:
    """Raise a `UserError` unless a prompt has a place for the tokens of every run."""
    slots = prompt.count(SLOT)
    if not slots:
        raise UserError(f"prompt={written(prompt)}: there is no {SLOT} in it, where the learned tokens go")
    if runs > 1 and slots != runs:
        raise UserError(f"prompt={written(prompt)} has {slots} {SLOT}, and run names {runs}: give each run its own")


def write(pictures: Sequence[Any], request: Mapping[str, Any], placeholders: Sequence[str], output: str | None) -> Path:
    """Keep the pictures, their grid and the request in a folder that holds nothing else."""
    from mti.figures import grid
    from mti.outputs import atomic, safe_name

    text = json.dumps(request, indent=2, ensure_ascii=False)
    words = str(request["prompts"][0])
    for placeholder in placeholders:
        words = words.replace(SLOT, placeholder.strip("<>"), 1)
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    name = f"{safe_name(words.replace(' ', '_'), 80)}-s{request['seed']}-{digest}"
    folder = Path(output).expanduser() if output else Path(request["runs"][0]) / "generated" / name
    kept = folder / "request.json"
    if os.path.exists(folder) and not (folder.is_dir() and (not any(folder.iterdir()) or kept.is_file())):
        raise UserError(f"output={folder} holds something else than an earlier request: name another folder")
    if output and kept.is_file() and kept.read_text("utf-8") != text:
        raise UserError(f"output={folder} holds the pictures of another request: name another folder, or delete it")
    with atomic(folder) as draft:
        draft.mkdir()
        for i, picture in enumerate(pictures):
            picture.save(draft / f"{i}.png")
        grid(pictures, columns=4).save(draft / "grid.png")
        (draft / "request.json").write_text(text, "utf-8")
    return folder / "grid.png"


if __name__ == "__main__":
    main()

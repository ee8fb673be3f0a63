"""Learned tokens for other programs: `python -m mti.export run=outputs/… to=a1111`.

`to` is diffusers, a1111 (which Forge and kohya's sd-scripts read), comfyui, or hub: a folder with a model card,
which `repo=user/name` pushes. `step=50` takes the tokens as they were after so many updates, `step=chosen` those of the
step that `evaluation.choice` found; without it, they are those of the end. The files are named by concept, start and a
given step, and go to `output`, or into the run folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from mti.choice import step_of
from mti.embeddings import FORMS, SDXL, Learned, write_embeddings
from mti.outputs import RunFolder
from mti.types import UserError
from mti.weights import HUB_NAME

KEYS = ("run", "to", "output", "repo", "step")
PICTURES = 4  # in a model card
CARD = """---
{head}
---
# {title}

Tokens learned by multi-token textual inversion for {model}, after {steps} steps.
They started from `{text}`; a prompt calls them `{placeholder}`.

![evaluation loss](curve.svg)

## How to load them

```python
{load}
```

AUTOMATIC1111's web UI, Forge and ComfyUI read `{other}`: a prompt calls it by the file's name.
"""
LOAD = """from diffusers import StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained({model!r})
pipe.load_textual_inversion({repo!r})
pipe("a photo of {placeholder}").images[0].save("picture.png")"""
LOAD_SDXL = """from diffusers import StableDiffusionXLPipeline

pipe = StableDiffusionXLPipeline.from_pretrained({model!r})
for weights, part in (("learned_embeds", ""), ("learned_embeds_2", "_2")):
    encoder, tokenizer = getattr(pipe, "text_encoder" + part), getattr(pipe, "tokenizer" + part)
    name = weights + ".safetensors"
    pipe.load_textual_inversion({repo!r}, weight_name=name, text_encoder=encoder, tokenizer=tokenizer)
pipe("a photo of {placeholder}").images[0].save("picture.png")"""


def export(
    run: Path, to: str, output: Path | None = None, repo: str | None = None, step: int | str | None = None
) -> list[Path]:
    """Write a run's learned tokens in a form that others read; the files.

    Args:
        run: the run's folder.
        to: the form.
        output: a folder; None: `export` in that of the run.
        repo: where a model card's folder is pushed to.
        step: whose tokens, or "chosen"; None: those of the end.

    Raises:
        UserError: the folder has no learned tokens, or none of that step; there is no such form, or the hub refuses
            them.
    """
    if to not in (*FORMS, "hub"):
        raise UserError(f"to={to}: expected one of {', '.join(FORMS)}, hub")
    folder = RunFolder(Path(run).expanduser())
    after = step_of(folder, step)
    learned = learned_by(folder, after)
    name = f"{learned.metadata['concept']}-{learned.metadata['init']}" + (f"-{after}" if after is not None else "")
    output = Path(output).expanduser() if output else folder.path / "export"
    if to != "hub":
        return write_embeddings(to, output / name, learned)
    files = write_hub_folder(folder, learned, output / name, repo or f"your-name/{name}", after)
    if repo:
        push(output / name, repo)
    return files


def learned_by(folder: RunFolder, step: int | None = None) -> Learned:
    """A run's learned tokens, with what there is to know of them: model, text, steps, commit."""
    embeddings, placeholder = folder.read_tokens(step)
    config = folder.read_config()
    model, summary = config.get("model", {}), folder.summary() or {}
    metadata = {
        "concept": Path(str(config.get("image", "concept"))).stem,
        "init": str(config.get("init", {}).get("name", "unknown")),
        "model": str(model.get("name") or model.get("path")),
        "model_path": str(model.get("path")),
        "text": folder.read_text()[0].text,
        "step": str(summary.get("steps", "") if step is None else step),
        "seed": str(config.get("seed", "")),
        "commit": commit(),
    }
    return Learned(embeddings, placeholder, {key: value for key, value in metadata.items() if value})


def commit() -> str:
    """The program's version, and its commit where it is run from a checkout."""
    try:
        release = version("mti")
    except PackageNotFoundError:
        release = "unknown"
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        found = ""
    return f"mti {release} {found}".strip()


def write_hub_folder(
    folder: RunFolder, learned: Learned, output: Path, repo: str, step: int | None = None
) -> list[Path]:
    """What a repository on the hub holds: the tokens, their pictures, the curve of the loss, and a model card."""
    output.mkdir(parents=True, exist_ok=True)
    files = write_embeddings("diffusers", output / "learned_embeds", learned)
    files += write_embeddings("a1111", output / output.name, learned)
    card = model_card(learned, repo, files[-1].name)
    shown = max(folder.sampled_steps(), default=0) if step is None else step
    pictures = dict(enumerate(folder.pictures(shown)[:PICTURES]))
    for i, picture in pictures.items():
        picture.save(output / f"{i}.png")
    texts = {
        "README.md": card + "".join(f"\n![a photo of it](<{i}.png>)" for i in pictures) + "\n",
        "curve.svg": curve(folder.metrics().get("eval/mse", {})),
    }
    for name, text in texts.items():
        (output / name).write_text(text, encoding="utf-8")
    return [*files, *(output / f"{i}.png" for i in pictures), *(output / name for name in texts)]


def model_card(learned: Learned, repo: str, other: str) -> str:
    """The card's text. What a run says of itself is quoted, as somebody else may have written it."""
    about = {key: value.replace("`", "'").replace("\n", " ") for key, value in learned.metadata.items()}
    model = about["model_path"] if HUB_NAME.fullmatch(about["model_path"]) else about["model"]
    head: dict[str, Any] = {"library_name": "diffusers", "tags": ["textual_inversion"]}
    if model == about["model_path"]:
        head["base_model"] = model
    load = LOAD_SDXL if learned.embeddings.shape[1] == sum(SDXL) else LOAD
    return CARD.format(
        head="\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items()),
        title=f"{about['concept']}, from {about['init']}",
        model=model,
        steps=about.get("step", "?"),
        text=about.get("text", ""),
        placeholder=learned.placeholder,
        load=load.format(model=model, repo=repo, placeholder=learned.placeholder),
        other=other,
    )


def curve(losses: Mapping[int, float]) -> str:
    """The evaluation loss over the steps as a small SVG."""
    if not losses:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
    last, low, high = max(losses) or 1, min(losses.values()), max(losses.values())
    span = high - low or 1
    points = " ".join(f"{60 + 500 * x / last:.1f},{20 + 160 * (high - y) / span:.1f}" for x, y in losses.items())
    labels = {(52, 26, "end"): f"{high:.3f}", (52, 184, "end"): f"{low:.3f}", (560, 205, "end"): f"{last} steps"}
    texts = "".join(f'<text x="{x}" y="{y}" text-anchor="{a}">{text}</text>' for (x, y, a), text in labels.items())
    line = f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="2"/>'
    style = 'font-family="sans-serif" font-size="12" fill="#59636e"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 580 220" width="580" {style}>{line}{texts}</svg>\n'


def push(folder: Path, repo: str) -> None:
    """Make a repository on the hub, or use the one that is there, and upload the folder to it."""
    api = HfApi()
    try:
        api.create_repo(repo, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repo)
    except (HfHubHTTPError, HFValidationError, OSError, LocalTokenNotFoundError) as error:
        raise UserError(
            f"{repo} cannot be pushed to ({type(error).__name__}): log in with `hf auth login`; "
            f"what was to be pushed lies in {folder}"
        ) from error


def step_asked(text: str | None) -> int | str | None:
    """A step as it is typed: a number, or "chosen"; nothing is the end."""
    if not text or text == "chosen":
        return text or None
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"step={text}: expected a whole number of at least 0, or chosen")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Export as the command line says (`run=FOLDER to=FORM …`), and say which files were written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    try:
        given = {key: value for key, _, value in (argument.partition("=") for argument in arguments)}
        if wrong := [key for key in given if key not in KEYS] + [key for key in KEYS[:2] if not given.get(key)]:
            expected = f"run=FOLDER to={'|'.join(FORMS)}|hub, output=FOLDER, repo=USER/NAME, step=N|chosen"
            raise UserError(f"{wrong[0]}: expected {expected}")
        output = Path(given["output"]) if given.get("output") else None
        for file in export(Path(given["run"]), given["to"], output, given.get("repo"), step_asked(given.get("step"))):
            print(file)
    except UserError as mistake:
        print(f"mti: {mistake}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""The pocket perceptual network: `python -m mti.pocket.train_perceptual`.

A small VGG that classifies the world's drawings: kind, colour and background. A classifier alone finds
a shifted copy, or a thing of the same kind in other colours, farther away than it should, so training
drawings are also ranked: a shifted copy before another individual of the kind, and that before other
kinds. Then the network is frozen, and what each channel weighs in LPIPS is fitted to such rankings of
training drawings, as Zhang et al. fitted theirs to people's; and the maps are scaled for SIFID.
"""

from __future__ import annotations

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mti.metrics.features import Heads, Maps
from mti.metrics.features.small_vgg import SmallVGG, SmallVGGFeatures, save
from mti.metrics.lpips import difference, distance
from mti.metrics.sifid import frechet_distance
from mti.pocket import drawings, world
from mti.pocket.ranking import Ranked, compared, measure, ranked, shifted
from mti.pocket.stage import DEVICE, Stage, arguments, keep_log, to_model

CHANNELS = (32, 32, 64, 192, 384)
NOISE = 0.1  # of a picture in [-1, 1]: so that generated pictures are seen as drawn ones are
TEMPERATURE = 0.2  # of ranking: a factor of e^0.2 between two distances counts as one
EVENNESS = 0.1  # what it costs the heads to weigh channels differently
DRAWINGS = 80_000  # of the training drawings
FITTED, MEASURED = 2_000, 2_000  # rankings for heads and scale, from training drawings, and for the summary, held out
SIFID_LAYER = "relu5"  # what conf/metrics/sifid_pocket.yaml names
LABELS = {
    "kind": tuple(world.KINDS),
    "color": (None, *world.COLORS),
    "background": (*world.COLORS, *world.TEXTURES),
}


class Classifier(nn.Module):
    """The network with a linear head a label on the mean of its last map."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SmallVGG(CHANNELS).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.heads = nn.ModuleDict({name: nn.Linear(CHANNELS[-1], len(values)) for name, values in LABELS.items()})

    def forward(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The last map and the logits, both fp32."""
        last = self.network(pictures)["relu5"].float()
        return last, {name: head(last.mean((2, 3))).float() for name, head in self.heads.items()}


def labels(count: int) -> dict[str, Tensor]:
    """The labels of the first training drawings, each [count]."""
    scenes = [drawings.scene("train", index) for index in range(count)]
    return {
        name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes]) for name, values in LABELS.items()
    }


def ranking_loss(nearer: Tensor, farther: Tensor) -> Tensor:
    """Punishes distances that are not well below others; broadcasts; whatever the scale of both."""
    return F.softplus((nearer.clamp(min=1e-6).log() - farther.clamp(min=1e-6).log()) / TEMPERATURE + 1).mean()


def views(last: Tensor) -> list[Tensor]:
    """What LPIPS and SIFID compare of a map, one vector a picture: its directions, and each channel's statistics."""
    directions = F.normalize(last, dim=1).flatten(1) / last[0, 0].numel() ** 0.5
    spread = (last.var((2, 3)) + 1e-4).sqrt()
    return [directions, torch.cat([last.mean((2, 3)), spread], dim=1)]


def train(options, pictures: np.ndarray) -> SmallVGG:
    """The network, trained on batches that hold two drawings of each kind, and a shifted copy of one of them."""
    targets = labels(DRAWINGS)
    members = [(targets["kind"] == kind).nonzero().flatten() for kind in range(len(LABELS["kind"]))]

    def loss(model: nn.Module, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        chosen = torch.stack([own[torch.randint(len(own), (2,), generator=generator)] for own in members], dim=1)
        drawn = to_model(torch.from_numpy(pictures[chosen.flatten().numpy()]))
        batch = torch.cat([drawn, shifted(drawn[: len(members)], generator)])
        batch = batch + NOISE * torch.randn(batch.shape, generator=generator).to(batch)
        last, logits = model(batch.contiguous(memory_format=torch.channels_last))
        with torch.autocast(DEVICE.type, enabled=False):
            chosen = torch.cat([chosen.flatten(), chosen[0]])
            losses = {
                name: F.cross_entropy(logits[name], targets[name][chosen].to(DEVICE), label_smoothing=0.05)
                for name in LABELS
            }
            accuracy = (logits["kind"].argmax(-1).cpu() == targets["kind"][chosen]).float().mean()
            ranking = torch.stack([_ranked_batch(view, len(members)) for view in views(last)]).mean()
        total = losses["kind"] + 0.3 * losses["color"] + 0.3 * losses["background"] + ranking
        return {"loss": total, **losses, "ranking": ranking, "accuracy": accuracy}

    stage = Stage("perceptual", Classifier(), loss, options.steps, 2e-3, options.work, 0.05, ema_decay=0.99, warmup=100)
    return stage.run().network.float()


def _ranked_batch(view: Tensor, kinds: int) -> Tensor:
    """The ranking loss of a batch of so many drawings, as many of the same kinds, and shifted copies of the first."""
    first, second, copies = view.split(kinds)
    pairs = (first[:, None] - second[None]).square().sum(-1)
    same = pairs.diagonal()
    others = pairs[~torch.eye(kinds, dtype=torch.bool, device=pairs.device)].view(kinds, kinds - 1)
    return ranking_loss((first - copies).square().sum(-1), same) + ranking_loss(same[:, None], others)


def fit_heads(network: SmallVGG, pictures: Ranked, steps: int = 500) -> Heads:
    """What each channel weighs, so that drawings are ranked; two of different kinds are 1 apart on average."""
    compared = [differences(network, pictures.picture, second) for second in pictures[1:]]
    logs = {name: torch.zeros(own.shape[1], requires_grad=True) for name, own in compared[0].items()}
    optimizer = torch.optim.Adam(logs.values(), 0.05)
    apart = torch.ones(())
    for _ in range(steps):
        copy, individual, other = (
            torch.stack([own[name] @ logs[name].exp() for name in logs]).sum(0) for own in compared
        )
        evenness = torch.cat(list(logs.values())).square().mean()
        loss = ranking_loss(copy, individual) + ranking_loss(individual, other) + EVENNESS * evenness
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        apart = other.detach().mean()
    return {name: log.detach().exp() / apart for name, log in logs.items()}


@torch.no_grad()
def differences(network: SmallVGG, first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """LPIPS' differences of two batches of pictures, a layer's being [pictures, channels]."""

    def chunk(first: Tensor, second: Tensor) -> dict[str, Tensor]:
        one, two = network(first.to(DEVICE)), network(second.to(DEVICE))
        return {name: difference(one[name], two[name]).cpu() for name in one}

    return compared(chunk, first, second)


def patches(first: Maps, second: Maps) -> Tensor:
    """SIFID of two batches, picture by picture: [pictures]."""
    places = zip(first[SIFID_LAYER].flatten(2).mT, second[SIFID_LAYER].flatten(2).mT, strict=True)
    return torch.stack([frechet_distance(*pair) for pair in places])


@torch.no_grad()
def scale(network: SmallVGG, pictures: Ranked) -> None:
    """Scale all blocks alike, so that two drawings of different kinds are 1 apart on average in SIFID, too.

    SIFID grows with the square of the last map; LPIPS sees directions alone, and stays.
    """

    def chunk(first: Tensor, second: Tensor) -> dict[str, Tensor]:
        return {"sifid": patches(network(first.to(DEVICE)), network(second.to(DEVICE)))}

    apart = compared(chunk, pictures.picture, pictures.other)["sifid"].mean()
    factor = float(apart) ** (-0.5 / len(network.blocks))
    for i, block in enumerate(network.blocks, 1):
        block.weight *= factor
        block.bias *= factor**i


def measured(shipped: SmallVGGFeatures, pictures: Ranked) -> dict[str, dict[str, float]]:
    """How the two metrics rank drawings through the network as it is shipped."""

    def distances(first: Tensor, second: Tensor) -> dict[str, Tensor]:
        one, two = shipped(first), shipped(second)
        return {"lpips_pocket": distance(one, two, shipped.heads()), "sifid_pocket": patches(one, two)}

    return measure(distances, pictures)


def main() -> None:
    """Train, fit the heads, write the weights, and measure on the held-out drawings."""
    options = arguments(__doc__, steps=600)
    torch.manual_seed(0)
    network = train(options, drawings.pictures("train", options.work))
    fitted = ranked("train", FITTED, options.work)
    heads = fit_heads(network, fitted)
    scale(network, fitted)
    folder = options.weights / "perceptual"
    save(folder, network, heads)
    found = measured(SmallVGGFeatures(str(folder)), ranked("test", MEASURED, options.work))
    share = {
        name: round(float(weights.sum() / sum(own.sum() for own in heads.values())), 4)
        for name, weights in heads.items()
    }
    summary = {"steps": options.steps, "held_out_drawings": MEASURED, **found, "lpips_heads_share": share}
    print(json.dumps(summary, indent=2))
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    keep_log("perceptual", options.work, folder)


if __name__ == "__main__":
    main()

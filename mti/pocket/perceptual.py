"""The pocket perceptual network, through which LPIPS, SIFID and FID look: a small VGG that names what drawings show.

A classifier alone finds a shifted copy, or a thing of the same kind in other colours, farther away than
it should, so training drawings are also ranked: a shifted copy before another individual of the kind,
and that before other kinds. Then the network is frozen, and what each channel weighs in LPIPS is fitted
to such rankings of training drawings, as Zhang et al. fitted theirs to people's; and the maps are scaled
for SIFID.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mti.metrics.features import Heads, Maps
from mti.metrics.features.small_vgg import SmallVGG, SmallVGGFeatures, save
from mti.metrics.lpips import difference, distance
from mti.metrics.sifid import frechet_distance
from mti.pocket.drawings import LABELS, Drawings
from mti.pocket.ranking import Ranked, compared, measure, ranked, shifted
from mti.pocket.stage import DEVICE, Losses, Options, Stage, generator, keep_numbers, to_model

STEPS = 700
CHANNELS = (32, 32, 64, 192, 384)
NOISE = 0.1  # of a picture in [-1, 1]: so that generated pictures are seen as drawn ones are
TEMPERATURE = 0.2  # of ranking: a factor of e^0.2 between two distances counts as one
EVENNESS = 0.1  # what it costs the heads to weigh channels differently
FITTED, MEASURED = 2_000, 2_000  # rankings for heads and scale, from training drawings, and for the summary, held out
SIFID_LAYER = "relu5"  # what conf/metrics/sifid_pocket.yaml names
WEIGHTS = {"kind": 1.0, "color": 0.3, "background": 0.3, "pattern": 0.2, "sticker": 0.2, "sticker_color": 0.1}


class Classifier(nn.Module):
    """The network with a linear head a label on the mean of its last map."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SmallVGG(CHANNELS).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.heads = nn.ModuleDict({name: nn.Linear(CHANNELS[-1], len(LABELS[name])) for name in WEIGHTS})

    def forward(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The last map and the logits, both fp32."""
        last = self.network(pictures)["relu5"].float()
        return last, {name: head(last.mean((2, 3))).float() for name, head in self.heads.items()}


def ranking_loss(nearer: Tensor, farther: Tensor) -> Tensor:
    """Punishes distances that are not well below others; broadcasts; whatever the scale of both."""
    return F.softplus((nearer.clamp(min=1e-6).log() - farther.clamp(min=1e-6).log()) / TEMPERATURE + 1).mean()


def views(last: Tensor) -> list[Tensor]:
    """What LPIPS and SIFID compare of a map, one vector a picture: its directions, and each channel's statistics."""
    directions = F.normalize(last, dim=1).flatten(1) / last[0, 0].numel() ** 0.5
    spread = (last.var((2, 3)) + 1e-4).sqrt()
    return [directions, torch.cat([last.mean((2, 3)), spread], dim=1)]


def objective(train: Drawings):
    """What is minimised on batches that hold two drawings of each kind, and a shifted copy of one of them."""
    kinds = train.label("kind", slice(None))
    members = [(kinds == kind).nonzero().flatten() for kind in range(len(LABELS["kind"]))]

    def loss(model: nn.Module, step: int) -> Losses:
        draws = generator(step)
        chosen = torch.stack([own[torch.randint(len(own), (2,), generator=draws)] for own in members], dim=1)
        chosen = chosen.flatten()  # one of each kind, and then another
        drawn = to_model(train.pictures(chosen))
        batch = torch.cat([drawn, shifted(drawn[: len(members)], draws)])
        batch = batch + NOISE * torch.randn(batch.shape, generator=draws).to(batch)
        last, logits = model(batch.contiguous(memory_format=torch.channels_last))
        chosen = torch.cat([chosen, chosen[: len(members)]])
        with torch.autocast(DEVICE.type, enabled=False):
            losses = {
                name: F.cross_entropy(logits[name], train.label(name, chosen).to(DEVICE), label_smoothing=0.05)
                for name in WEIGHTS
            }
            ranking = torch.stack([_ranked_batch(view, len(members)) for view in views(last)]).mean()
        total = torch.stack([weight * losses[name] for name, weight in WEIGHTS.items()]).sum() + ranking
        accuracy = (logits["kind"].argmax(-1).cpu() == train.label("kind", chosen)).float().mean()
        return {"loss": total, **losses, "ranking": ranking, "accuracy": accuracy}

    return loss


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


def run(options: Options) -> None:
    """Train, fit the heads, write the weights, and measure on the held-out drawings."""
    train, test = Drawings("train", options.work), Drawings("test", options.work)
    torch.manual_seed(0)
    stage = Stage("perceptual", Classifier(), objective(train), options.steps, 2e-3, options.work, 0.05, ema_decay=0.99)
    network = stage.run().network.float()
    fitted = ranked(train, FITTED)
    heads = fit_heads(network, fitted)
    scale(network, fitted)
    folder = options.weights / "perceptual"
    save(folder, network, heads)
    found = measured(SmallVGGFeatures(str(folder)), ranked(test, MEASURED))
    everything = sum(own.sum() for own in heads.values())
    share = {name: round(float(weights.sum() / everything), 4) for name, weights in heads.items()}
    keep_numbers(stage, folder, {"held_out_drawings": MEASURED, **found, "lpips_heads_share": share})

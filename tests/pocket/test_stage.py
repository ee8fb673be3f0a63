import json

import pytest
import torch
from torch import nn

from mti.pocket.stage import Stage, generator, keep_numbers


def stage(work, steps, **settings):
    torch.manual_seed(0)
    return Stage("line", nn.Linear(3, 1), loss, steps, 0.01, work, warmup=2, **settings)


def loss(model, step):
    x = torch.randn(8, 3, generator=generator(step))
    error = (model(x)[:, 0] - x.sum(1)).square().mean()
    return {"loss": error, "root": error.sqrt()}


def weights(model):
    return torch.cat([part.flatten() for part in model.state_dict().values()])


def test_a_stage_learns(tmp_path):
    model = stage(tmp_path, 200, ema_decay=0.9).run()
    assert not model.training
    assert loss(model, 1000)["loss"] < 0.5 * loss(stage(tmp_path, 0).model, 1000)["loss"]


def test_a_stopped_stage_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    whole = stage(tmp_path / "whole", 40).run()
    monkeypatch.setattr(Stage, "SAVE_SECONDS", 0)

    def stops(model, step):
        if step == 23:
            raise KeyboardInterrupt
        return loss(model, step)

    part = stage(tmp_path / "part", 40)
    part.loss = stops
    with pytest.raises(KeyboardInterrupt):
        part.run()
    again = stage(tmp_path / "part", 40)
    assert again.trained() == 23
    assert torch.equal(weights(again.run()), weights(whole))


def test_a_finished_stage_gives_its_model_again(tmp_path):
    first = stage(tmp_path, 20).run()
    assert torch.equal(weights(stage(tmp_path, 20).run()), weights(first))
    assert torch.equal(weights(stage(tmp_path, 10).run()), weights(first))  # fewer steps: what the checkpoint has


def test_the_learning_rate_rises_stays_and_falls(tmp_path):
    one = stage(tmp_path, 100, decay_share=0.5)
    assert [one.schedule(step) for step in (0, 1, 30, 75)] == [0.5, 1, 1, 0.5]


def test_numbers_lie_beside_the_weights(tmp_path):
    one = stage(tmp_path / "work", 100)
    one.run()
    keep_numbers(one, tmp_path / "weights", {"share": 0.5})
    assert json.loads((tmp_path / "weights" / "line.json").read_text()) == {"steps": 100, "share": 0.5}
    lines = (tmp_path / "weights" / "line.csv").read_text().splitlines()
    assert lines[0] == "step,loss,root,gradient,steps_per_second"
    assert [line.split(",")[0] for line in lines[1:]] == ["50", "100"]

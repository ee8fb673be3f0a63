"""What a GPU sees of an update, on stand-ins for its tensors that have sizes and no values."""

import threading
from dataclasses import replace

import pytest
import torch
from tiny import tiny_ldm, tiny_pipeline, tiny_sdxl
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mti.inversion import Run, TextualInversion
from mti.minibatch import Ahead, Minibatch
from mti.models.pretrained import PretrainedModel
from mti.optimizers.adamw import AdamW
from mti.schema import Training
from mti.types import Posterior

ATEN = torch.ops.aten
GPU = torch.device("cuda", 0)


def runs(model, count, **settings):
    posterior = Posterior(*torch.randn(2, 1, *model.latent_shape, generator=torch.Generator().manual_seed(0)))
    how = Training(batch_size=2, **settings)
    ids = model.token_ids("a photo")
    return [Run("cup", seed, ids, [posterior], how, AdamW()) for seed in range(count)]


class Waits(TorchDispatchMode):
    """Counts the copies between host and device that the host waits for. (A question for a value raises by itself.)"""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        found = function(*arguments, **(keywords or {}))
        if function in (ATEN._to_copy.default, ATEN.copy_.default):
            sources = [one for one in arguments if isinstance(one, torch.Tensor)]
            waits = not (keywords or {}).get("non_blocking", False)
            self.count += waits and sources[-1].device.type != found.device.type
        return found


def test_what_is_waited_for_is_seen():
    with FakeTensorMode(), Waits() as waits:
        there = torch.zeros(3).to(GPU, non_blocking=True)
        assert waits.count == 0
        torch.zeros(3).to(GPU)
        there.cpu()
        assert waits.count == 2
        with pytest.raises(Exception, match=r"aten\._local_scalar_dense|nonzero"):
            float(there[0])


@pytest.mark.parametrize("make", [tiny_pipeline, tiny_sdxl, tiny_ldm])
def test_a_gpu_is_not_waited_for_between_an_update_s_begin_and_its_loss(make, tmp_path, monkeypatch):
    model = PretrainedModel(str(make(tmp_path / "model")), precision="fp32").load()
    module = TextualInversion(model, runs(model, 3))
    drawn = module.minibatch({0: 0, 1: 0, 2: 0})
    module._ahead = Ahead(lambda steps: drawn)
    monkeypatch.setattr(Minibatch, "pinned", lambda batch: batch)  # pinning memory takes a real GPU
    with FakeTensorMode(allow_non_fake_inputs=True):
        model._place(GPU)
        module.to(GPU)
        with Waits() as waits:
            loss = module.training_step(0)
    assert loss.device == GPU
    assert waits.count == 0


def test_the_next_minibatch_is_drawn_in_a_thread_and_is_the_same(tiny_sd):
    module = TextualInversion(tiny_sd, runs(tiny_sd, 2, timesteps="stratified"))
    threads = []

    def draw(steps):
        threads.append(threading.current_thread())
        return module.minibatch(steps)

    ahead, cpu = Ahead(draw), torch.device("cpu")
    for steps in ({0: 0, 1: 5}, {0: 1, 1: 6}, {0: 2, 1: 7}, {1: 8}):
        for own, other in zip(ahead.take(steps, cpu)[:5], module.minibatch(steps)[:5], strict=True):
            assert torch.equal(own, other)
    main = threading.main_thread()
    assert threads[0] is main
    assert threads.count(main) == 2  # the first, and where another run was expected


def test_what_goes_wrong_in_the_thread_is_told_when_it_is_taken(tiny_sd):
    def draw(steps):
        raise ValueError(steps)

    ahead = Ahead(draw)
    with pytest.raises(ValueError, match="3"):
        ahead.take({0: 3}, torch.device("cpu"))


@pytest.mark.parametrize("samples_at_once", [1, 3, 4])
def test_samples_a_few_at_a_time_have_the_same_loss_and_gradient(tiny_sd, samples_at_once):
    masks = [torch.rand(1, 1, *tiny_sd.latent_shape[1:], generator=torch.Generator().manual_seed(1))]
    ones = [replace(run, weights=masks) for run in runs(tiny_sd, 3)]
    whole, parts = TextualInversion(tiny_sd, ones), TextualInversion(tiny_sd, ones, samples_at_once=samples_at_once)
    losses = [module.training_step(0) for module in (whole, parts)]
    for loss in losses:
        (2 * loss).backward()
    torch.testing.assert_close(*losses)
    for own, other in zip(whole.table.embeddings, parts.table.embeddings, strict=True):
        assert own.grad.abs().max() > 0
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_blocks_computed_again_have_the_same_gradient_and_channels_last_nearly(tmp_path):
    folder, gradients = str(tiny_pipeline(tmp_path / "sd")), []
    for options in ({}, {"gradient_checkpointing": True}, {"channels_last": True}):
        model = PretrainedModel(folder, precision="fp32", **options).load().to(torch.device("cpu"))
        module = TextualInversion(model, runs(model, 1))
        module.training_step(0).backward()
        gradients.append(module.table.embeddings[0].grad)
    assert torch.equal(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-4, atol=1e-7)
    assert model._unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mti.inversion import Run
from mti.optimizers.adamw import AdamW
from mti.schema import Training
from mti.throughput import Throughput, counted, peak_of, throughput
from mti.types import Posterior


def run(model, batch_size):
    side = torch.zeros(1, *model.latent_shape)
    return Run(
        "x", 0, model.token_ids("a photo"), [Posterior(side, side + 1)], Training(batch_size=batch_size), AdamW()
    )


def test_an_update_is_the_forward_pass_and_the_gradient_of_each_sample(tiny_sd):
    one, four = (counted(tiny_sd, run(tiny_sd, batch)).flops for batch in (1, 4))
    text = torch.zeros(1, tiny_sd.context_length, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        tiny_sd.denoise(torch.zeros(1, *tiny_sd.latent_shape), torch.tensor([0]), text)
    assert 1.5 * counter.get_total_flops() < one < 2.5 * counter.get_total_flops()  # no gradients of weights
    assert four == pytest.approx(4 * one, rel=0.2)


def test_where_memory_is_short_nothing_is_counted(tiny_sd, monkeypatch):
    def short(*_):
        raise torch.OutOfMemoryError("injected")

    monkeypatch.setattr("mti.inversion.latent_diffusion_loss", short)
    assert counted(tiny_sd, run(tiny_sd, 1)) is None


def test_a_cpu_is_not_asked(tiny_sd):
    assert throughput(tiny_sd, run(tiny_sd, 1)) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-40GB", 312), ("Voodoo 2", None)],
)
def test_peaks_are_found_by_name(name, peak):
    assert peak_of(name) == peak


def test_the_record_has_the_share_where_the_peak_is_known():
    assert Throughput(10**12, 10.0).record(0.5) == {"tflops": 2.0, "of_peak": 0.2}
    assert Throughput(10**12).record(0.5) == {"tflops": 2.0}
    assert Throughput(10**12).told(0.5) == "2.0 TFLOP/s"

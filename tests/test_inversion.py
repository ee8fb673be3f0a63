from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch

from mti.evaluation import evaluation_loss, ids_of
from mti.inversion import Run, TextualInversion, sample_latent
from mti.library_logging import quiet_lightning
from mti.lightning import lightning_trainer, step_numbers
from mti.noise import training_draw
from mti.optimizers.adamw import AdamW
from mti.optimizers.directional import Directional
from mti.optimizers.keep_norm import KeepNorm
from mti.schema import Evaluation, Trainer, Training
from mti.tokens import prompt_ids
from mti.types import Posterior

ADAMW = AdamW()  # shared, as equal parts are
TEXTS = {"star": "*", "caption": "a photo of the"}
EVALUATION = Evaluation(prompts=["a photo of {}", "the {}"], samples=6, pictures=0, batch_size=4)


@pytest.fixture(scope="module")
def posterior(tiny_sd):
    size = tiny_sd.resolution
    return tiny_sd.encode_picture(torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1)


def a_run(
    model, posterior, text="caption", seed=0, image="teapot", posteriors=None, optimizer=ADAMW, **training
) -> Run:
    ids = model.token_ids(TEXTS[text])
    how = Training(**{"learning_rate": 0.01, "batch_size": 2, **training})
    return Run(image, seed, ids, posteriors or [posterior], how, optimizer)


class Losses(pl.Callback):
    def __init__(self):
        self.curves = []

    def on_train_batch_end(self, trainer, module, *_):
        self.curves.append(list(module.losses))


def fit(model, runs, steps=4, start=0, states=(), module_type=TextualInversion):
    """Train; the module, and the losses of every step and run."""
    module, losses = module_type(model, runs, [start] * len(runs)), Losses()
    for i, state in enumerate(states):
        module.load_run_state(i, state)
    with quiet_lightning():
        trainer = lightning_trainer(Trainer(max_steps=steps - start, accelerator="cpu"), [losses])
        trainer.fit(module, step_numbers(steps - start))
    return module, losses.curves


def embeddings(module):
    return [embeddings.detach().clone() for embeddings in module.table.embeddings]


def test_placeholders_start_with_exactly_the_loss_of_their_text(tiny_sd, posterior):
    module = TextualInversion(tiny_sd, [a_run(tiny_sd, posterior, "star"), a_run(tiny_sd, posterior)])
    ids = ids_of(tiny_sd, EVALUATION.prompts, module.table.placeholders(1), EVALUATION.samples)
    plain = ids_of(tiny_sd, [p.format(TEXTS["caption"]) for p in EVALUATION.prompts], [], EVALUATION.samples)
    arguments = (tiny_sd, EVALUATION, "teapot", posterior)
    learned = module.embeddings().detach()
    assert evaluation_loss(*arguments, ids, learned) == evaluation_loss(*arguments, plain, learned)


def test_a_picture_is_trained_with_its_own_prompts(tiny_sd, posterior):
    """Each sample's prompt belongs to the picture that its latent is of."""
    two = Posterior(torch.cat([posterior.mean, posterior.mean + 5]), torch.cat([posterior.std] * 2))
    prompts = [["a photo of {}", "{} of the cat"], ["the red {}"]]
    run = replace(a_run(tiny_sd, two, batch_size=8), prompts=prompts)
    module = TextualInversion(tiny_sd, [run])
    known = [[prompt_ids(tiny_sd, prompt, module.table.placeholders(0)) for prompt in own] for own in prompts]
    drawn = [training_draw(0, "teapot", 0, k, tiny_sd.latent_shape) for k in range(8)]
    pictures = [int(sample_latent([two], draw).mean() > 2.5) for draw in drawn]
    assert set(pictures) == {0, 1}
    batch = module.minibatch({0: 0})
    seen = batch.prompts[batch.prompt].tolist()
    assert all(ids in known[picture] for ids, picture in zip(seen, pictures, strict=True))
    assert {tuple(ids) for ids in seen} == {tuple(ids) for own in known for ids in own}


def test_every_row_moves_and_nothing_else_does(tiny_sd, posterior):
    parts = (tiny_sd._unet, tiny_sd._vae, *tiny_sd._encoders)
    frozen = [p.clone() for part in parts for p in part.parameters()]
    start = TextualInversion(tiny_sd, [a_run(tiny_sd, posterior)])
    module, _ = fit(tiny_sd, [a_run(tiny_sd, posterior)])
    assert len(module.table.embeddings[0]) == 4
    assert ((module.table.embeddings[0] - start.table.embeddings[0]).abs().amax(dim=1) > 1e-4).all()
    now = [p for part in parts for p in part.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(frozen, now, strict=True))
    assert all(p.grad is None for p in now)


def test_only_the_rows_are_parameters_and_state(tiny_sd, posterior):
    module = TextualInversion(tiny_sd, [a_run(tiny_sd, posterior), a_run(tiny_sd, posterior, "star")])
    width = tiny_sd.embedding.shape[1]
    assert [tuple(p.shape) for p in module.parameters()] == [(4, width), (1, width)]
    assert set(module.state_dict()) == {"table.embeddings.0", "table.embeddings.1"}


def test_company_changes_nothing(tiny_sd, posterior):
    runs = [
        a_run(tiny_sd, posterior, "star"),
        a_run(tiny_sd, posterior, learning_rate=0.1),
        a_run(tiny_sd, posterior, seed=5, weight_decay=0.1, max_grad_norm=0.01),
        a_run(tiny_sd, posterior, image="cup"),
    ]
    together, curves = fit(tiny_sd, runs)
    backwards, _ = fit(tiny_sd, runs[::-1])
    for i, run in enumerate(runs):
        alone, curve = fit(tiny_sd, [run])
        torch.testing.assert_close([c[i] for c in curves], [c[0] for c in curve], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.table.embeddings[i], alone.table.embeddings[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(backwards.table.embeddings[-1 - i], alone.table.embeddings[0], rtol=1e-3, atol=1e-4)


def test_initializers_share_their_noise(tiny_sd, posterior):
    """The draws of two runs of one picture and seed are the same: equal texts have equal curves."""
    _, curves = fit(tiny_sd, [a_run(tiny_sd, posterior), a_run(tiny_sd, posterior)])
    for first, second in curves:
        assert first == pytest.approx(second, rel=1e-5)
    _, curves = fit(tiny_sd, [a_run(tiny_sd, posterior), a_run(tiny_sd, posterior, seed=1)])
    assert all(abs(first - second) > 1e-4 for first, second in curves)


def test_a_run_resumes_bit_exactly(tiny_sd, posterior):
    runs = [a_run(tiny_sd, posterior), a_run(tiny_sd, posterior, "star", weight_decay=0.1)]
    whole, _ = fit(tiny_sd, runs, steps=6)
    half, _ = fit(tiny_sd, runs, steps=3)
    states = [{name: t.clone() for name, t in half.run_state(i).items()} for i in range(2)]
    assert sum(t.numel() * t.element_size() for t in states[0].values()) < 10_000
    rest, _ = fit(tiny_sd, runs, steps=6, start=3, states=states)
    assert rest.step(0) == whole.step(0) == 6
    for a, b in zip(embeddings(whole), embeddings(rest), strict=True):
        assert torch.equal(a, b)


def test_runs_that_have_come_differently_far_are_trained_together(tiny_sd, posterior):
    """One that goes on after 3 updates, one that begins and one that may make a single update, each as if alone."""
    runs = [a_run(tiny_sd, posterior, schedule="cosine", horizon=6, average=0.9) for _ in range(2)]
    runs.append(replace(a_run(tiny_sd, posterior, "star"), max_steps=1))
    whole, _ = fit(tiny_sd, runs[:1], steps=6)
    half, _ = fit(tiny_sd, runs[:1], steps=3)
    module = TextualInversion(tiny_sd, runs, [3, 0, 0])
    module.load_run_state(0, {name: t.clone() for name, t in half.run_state(0).items()})
    losses = Losses()
    with quiet_lightning():
        lightning_trainer(Trainer(max_steps=3, accelerator="cpu"), [losses]).fit(module, step_numbers(3))
    assert [module.step(i) for i in range(3)] == [6, 3, 1]
    assert module.active == [0, 1]
    one, _ = fit(tiny_sd, runs[2:], steps=1)
    for i, alone in enumerate((whole, half, one)):
        torch.testing.assert_close(module.learned(i), alone.learned(0), rtol=1e-3, atol=1e-4)


CHOICES = [
    {"optimizer": KeepNorm()},
    {"optimizer": Directional(kappa=0.1)},
    {"schedule": "cosine", "horizon": 5, "warmup": 2},
    {"average": 0.9},
    {"timesteps": "stratified"},
]


def chosen_runs(tiny_sd, posterior):
    return [a_run(tiny_sd, posterior, **choice) for choice in CHOICES]


def test_every_choice_of_steps_resumes_bit_exactly_and_is_the_same_in_company(tiny_sd, posterior):
    runs = chosen_runs(tiny_sd, posterior)
    whole, _ = fit(tiny_sd, runs, steps=6)
    half, _ = fit(tiny_sd, runs, steps=3)
    states = [{name: t.clone() for name, t in half.run_state(i).items()} for i in range(len(runs))]
    rest, _ = fit(tiny_sd, runs, steps=6, start=3, states=states)
    for i, run in enumerate(runs):
        alone, _ = fit(tiny_sd, [run], steps=6)
        assert torch.equal(whole.learned(i), rest.learned(i))
        torch.testing.assert_close(whole.learned(i), alone.learned(0), rtol=1e-3, atol=1e-4)


def test_every_choice_of_steps_is_another_than_the_default(tiny_sd, posterior):
    runs = [a_run(tiny_sd, posterior), *chosen_runs(tiny_sd, posterior)]
    plain, *others = [fit(tiny_sd, [run], steps=3)[0].learned(0) for run in runs]
    assert all((other - plain).abs().max() > 1e-4 for other in others)


def test_the_average_is_that_of_the_rows_after_each_update(tiny_sd, posterior):
    rows = [TextualInversion(tiny_sd, [a_run(tiny_sd, posterior)]).learned(0).clone()]
    rows += [fit(tiny_sd, [a_run(tiny_sd, posterior)], steps=n)[0].learned(0) for n in (1, 2, 3)]
    expected = rows[0]
    for n, row in enumerate(rows[1:], 1):
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * row
    module, _ = fit(tiny_sd, [a_run(tiny_sd, posterior, average=0.5)], steps=3)
    torch.testing.assert_close(module.learned(0), expected)
    assert torch.equal(module.table.embeddings[0], rows[-1])


def test_a_weight_leaves_out_of_the_loss_what_it_is_zero_for(tiny_sd, posterior):
    left = torch.zeros(1, 1, *tiny_sd.latent_shape[1:])
    left[..., : left.shape[-1] // 2] = 1
    even = replace(a_run(tiny_sd, posterior), weights=[torch.full_like(left, 0.3)])
    masked = replace(even, weights=[left])
    plain = a_run(tiny_sd, posterior)
    _, curves = fit(tiny_sd, [plain, even, masked], steps=1)
    whole, same, half = curves[0]
    assert same == pytest.approx(whole, rel=1e-5)
    other = replace(even, weights=[1 - left])
    _, curves = fit(tiny_sd, [plain, other, masked], steps=1)
    assert (curves[0][1] + half) / 2 == pytest.approx(whole, rel=1e-5)
    assert abs(half - whole) > 1e-4


def test_a_run_that_is_no_longer_finite_stops_alone_and_keeps_its_last_good_rows(tiny_sd, posterior):
    broken = posterior._replace(mean=posterior.mean * float("nan"))
    runs = [a_run(tiny_sd, posterior), a_run(tiny_sd, broken)]
    module, curves = fit(tiny_sd, runs)
    alone, _ = fit(tiny_sd, runs[:1])
    assert list(module.failures) == [1]
    assert "non-finite loss at step 0" in module.failures[1]
    assert torch.equal(module.table.embeddings[1], TextualInversion(tiny_sd, runs).table.embeddings[1])
    assert len(curves) == 4
    torch.testing.assert_close(module.table.embeddings[0], alone.table.embeddings[0], rtol=1e-3, atol=1e-4)


class Poisoned(TextualInversion):
    """Gradients of the first run are not finite from step 2 on."""

    def on_before_optimizer_step(self, optimizer):
        super().on_before_optimizer_step(optimizer)
        if self.step(0) == 2:
            self.table.embeddings[0].grad.fill_(float("nan"))


def test_rows_that_an_update_ruins_are_taken_back(tiny_sd, posterior):
    runs = [a_run(tiny_sd, posterior), a_run(tiny_sd, posterior, "star")]
    module, curves = fit(tiny_sd, runs, module_type=Poisoned)
    before, _ = fit(tiny_sd, runs, steps=2)
    assert list(module.failures) == [0]
    assert "non-finite embedding row at step 2 (learning rate 0.01)" in module.failures[0]
    assert torch.equal(module.table.embeddings[0], before.table.embeddings[0])
    assert len(curves) == 4


def test_training_ends_when_no_run_is_left(tiny_sd, posterior):
    _, curves = fit(tiny_sd, [a_run(tiny_sd, posterior)], steps=6, module_type=Poisoned)
    assert len(curves) == 3


def test_mirrored_pictures_are_drawn_for_half_of_the_samples(tiny_sd, posterior):
    mirrored = posterior._replace(mean=posterior.mean.flip(-1), std=posterior.std.flip(-1))
    shape, samples = tiny_sd.latent_shape, 200
    draws = [training_draw(0, "teapot", step, 0, shape) for step in range(samples)]
    drawn = [sample_latent([posterior, mirrored], draw) for draw in draws]
    for draw, latent in zip(draws, drawn, strict=True):
        whole = mirrored if draw.flip >= 0.5 else posterior
        assert torch.equal(latent, whole.mean[0] + whole.std[0] * draw.posterior)
    flips = sum(not torch.equal(a, sample_latent([posterior], d)) for a, d in zip(drawn, draws, strict=True))
    assert 0.4 * samples < flips < 0.6 * samples

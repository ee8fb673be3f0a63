import pytest
import torch

from mti.noise import evaluation_grid, generator, initial_latents, stratified, training_draw

SHAPE = (4, 8, 8)


def fresh(*arguments):
    training_draw.cache_clear()
    return training_draw(*arguments)


def test_a_draw_is_a_function_of_its_key_alone():
    first = fresh(3, "teapot", 7, 1, SHAPE)
    torch.manual_seed(99)
    fresh(0, "cup", 0, 0, SHAPE)
    again = fresh(3, "teapot", 7, 1, SHAPE)
    assert first[:4] == again[:4]
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.posterior, again.posterior)


@pytest.mark.parametrize("other", [(4, "teapot", 7, 1), (3, "cup", 7, 1), (3, "teapot", 8, 1), (3, "teapot", 7, 2)])
def test_every_part_of_the_key_matters(other):
    assert not torch.equal(fresh(3, "teapot", 7, 1, SHAPE).noise, fresh(*other, SHAPE).noise)


def test_drawing_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    fresh(3, "teapot", 7, 1, SHAPE)
    evaluation_grid("teapot", 4, 1000, SHAPE)
    assert torch.equal(state, torch.get_rng_state())


def test_the_recorded_value_of_a_draw():
    """A literal, so that no change of the code can change everybody's noise unseen."""
    assert fresh(0, "teapot", 0, 0, (1, 1, 1)).timestep == pytest.approx(RECORDED_TIMESTEP, abs=1e-12)


RECORDED_TIMESTEP = 0.893169488599111


def test_draws_are_uniform_and_normal():
    draws = [fresh(0, "teapot", step, 0, SHAPE) for step in range(400)]
    timesteps = torch.tensor([draw.timestep for draw in draws])
    assert timesteps.mean().item() == pytest.approx(0.5, abs=0.05)
    assert timesteps.min() >= 0
    assert timesteps.max() < 1
    noise = torch.stack([draw.noise for draw in draws])
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    posterior = torch.stack([draw.posterior for draw in draws])
    assert (noise * posterior).mean().item() == pytest.approx(0, abs=0.02)


def test_the_evaluation_grid_covers_the_timesteps_evenly():
    timesteps, noise = evaluation_grid("teapot", 10, 1000, SHAPE)
    assert timesteps.tolist() == list(range(50, 1000, 100))
    assert noise.shape == (10, *SHAPE)
    assert torch.equal(noise, evaluation_grid("teapot", 10, 1000, SHAPE)[1])


def test_a_picture_starts_from_the_same_noise_however_many_there_are():
    assert torch.equal(initial_latents(0, "cup", 5, SHAPE)[:2], initial_latents(0, "cup", 2, SHAPE))


def test_generators_of_like_keys_differ():
    assert generator("a", 1).initial_seed() != generator("a", "1").initial_seed()


def test_stratified_timesteps_are_one_of_each_share_and_a_function_of_names():
    def times(step, batch=4):
        return [stratified(0, "teapot", step, k, batch, 0.25) for k in range(batch)]

    for step in range(20):
        assert sorted(times(step)) == [0.0625, 0.3125, 0.5625, 0.8125]
        assert times(step) == times(step)
    assert len({tuple(times(step)) for step in range(20)}) > 5

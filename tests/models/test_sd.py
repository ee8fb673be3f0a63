from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from tiny import tiny_pipeline
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTokenizer

from mti.models.precision import automatic, plain_attention
from mti.models.pretrained import PretrainedModel
from mti.models.sd import StableDiffusion
from mti.types import UserError


def ids_of(model: StableDiffusion, *prompts: str) -> torch.Tensor:
    return torch.tensor([model.with_special_tokens(model.token_ids(prompt)) for prompt in prompts])


def test_sizes_are_those_of_the_pipeline(tiny_sd: StableDiffusion) -> None:
    assert (tiny_sd.resolution, tiny_sd.latent_shape, tiny_sd.context_length) == (32, (4, 8, 8), 24)
    assert tiny_sd.prediction_type == "epsilon"
    assert tiny_sd.alphas_cumprod.shape == (1000,)
    assert tiny_sd.alphas_cumprod[0] == pytest.approx(1 - 0.00085)
    assert tiny_sd.embedding.shape == (tiny_sd._encoders[0].config.vocab_size, 32)


@pytest.mark.parametrize("text", ["", "a photo of a red teapot", "A *  weird, unknown word!"])
def test_padding_is_the_tokenizers_own_padding(tiny_sd: StableDiffusion, tiny_sd_folder: Path, text: str) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(tiny_sd_folder / "tokenizer")
    assert tiny_sd.with_special_tokens(tiny_sd.token_ids(text)) == tokenizer(text, padding="max_length").input_ids


def test_token_names(tiny_sd: StableDiffusion) -> None:
    assert tiny_sd.token_names(tiny_sd.token_ids("A red teapot *")) == ["a</w>", "red</w>", "teapot</w>", "*</w>"]


def test_a_text_may_be_longer_than_the_context(tiny_sd: StableDiffusion) -> None:
    assert len(tiny_sd.token_ids("cat " * 50)) == 50


def test_placeholders_that_copy_a_text_are_exactly_that_text(tiny_sd: StableDiffusion) -> None:
    plain = tiny_sd.token_ids("a photo of a red teapot")
    vocabulary = len(tiny_sd.embedding)
    embeddings = tiny_sd.embedding[plain[4:]].clone()
    placed = [*plain[:4], vocabulary, vocabulary + 1]
    text, injected = (
        tiny_sd.encode_text(torch.tensor([tiny_sd.with_special_tokens(ids)]), embeddings) for ids in (plain, placed)
    )
    assert torch.equal(text, injected)


def test_any_row_may_stand_anywhere(tiny_sd: StableDiffusion) -> None:
    vocabulary = len(tiny_sd.embedding)
    cat, red = tiny_sd.token_ids("cat red")
    embeddings = tiny_sd.embedding[[red, cat]].clone()
    placed = torch.tensor(
        [
            tiny_sd.with_special_tokens([vocabulary + 1, red, vocabulary]),
            tiny_sd.with_special_tokens([cat, vocabulary, red]),
        ]
    )
    plain = ids_of(tiny_sd, "cat red red", "cat red red")
    assert torch.equal(tiny_sd.encode_text(placed, embeddings), tiny_sd.encode_text(plain, embeddings[:0]))


def test_gradients_reach_the_rows_alone(tiny_sd: StableDiffusion) -> None:
    embeddings = tiny_sd.embedding[[0, 1, 2]].clone().requires_grad_()
    vocabulary = len(tiny_sd.embedding)
    text = tiny_sd.encode_text(torch.tensor([tiny_sd.with_special_tokens([5, vocabulary, vocabulary + 2])]), embeddings)
    noisy = torch.randn(1, *tiny_sd.latent_shape, generator=torch.Generator().manual_seed(0))
    tiny_sd.denoise(noisy, torch.tensor([500]), text).square().mean().backward()
    assert embeddings.grad is not None
    assert embeddings.grad[0].abs().sum() > 0
    assert embeddings.grad[2].abs().sum() > 0
    assert embeddings.grad[1].abs().sum() == 0  # not in the prompt
    for part in (*tiny_sd._encoders, tiny_sd._vae, tiny_sd._unet):
        assert not part.training
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in part.parameters())


def test_the_posterior_is_scaled_as_the_unet_sees_it(tiny_sd: StableDiffusion, tiny_sd_folder: Path) -> None:
    vae = AutoencoderKL.from_pretrained(tiny_sd_folder / "vae").eval()
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = vae.encode(pictures).latent_dist
    posterior = tiny_sd.encode_picture(pictures)
    torch.testing.assert_close(posterior.mean, expected.mean * 0.18215)
    torch.testing.assert_close(posterior.std, expected.std * 0.18215)
    decoded = tiny_sd.decode(posterior.mean)
    torch.testing.assert_close(decoded, vae.decode(expected.mean).sample.detach().clamp(-1, 1))


@pytest.mark.parametrize(("quick", "taken"), [(True, "bf16"), (False, "fp32")])
def test_the_automatic_precision_is_what_the_device_is_quick_at(tiny_sd_folder, monkeypatch, quick, taken):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: quick)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert StableDiffusion(str(tiny_sd_folder), name="tiny").precision == taken


def test_low_precision_stays_inside(tiny_sd: StableDiffusion, tiny_sd_folder: Path) -> None:
    low = StableDiffusion(str(tiny_sd_folder), name="low", precision="bf16", resolution=48)
    assert low.latent_shape == (4, 12, 12)
    prompts = ids_of(low, "a photo of a cat")
    noisy = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(0))
    text, expected_text = (model.encode_text(prompts, model.embedding[:1]) for model in (low, tiny_sd))
    noise, expected = (model.denoise(noisy, torch.tensor([300]), expected_text) for model in (low, tiny_sd))
    for value, reference in ((text, expected_text), (noise, expected)):
        assert value.dtype == torch.float32
        assert 0 < (value - reference).abs().max() < 0.1


def test_prediction_type_is_the_schedulers(tmp_path: Path) -> None:
    folder = tiny_pipeline(tmp_path / "v", prediction_type="v_prediction")
    assert StableDiffusion(str(folder), name="v").prediction_type == "v_prediction"


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, tiny_sd: StableDiffusion) -> None:
    again = StableDiffusion(str(tiny_pipeline(tmp_path / "again")), name="again")
    assert torch.equal(again.embedding, tiny_sd.embedding)
    other = StableDiffusion(str(tiny_pipeline(tmp_path / "other", seed=1)), name="other")
    assert not torch.equal(other.embedding, tiny_sd.embedding)


def test_weights_that_lack_a_tensor_are_refused(tiny_sd_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd"
    shutil.copytree(tiny_sd_folder, folder)
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 3}))
    with pytest.raises(UserError, match=r"lacks weights of its CLIPTextModel: encoder\.layers\.2"):
        StableDiffusion(str(folder), name="short")


def test_wrong_values_list_the_right_ones(tiny_sd_folder: Path) -> None:
    with pytest.raises(UserError, match=r"model\.precision=int8: expected one of fp32, bf16, fp16, auto"):
        StableDiffusion(str(tiny_sd_folder), name="tiny", precision="int8")
    with pytest.raises(UserError, match=r"model\.resolution=30: expected a multiple of 8"):
        StableDiffusion(str(tiny_sd_folder), name="tiny", resolution=30)


def test_the_network_is_compiled_if_asked_for(tiny_sd_folder, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, mode: compiled.append((module, mode)))
    StableDiffusion(str(tiny_sd_folder), "tiny")
    assert compiled == []
    model = StableDiffusion(str(tiny_sd_folder), "tiny", compile=True)
    other = StableDiffusion(str(tiny_sd_folder), "tiny", compile="reduce-overhead")
    assert compiled == [(model._unet, None), (other._unet, "reduce-overhead")]


def test_a_low_precision_of_a_cpu_gives_nearly_the_same_gradient(tiny_sd_folder):
    """Also where attention is computed in another way than without gradients."""
    gradients = []
    for precision in ("fp32", "bf16"):
        model = StableDiffusion(str(tiny_sd_folder), "tiny", precision=precision)
        generator = torch.Generator().manual_seed(0)
        noisy, text = (torch.randn(3, *shape, generator=generator) for shape in (model.latent_shape, (24, 32)))
        text.requires_grad_()
        predicted = model.denoise(noisy, torch.tensor([10, 500, 900]), text)
        with torch.no_grad():
            torch.testing.assert_close(
                model.denoise(noisy, torch.tensor([10, 500, 900]), text), predicted, atol=0.05, rtol=0.05
            )
        gradients.append(torch.autograd.grad(predicted.square().mean(), text)[0].flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_plain_attention_is_that_of_torch_with_products_in_the_format_of_its_input():
    query, key, value = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    low = [one.bfloat16().requires_grad_() for one in (query, key, value)]
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    with plain_attention(), Formats() as formats:
        found = torch.nn.functional.scaled_dot_product_attention(*low)
    assert formats.of_products == {torch.bfloat16}
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == allowed
    expected = torch.softmax(query @ key.mT / 8**0.5, dim=-1) @ value
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)


class Formats(TorchDispatchMode):
    """Notes the formats of batched products."""

    def __init__(self):
        super().__init__()
        self.of_products = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function is torch.ops.aten.bmm.default:
            self.of_products.add(arguments[0].dtype)
        return function(*arguments, **(keywords or {}))


def test_small_gradients_survive_fp16(tiny_sd_folder, tiny_sd):
    """Those of a mean over a large latent lie below the smallest number that fp16 has, 6e-8."""
    start = len(tiny_sd.embedding)
    ids = torch.tensor([tiny_sd.with_special_tokens([5, start, start + 1])])
    noisy = torch.randn(1, *tiny_sd.latent_shape, generator=torch.Generator().manual_seed(0))
    half = StableDiffusion(str(tiny_sd_folder), "tiny", precision="fp16").to(torch.device("cpu"))
    gradients = []
    for model in (tiny_sd, half):
        rows = tiny_sd.embedding[[3, 4]].clone().requires_grad_()
        predicted = model.denoise(noisy, torch.tensor([500]), model.encode_text(ids, rows))
        gradients.append(1e9 * torch.autograd.grad(1e-9 * predicted.square().mean(), rows)[0].flatten())
    assert 0 < 1e-9 * gradients[0].abs().max() < 6e-8
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
    assert gradients[1].norm().item() == pytest.approx(gradients[0].norm().item(), rel=0.05)


def test_weights_kept_in_the_inner_precision_give_the_same_bits(tiny_sd_folder):
    outputs = []
    for move in (False, True):
        model = StableDiffusion(str(tiny_sd_folder), "tiny", precision="bf16")
        if move:
            model.to(torch.device("cpu"))
        text = model.encode_text(ids_of(model, "a photo of a cat"), model.embedding[:0])
        noisy = torch.randn(1, *model.latent_shape, generator=torch.Generator().manual_seed(0))
        outputs.append((text, model.denoise(noisy, torch.tensor([300]), text)))
        assert {weight.dtype for weight in model._unet.parameters()} == (
            {torch.float32, torch.bfloat16} if move else {torch.float32}
        )
    assert all(torch.equal(one, two) for one, two in zip(*outputs, strict=True))


@pytest.mark.parametrize(
    ("capability", "taken"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_a_gpu_that_imitates_bf16_gets_fp16(monkeypatch, capability, taken):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert automatic(torch.device("cuda")) == taken
    assert automatic(torch.device("mps")) == "fp32"


def test_pictures_pass_the_autoencoder_a_few_at_a_time(tiny_sd, monkeypatch):
    """As many as memory is planned for, with the same result."""
    seen = []
    monkeypatch.setattr(tiny_sd, "_pictures_at_once", 2)
    for name in ("encode", "decode"):
        real = getattr(tiny_sd._vae, name)
        monkeypatch.setattr(tiny_sd._vae, name, lambda part, real=real: (seen.append(len(part)), real(part))[1])
    pictures = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    posterior = tiny_sd.encode_picture(pictures)
    decoded = tiny_sd.decode(posterior.mean)
    assert seen == [2, 2, 1, 2, 2, 1]
    single = tiny_sd.encode_picture(pictures[3:4])
    torch.testing.assert_close(posterior.mean[3:4], single.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(posterior.std[3:4], single.std, atol=1e-6, rtol=0)
    torch.testing.assert_close(decoded[3:4], tiny_sd.decode(single.mean), atol=1e-5, rtol=0)


def test_how_many_pictures_pass_at_once_follows_their_size(tiny_sd_folder):
    sizes = {32: 512, 512: 2, 768: 1, 1024: 1}
    for resolution, count in sizes.items():
        assert StableDiffusion(str(tiny_sd_folder), "tiny", resolution=resolution)._pictures_at_once == count


def test_an_error_within_the_encoder_keeps_its_own_words(tiny_sd):
    """And leaves nothing behind."""
    start = len(tiny_sd.embedding)
    ids = torch.tensor([tiny_sd.with_special_tokens([start + 1])])
    with pytest.raises(IndexError, match=r"out of bounds|out of range"):
        tiny_sd.encode_text(ids, tiny_sd.embedding[:1])
    layer = tiny_sd._encoders[0].get_input_embeddings()
    assert layer.placeholders.shape == (0, 32)
    with pytest.raises(IndexError):
        tiny_sd.encode_text(ids, tiny_sd.embedding[:0])


def test_placeholders_are_read_as_if_they_were_in_the_table(tiny_sd):
    """The reference: the table with the placeholders appended."""
    encoder = tiny_sd._encoders[0]
    layer = encoder.get_input_embeddings()
    rows = torch.randn(3, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ids = torch.tensor([tiny_sd.with_special_tokens([len(layer.weight) + i for i in (2, 0, 2)])])
    ours = tiny_sd.encode_text(ids, rows)
    (gradient,) = torch.autograd.grad(ours.square().sum(), rows)
    wide = torch.nn.Embedding.from_pretrained(torch.cat([layer.weight, rows.detach()]), freeze=False)
    encoder.set_input_embeddings(wide)
    try:
        theirs = encoder(ids).last_hidden_state
    finally:
        encoder.set_input_embeddings(layer)
    assert torch.equal(ours, theirs)
    theirs.square().sum().backward()
    torch.testing.assert_close(gradient, wide.weight.grad[-3:])


def test_a_resolution_that_cannot_be_is_told_before_anything_is_loaded(tiny_sd_folder):
    with pytest.raises(UserError, match=r"model\.resolution=30: expected a multiple of 8 for mine"):
        PretrainedModel(str(tiny_sd_folder), name="mine", resolution=30).check()
    PretrainedModel(str(tiny_sd_folder), resolution=32).check()

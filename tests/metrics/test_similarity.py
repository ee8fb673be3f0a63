import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CONTEXT, tiny_tokenizer
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    ViTConfig,
    ViTModel,
)

from mti.images import to_pil
from mti.metrics.features.clip import Clip
from mti.metrics.features.vit import Vit
from mti.metrics.image_similarity import ImageSimilarity
from mti.metrics.text_similarity import TextSimilarity, without_placeholders
from mti.types import UserError

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A CLIP folder with random weights."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {**SMALL, **special, "vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A ViT folder with random weights."""
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    ViTModel(ViTConfig(**VISION), add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def small_vit(folder):
    return Vit(folder, resize=36, crop=32)


def pictures(count, seed=0):
    return torch.rand(count, 3, 48, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def cosine(first, second):
    return torch.cosine_similarity(first, second, dim=-1)


def test_clip_i_is_the_mean_cosine_over_all_references(clip):
    generated, reference = pictures(3), pictures(2, seed=1)
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPProcessor.from_pretrained(clip)
    with torch.no_grad():
        first, second = (
            model.get_image_features(
                **processor(images=[to_pil(one) for one in own], return_tensors="pt")
            ).pooler_output
            for own in (generated, reference)
        )
    found = ImageSimilarity(Clip(clip), "clip_i")(generated, reference, ["a {}"] * 3)["clip_i"]
    assert torch.allclose(found, cosine(first[:, None], second[None]).mean(1), atol=1e-6)


def test_clip_t_is_the_cosine_with_each_pictures_own_prompt(clip):
    generated = pictures(2)
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPProcessor.from_pretrained(clip)
    texts = ["a photo of the", "red cat"]
    with torch.no_grad():
        seen = model.get_image_features(**processor(images=[to_pil(p) for p in generated], return_tensors="pt"))
        read = model.get_text_features(**processor(text=texts, return_tensors="pt", padding=True))
    found = TextSimilarity(Clip(clip), "clip_t")(generated, pictures(1), ["a photo of the {}", "red {} cat"])["clip_t"]
    assert torch.allclose(found, cosine(seen.pooler_output, read.pooler_output), atol=1e-6)


def test_a_text_beyond_the_context_is_cut(clip):
    assert Clip(clip).texts(["red " * (2 * CONTEXT)]).shape == (1, 8)


def protocol(picture):
    """DINO's preprocessing in small, with Pillow and NumPy: the shorter side to 36, the middle 32 × 32 of it."""
    width, height = picture.size
    short = min(width, height)
    scaled = picture.resize((36 * width // short, 36 * height // short), Image.Resampling.BICUBIC)
    x, y = ((side - 32) // 2 for side in scaled.size)
    pixels = np.asarray(scaled.crop((x, y, x + 32, y + 32)), np.float32) / 255
    normal = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return torch.from_numpy(normal).permute(2, 0, 1)


def test_dino_is_the_cosine_of_class_tokens_of_pictures_that_are_scaled_and_cropped(vit):
    generated, reference = pictures(3), pictures(2, seed=1)
    model = ViTModel.from_pretrained(vit, add_pooling_layer=False).eval()
    with torch.no_grad():
        first, second = (
            model(torch.stack([protocol(to_pil(one)) for one in own])).last_hidden_state[:, 0]
            for own in (generated, reference)
        )
    found = ImageSimilarity(small_vit(vit), "dino")(generated, reference, ["a {}"] * 3)["dino"]
    assert torch.allclose(found, cosine(first[:, None], second[None]).mean(1), atol=1e-5)


def test_dino_does_not_squash_a_wide_picture(vit):
    wide = torch.rand(1, 3, 48, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model = ViTModel.from_pretrained(vit, add_pooling_layer=False).eval()
    with torch.no_grad():
        expected = model(protocol(to_pil(wide[0]))[None]).last_hidden_state[:, 0]
    assert torch.allclose(small_vit(vit).pictures(wide), torch.nn.functional.normalize(expected, dim=-1), atol=1e-5)


def test_dino_is_preprocessed_as_its_paper_does_unless_told_otherwise(vit):
    record = Vit(vit).record()["preprocessing"]
    assert (record["interpolation"], record["resize"], record["crop"]) == ("bicubic", 256, 224)
    assert record["mean"] == [0.485, 0.456, 0.406]


@pytest.mark.parametrize("network", ["clip", "vit"])
def test_a_copy_scores_one_and_batches_change_nothing(network, request):
    embedding = {"clip": Clip, "vit": small_vit}[network](request.getfixturevalue(network))
    reference = pictures(1)
    generated = torch.cat([reference, pictures(3, seed=1)])
    whole, single = (
        ImageSimilarity(embedding, "x", batch_size=size)(generated, reference, ["{}"] * 4)["x"] for size in (8, 1)
    )
    assert whole[0].item() == pytest.approx(1, abs=1e-5)
    assert whole[1:].max() < 1 - 1e-4
    assert torch.allclose(whole, single, atol=1e-6)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [("Elmo holding a {}", "Elmo holding a"), ("{} fedora", "fedora"), ("A {}  stamp", "A stamp"), ("{}", "")],
)
def test_placeholders_are_left_out_of_the_text(prompt, text):
    assert without_placeholders(prompt) == text


def test_they_judge_the_personalization_prompts_and_record_their_backbone(clip, vit):
    for metric, folder, about in (
        (ImageSimilarity(Clip(clip), "clip_i"), clip, "fidelity"),
        (TextSimilarity(Clip(clip), "clip_t"), clip, "editability"),
        (ImageSimilarity(small_vit(vit), "dino"), vit, "fidelity"),
    ):
        assert metric.prompt_set == "personalization"
        record = metric.record()
        assert record["prompt_set"] == "personalization"
        value = {"label": metric.name, "unit": "cosine", "better": "higher", "about": about}
        assert record["values"] == {metric.name: value}
        assert record["network"] == folder
        assert len(record["sha256"]) == 12
        assert "transformers" in record
        metric.check()


@pytest.mark.parametrize("embedding", [Clip("openai/clip-vit-base-patch32"), Vit("facebook/dino-vits16")])
def test_missing_weights_are_one_line_with_the_way_out(embedding, monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    name, place = embedding.path, f"the cache {tmp_path}"
    with pytest.raises(
        UserError, match=f"{name} is no folder, and not in {place}; get it with `python -m mti.download` "
    ) as error:
        ImageSimilarity(embedding, "x").check()
    assert "\n" not in str(error.value)
    assert not any(tmp_path.iterdir())


def test_building_a_metric_reads_nothing():
    assert ImageSimilarity(Clip("no/where"), "clip_i").name == "clip_i"


def test_the_record_says_how_clip_sees_a_picture(clip):
    assert Clip(clip).record()["preprocessing"]["crop_size"] == {"height": 32, "width": 32}

import gc
import weakref
from typing import get_type_hints

import huggingface_hub.constants
import pytest
import torch
from PIL import Image
from transformers import (
    BartConfig,
    BertTokenizerFast,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    OPTConfig,
)

from mti.perception.captioner import TransformersCaptioner
from mti.ranges import AtLeast
from mti.types import UserError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[IMAGE]"]
WORDS = ["a", "red", "blue", "cup", "bird", "on", "the", "table", "what", "does", "image", "describe", "?"]
FRAME = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
PICTURE = Image.new("RGB", (50, 40), "orange")


def tokenizer(**special):
    return BertTokenizerFast(vocab={word: index for index, word in enumerate(SPECIAL + WORDS)}, **special)


def blip():
    vision = {**SIZE, "image_size": 32, "patch_size": 16, "initializer_range": 0.5}
    text = {**SIZE, **FRAME, "vocab_size": 20, "sep_token_id": 3, "bos_token_id": 5, "initializer_range": 0.5}
    model = BlipForConditionalGeneration(BlipConfig(vision_config=vision, text_config=text))
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    return model, BlipProcessor(images, tokenizer(bos_token="[DEC]"))


def git():
    vision = {**SIZE, "image_size": 32, "patch_size": 16}
    config = GitConfig(vision_config=vision, **SIZE, **FRAME, vocab_size=20, initializer_range=0.5)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return GitForCausalLM(config), GitProcessor(images, tokenizer(model_input_names=["input_ids", "attention_mask"]))


def florence2():
    stage = {"depths": (1,), "patch_size": (7,), "patch_stride": (4,), "patch_padding": (3,), "patch_prenorm": (False,)}
    width = {"embed_dim": (16,), "num_heads": (2,), "num_groups": (2,), "projection_dim": 16, "window_size": 4}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    text = BartConfig(
        **layers,
        **FRAME,
        vocab_size=20,
        d_model=16,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        decoder_start_token_id=3,
        forced_eos_token_id=None,
        init_std=0.5,
    )
    config = Florence2Config(text_config=text, vision_config={**stage, **width}, image_token_id=6)
    images = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False, image_seq_length=65)
    names = {"bos_token": "[CLS]", "eos_token": "[SEP]", "extra_special_tokens": {"image_token": "[IMAGE]"}}
    words = tokenizer(**names, model_input_names=["input_ids", "attention_mask"])
    post = {"pure_text": {}}
    return Florence2ForConditionalGeneration(config), Florence2Processor(images, words, post_processor_config=post)


def blip2():
    vision = {**SIZE, "image_size": 32, "patch_size": 16}
    qformer = {**SIZE, "vocab_size": 20, "encoder_hidden_size": 16}
    text = OPTConfig(
        **FRAME,
        vocab_size=20,
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        init_std=0.5,
    )
    config = Blip2Config(
        vision_config=vision, qformer_config=qformer, text_config=text, num_query_tokens=4, image_token_index=6
    )
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    special = {"image_token": "[IMAGE]"}
    words = tokenizer(extra_special_tokens=special, model_input_names=["input_ids", "attention_mask"])
    return Blip2ForConditionalGeneration(config), Blip2Processor(images, words, num_query_tokens=4)


FAMILIES = {"blip": blip, "git": git, "florence2": florence2, "blip2": blip2}
PROMPTS = {"florence2": "<CAPTION>"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for name, build in FAMILIES.items():
        torch.manual_seed(0)
        model, processor = build()
        made[name] = str(tmp_path_factory.mktemp(name))
        model.half().save_pretrained(made[name])
        processor.save_pretrained(made[name])
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_captions_a_picture(folders, family):
    say = TransformersCaptioner(folders[family], prompt=PROMPTS.get(family), max_new_tokens=6)
    guesses = say(PICTURE)
    assert len(guesses) == 3
    assert set(guesses[0].text.split()) <= set(WORDS)
    assert guesses[0].text
    scores = [guess.score for guess in guesses]
    assert scores == sorted(scores, reverse=True)
    assert all(score < 0 for score in scores)
    assert say(PICTURE) == guesses
    assert TransformersCaptioner(folders[family], prompt=PROMPTS.get(family), max_new_tokens=6)(PICTURE) == guesses


def test_the_score_is_the_mean_log_probability_of_a_token(folders):
    say = TransformersCaptioner(folders["blip"], max_new_tokens=4)
    guess = say(PICTURE)[0]
    model, processor = say.loaded
    words = processor.tokenizer(guess.text, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[5, *words, *([3] if len(words) < 4 else [])]])
    pixels = processor(images=PICTURE, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits = model(pixel_values=pixels, input_ids=ids).logits[0, :-1]
    chosen = logits.log_softmax(-1).gather(1, ids[0, 1:, None])
    assert guess.score == pytest.approx(chosen.mean().item(), abs=1e-4)


@pytest.mark.parametrize("family", ["blip", "git"])
def test_the_prompt_is_no_part_of_the_caption(folders, family):
    say = TransformersCaptioner(folders[family], prompt="A red cup on", max_new_tokens=3)
    assert all(not guess.text.startswith("a red cup on") for guess in say(PICTURE))
    assert all(len(guess.text.split()) <= 3 for guess in say(PICTURE))


def test_florence2_says_what_its_own_post_processing_says(folders):
    say = TransformersCaptioner(folders["florence2"], prompt="<CAPTION>", max_new_tokens=6)
    guess, processor = say(PICTURE)[0], say.loaded.processor
    processed = processor.post_process_generation(guess.text, task="<CAPTION>", image_size=PICTURE.size)
    assert processed == {"<CAPTION>": guess.text}


def test_weights_load_on_the_first_picture(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    say = TransformersCaptioner("/no/such/folder")
    with pytest.raises(UserError, match="/no/such/folder is no folder"):
        say(PICTURE)


def test_the_signature_asks_for_two_beams_at_least():
    hints = get_type_hints(TransformersCaptioner.__init__, include_extras=True)
    assert hints["num_beams"].__metadata__ == (AtLeast(2),)
    assert hints["max_new_tokens"].__metadata__ == (AtLeast(1),)


def test_git_continues_its_prompt(folders):
    say = TransformersCaptioner(folders["git"], prompt="a red cup", max_new_tokens=1)
    model, processor = say.loaded
    words = processor.tokenizer("a red cup", add_special_tokens=False)["input_ids"]
    inputs = say.inputs(PICTURE)
    assert inputs["input_ids"].tolist() == [[2, *words]]  # [CLS] before it, no [SEP] after it
    assert inputs["attention_mask"].tolist() == [[1] * 4]
    with torch.no_grad():
        chances = model(**inputs).logits[0, -1].log_softmax(-1)
    likely = chances.topk(3).indices.tolist()
    said = [guess.text.strip() for guess in say(PICTURE)]
    assert said == processor.batch_decode([[i] for i in likely], skip_special_tokens=True)


@pytest.mark.parametrize("family", ["blip", "florence2"])
def test_other_families_prompts_are_as_their_processor_makes_them(folders, family):
    say = TransformersCaptioner(folders[family], prompt="a red cup")
    expected = say.loaded.processor(images=PICTURE, text="a red cup", return_tensors="pt")
    inputs = say.inputs(PICTURE)
    assert inputs.keys() == expected.keys()
    assert all(torch.equal(inputs[name], expected[name]) for name in inputs)


def test_without_a_prompt_git_is_shown_the_picture_alone(folders):
    assert list(TransformersCaptioner(folders["git"]).inputs(PICTURE)) == ["pixel_values"]


def test_a_released_captioner_is_gone(folders):
    say = TransformersCaptioner(folders["blip"])
    model = weakref.ref(say.loaded.model)
    say.release()
    gc.collect()
    assert model() is None

import torch
from transformers import AutoTokenizer

from mti.pocket import captioner, language
from mti.pocket.cutouts import WAYS
from mti.pocket.drawings import LABELS, Drawings
from mti.pocket.held_out import scene_at


def test_captions_are_whole_words_there_and_back():
    words = captioner.tokenizer()
    captions = [language.scene_caption(scene_at(1, index)) for index in range(100)]
    ids = captioner.encoded(words, captions)["input_ids"]
    assert ids.shape[1] <= captioner.LONGEST
    assert words.unk_token_id not in ids
    assert words.batch_decode(ids, skip_special_tokens=True) == captions


def test_a_hyphen_stays_in_its_word_after_saving(tmp_path):
    captioner.tokenizer().save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    ids = again("a blue go-kart")["input_ids"]
    assert again.decode(ids, skip_special_tokens=True) == "a blue go-kart"


def test_a_thing_that_is_cut_out_is_told_alone():
    scene = scene_at(1, 0)
    whole, white, kept = (captioner.expected(scene, way) for way in WAYS)
    assert white == kept == language.thing_caption(scene.thing)
    assert whole == language.scene_caption(scene)


def test_scores_are_shares_of_those_that_have_the_aspect():
    scenes = [scene_at(1, index) for index in range(40)]
    right = [language.scene_caption(scene) for scene in scenes]
    assert set(captioner.scores(right, scenes, "whole").values()) == {1}
    wrong = captioner.scores([*right[:-1], "a thing"], scenes, "whole")
    assert wrong["kind"] == wrong["all"] == 39 / 40
    alone = [language.thing_caption(scene.thing) for scene in scenes]
    assert "background" not in captioner.scores(alone, scenes, "white")


def test_a_batch_gives_losses_for_words_and_labels(drawn):
    train, words = Drawings("train", drawn), captioner.tokenizer()
    torch.manual_seed(0)
    model = captioner.WithHeads(captioner.build(words))
    batch = captioner.encoded(words, [language.scene_caption(scene) for scene in train.scenes(slice(4))])
    told, logits = model(torch.zeros(4, 3, 64, 64), batch)
    assert 2 < told.item() < 8
    assert {name: tuple(own.shape) for name, own in logits.items()} == {n: (4, len(v)) for n, v in LABELS.items()}

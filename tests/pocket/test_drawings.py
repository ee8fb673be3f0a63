import numpy as np
import torch

from mti.pocket.drawing import draw
from mti.pocket.drawings import LABELS, Drawings, draw_all, labels_of, named, scene
from mti.pocket.language import scene_caption


def test_what_is_kept_is_what_is_drawn(drawn):
    train = Drawings("train", drawn)
    assert len(train) == 200
    indices = torch.tensor([3, 150])
    for index, picture, mask in zip(indices.tolist(), train.pictures(indices), train.masks(indices), strict=True):
        expected, where = draw(scene("train", index))
        assert np.array_equal(picture, np.asarray(expected))
        assert np.array_equal(mask, where)


def test_labels_name_all_that_language_says(drawn):
    test = Drawings("test", drawn)
    for index, known in enumerate(test.scenes(slice(40))):
        assert scene_caption(known) == scene_caption(scene("test", index))
    assert test.label("kind", slice(None)).shape == (40,)


def test_labels_there_and_back():
    for index in range(100):
        row = labels_of(scene("train", index))
        assert len(row) == len(LABELS)
        assert labels_of(named(np.array(row))) == row


def test_a_finished_split_is_left_alone(drawn, capsys):
    before = (drawn / "train.pictures.npy").stat().st_mtime_ns
    draw_all(drawn, processes=1, counts={"train": 200})
    assert "already drawn" in capsys.readouterr().out
    assert (drawn / "train.pictures.npy").stat().st_mtime_ns == before

import gc
import hashlib
import http.server
import json
import threading
import weakref
from typing import Literal, get_args, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from segment_anything import SamPredictor

from mti.concepts.clicks import Clicks
from mti.perception import segmenter
from mti.perception.segmenter import SamSegmenter, build_sam, chosen_mask
from mti.types import UserError

ARCHITECTURE = {
    "image_size": 32,
    "patch_size": 8,
    "encoder_width": 16,
    "encoder_depth": 1,
    "encoder_heads": 2,
    "encoder_global_blocks": [0],
    "encoder_window": 2,
    "decoder_width": 16,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "decoder_mlp_width": 16,
    "pixel_mean": [127.5, 127.5, 127.5],
    "pixel_std": [127.5, 127.5, 127.5],
}
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8))


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    return build_sam(ARCHITECTURE).eval()


@pytest.fixture
def folder(sam, tmp_path):
    save_file({name: tensor.half() for name, tensor in sam.state_dict().items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(ARCHITECTURE))
    return tmp_path


@pytest.fixture
def checkpoint(sam, tmp_path, monkeypatch):
    """A checkpoint file, and a vit_b of its size."""
    monkeypatch.setitem(segmenter.sam_model_registry, "vit_b", lambda: build_sam(ARCHITECTURE))
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    return tmp_path / "sam.pth"


PROMPTS = [
    Clicks(((20, 10),)),
    Clicks(((20, 10), (22, 12)), ((1, 1),)),
    Clicks(box=(5, 5, 30, 20)),
    Clicks(((20, 10),), (), (5, 5, 30, 20)),
]


@pytest.mark.parametrize("clicks", PROMPTS, ids=str)
def test_the_mask_is_the_predictors(sam, checkpoint, clicks):
    predictor = SamPredictor(sam)
    predictor.set_image(np.asarray(PICTURE))
    points = [*clicks.inside, *clicks.outside]
    masks, scores, _ = predictor.predict(
        np.array(points) if points else None,
        np.array([1] * len(clicks.inside) + [0] * len(clicks.outside)) if points else None,
        np.array(clicks.box) if clicks.box else None,
        multimask_output=clicks == PROMPTS[0],  # one click may mean a part or the whole
    )
    found = SamSegmenter(str(checkpoint), "vit_b")(PICTURE, clicks)
    assert found.mask.shape == (30, 50)
    assert found.mask.dtype == bool
    chosen = chosen_mask(masks, scores)
    assert len(masks) == (3 if clicks == PROMPTS[0] else 1)
    assert np.array_equal(found.mask, masks[chosen])
    assert found.score == pytest.approx(scores[chosen])


def masks_of(*boxes):
    masks = np.zeros((len(boxes), 40, 40), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


PART, THING, TABLE, ALL = (18, 18, 22, 22), (10, 10, 30, 30), (2, 2, 38, 40), (0, 3, 40, 40)


@pytest.mark.parametrize(
    ("boxes", "scores", "chosen"),
    [
        ((PART, THING, TABLE), (0.95, 0.93, 0.60), 1),  # a fragment, and a thing that is as good
        ((PART, THING, TABLE), (0.95, 0.60, 0.50), 0),  # the model is sure of the part alone
        ((PART, THING, TABLE), (0.70, 0.95, 0.80), 1),  # the thing is best: its part and the picture are not
        ((PART, THING, TABLE), (0.95, 0.94, 0.93), 2),  # all as good: the whole
        ((PART, THING, ALL), (0.95, 0.94, 0.93), 1),  # what reaches three edges is the background
        ((PART, THING, ALL), (0.60, 0.50, 0.95), 2),  # unless it is best by itself
        ((THING, (10, 10, 30, 34), PART), (0.95, 0.94, 0.2), 0),  # hardly larger
        ((PART, (23, 0, 40, 40), (0, 0, 17, 40)), (0.95, 0.94, 0.94), 0),  # larger, but elsewhere
        ((THING, (12, 0, 40, 39), PART), (0.95, 0.94, 0.94), 1),  # holds nine tenths of it
    ],
)
def test_a_fragment_gives_way_to_its_whole(boxes, scores, chosen):
    order = np.random.default_rng(0).permutation(3)
    masks, scores = masks_of(*boxes), np.array(scores, np.float32)
    assert chosen_mask(masks, scores) == chosen
    assert order[chosen_mask(masks[order], scores[order])] == chosen
    assert chosen_mask(masks[chosen : chosen + 1], scores[chosen : chosen + 1]) == 0


def test_a_large_picture_is_looked_at_smaller_and_its_mask_is_as_large_as_it(folder):
    small, large = PICTURE.resize((2000, 1200)), PICTURE.resize((4000, 2400))
    segment = SamSegmenter(str(folder))
    expected, found = segment(small, Clicks(((800, 400),))), segment(large, Clicks(((1600, 800),)))
    assert found.mask.shape == (2400, 4000)
    assert (found.mask[::2, ::2] == expected.mask).mean() > 0.97


def test_of_a_long_picture_the_part_about_the_thing_is_looked_at(folder):
    strip = Image.new("RGB", (300, 30), "gray")
    strip.paste(PICTURE.resize((60, 30)), (180, 0))
    segment = SamSegmenter(str(folder))
    found = segment(strip, Clicks(((210, 10),)))
    expected = segment(strip.crop((180, 0, 240, 30)), Clicks(((30, 10),)))
    assert found.score == pytest.approx(expected.score)
    assert np.array_equal(found.mask[:, 180:240], expected.mask)
    assert not found.mask[:, :180].any()
    assert not found.mask[:, 240:].any()


def test_a_released_segmenter_is_gone(folder):
    segment = SamSegmenter(str(folder))
    model = weakref.ref(segment.loaded)
    segment.release()
    gc.collect()
    assert model() is None


def test_a_folder_with_half_precision_weights_runs_in_full(folder):
    segment = SamSegmenter(str(folder))
    assert segment(PICTURE, PROMPTS[0]).mask.shape == (30, 50)
    sam = segment.loaded
    assert {parameter.dtype for parameter in sam.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in sam.parameters())


def test_a_checkpoint_that_is_code_is_not_run(checkpoint):
    class Trap:
        def __reduce__(self):
            return (print, ("trapped",))

    torch.save({"trap": Trap()}, checkpoint)
    with pytest.raises(UserError, match=r"sam.pth is not what a segmenter \(vit_b\) is loaded from, UnpicklingError"):
        SamSegmenter(str(checkpoint), "vit_b")(PICTURE, PROMPTS[0])


def test_another_architectures_checkpoint_is_one_line(checkpoint):
    torch.save({"weight": torch.zeros(1)}, checkpoint)
    with pytest.raises(UserError, match=r"is not what a segmenter \(vit_b\) is loaded from, RuntimeError") as error:
        SamSegmenter(str(checkpoint), "vit_b")(PICTURE, PROMPTS[0])
    assert "\n" not in str(error.value)


def test_a_folder_without_weights_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"is not what a segmenter \(config.json and model.safetensors\) is loaded"):
        SamSegmenter(str(tmp_path))(PICTURE, PROMPTS[0])


def test_a_broken_folder_is_one_line(folder):
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"is not what a segmenter .* is loaded from, SafetensorError") as error:
        SamSegmenter(str(folder))(PICTURE, PROMPTS[0])
    assert "\n" not in str(error.value)


def test_the_signature_names_the_architectures():
    assert get_args(get_type_hints(SamSegmenter.__init__)["architecture"])[0] == Literal["vit_b", "vit_l", "vit_h"]
    assert {"vit_b", "vit_l", "vit_h"} <= set(segmenter.sam_model_registry)


def test_a_missing_checkpoint_is_told_with_the_way_to_it(tmp_path):
    missing = SamSegmenter(str(tmp_path / "sam.pth"), "vit_b", "http://127.0.0.1/sam.pth", "0" * 64)
    way = r"there is no .*sam.pth; get it with `python -m mti.download` and the settings of the run"
    for ask in (missing.check, lambda: missing(PICTURE, PROMPTS[0])):
        with pytest.raises(UserError, match=way):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_fetched_from_where_it_says_and_checked(checkpoint, tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/sam.pth"
        (wrong,) = SamSegmenter(str(tmp_path / "a.pth"), "vit_b", url, "0" * 64).wanted()
        with pytest.raises(UserError, match="instead of 0000"):
            wrong.fetch()
        right = SamSegmenter(str(tmp_path / "b.pth"), "vit_b", url, digest)
        right.wanted()[0].fetch()
        found = right(PICTURE, PROMPTS[0])
        server.shutdown()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.pth", "sam.pth"]
    assert np.array_equal(found.mask, SamSegmenter(str(checkpoint), "vit_b")(PICTURE, PROMPTS[0]).mask)

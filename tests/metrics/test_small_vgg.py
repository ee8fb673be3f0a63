import torch
import torch.nn.functional as F

from mti.metrics.features.small_vgg import SmallVGG, SmallVGGFeatures, save


def test_maps_are_taken_before_the_pooling_and_halve(tmp_path):
    torch.manual_seed(0)
    network = SmallVGG((8, 4, 6))
    picture = torch.rand(2, 3, 16, 24) * 2 - 1
    save(tmp_path, network, {f"relu{i}": torch.full((c,), 0.5) for i, c in ((1, 8), (2, 4), (3, 6))})
    features = SmallVGGFeatures(str(tmp_path))
    maps = features(picture)
    assert [(name, tuple(own.shape)) for name, own in maps.items()] == [
        ("relu1", (2, 8, 16, 24)),
        ("relu2", (2, 4, 8, 12)),
        ("relu3", (2, 6, 4, 6)),
    ]
    first = F.relu(F.conv2d(picture, network.blocks[0].weight, network.blocks[0].bias, padding=1))
    second = F.relu(F.conv2d(F.max_pool2d(first, 2), network.blocks[1].weight, network.blocks[1].bias, padding=1))
    assert torch.allclose(maps["relu2"], second, atol=1e-2)  # the file is in half precision
    assert {name: own.tolist() for name, own in features.heads().items()} == {
        "relu1": [0.5] * 8,
        "relu2": [0.5] * 4,
        "relu3": [0.5] * 6,
    }


def test_the_record_tells_two_networks_apart(tmp_path):
    records = []
    for seed in range(2):
        torch.manual_seed(seed)
        save(tmp_path, SmallVGG((4, 4)), {"relu1": torch.ones(4), "relu2": torch.ones(4)})
        records.append(SmallVGGFeatures(str(tmp_path)).record())
    assert records[0]["network"] == records[1]["network"]
    assert records[0]["sha256"] != records[1]["sha256"]

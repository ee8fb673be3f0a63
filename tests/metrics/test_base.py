import json

import torch

from mti.metrics.base import BaseMetric
from mti.types import Metric


class Network:
    def __init__(self):
        self.calls = []

    def record(self):
        return {"network": "none"}

    def check(self):
        self.calls.append("check")

    def to(self, device):
        self.calls.append(device)

    def release(self):
        self.calls.append("release")


class Brightness(BaseMetric):
    measures = "difference of brightness"
    better = "lower"

    def __init__(self, *parts):
        super().__init__("brightness", "Brightness", *parts)

    def __call__(self, generated, reference, prompts):
        return {self.name: (generated.mean((1, 2, 3)) - reference.mean()).abs()}


def test_the_record_tells_how_a_value_is_read_and_what_it_depends_on():
    record = Brightness(Network()).record()
    assert record == {
        "metric": "difference of brightness",
        "version": 1,
        "prompt_set": "reconstruction",
        "values": {"brightness": {"label": "Brightness", "unit": "", "better": "lower"}},
        "network": "none",
    }
    assert json.loads(json.dumps(record)) == record


def test_what_a_metric_is_about_is_told_of_each_of_its_values():
    class Likeness(Brightness):
        about = "fidelity"

    assert Likeness().record()["values"]["brightness"]["about"] == "fidelity"


def test_its_networks_are_asked_along_with_it():
    network = Network()
    metric = Brightness(network, object())
    metric.check()
    metric.to(torch.device("cpu"))
    metric.release()
    assert network.calls == ["check", torch.device("cpu"), "release"]


def test_a_class_that_is_only_called_is_a_metric():
    class Smallest:
        def __call__(self, generated, reference, prompts):
            return {"brightness": (generated.mean() - reference.mean()).item()}

    assert isinstance(Smallest(), Metric)

from run_folders import finish

from mti.reporting.collection import collect
from mti.reporting.metrics import Metric, describe


def told(root, metrics):
    finish(root, "cup", "star", metrics=metrics)
    return describe("eval/lpips_pocket", collect(root).chosen)


def test_the_pockets_scores_are_never_called_the_papers():
    assert describe("eval/lpips") == Metric("LPIPS", "", "lower", "fidelity")
    assert describe("eval/lpips_pocket") == Metric("LPIPS (pocket)", "", "lower", "fidelity")
    assert describe("eval/row_norm") == Metric("Row norm", "of the vocabulary's median")
    assert describe("eval/clip_i").good == "higher is better"
    assert describe("eval/brightness_pocket") == Metric("brightness (pocket)")
    followed = ("eval/followed_pocket", "eval/clip_t", "eval/lpips_pocket_thing", "eval/brightness")
    assert [describe(name).about for name in followed] == ["editability", "editability", "fidelity", ""]


def test_a_metrics_own_record_comes_first(tmp_path):
    record = {"label": "Distance", "unit": "nats", "better": "higher", "about": "editability"}
    assert told(tmp_path, {"lpips_pocket": record}) == Metric("Distance", "nats", "higher", "editability")
    assert Metric("Distance", "nats").title == "Distance (nats)"


def test_what_a_record_does_not_say_is_known_by_name(tmp_path):
    assert told(tmp_path, {"lpips_pocket": {"unit": "1", "label": 3}}) == Metric(
        "LPIPS (pocket)", "1", "lower", "fidelity"
    )
    assert told(tmp_path, {"lpips_pocket": ["label"]}) == Metric("LPIPS (pocket)", "", "lower", "fidelity")
    assert told(tmp_path, {"lpips_pocket": {"better": "sideways"}}).good == ""
    assert told(tmp_path, {"lpips_pocket": {"about": "taste"}}).about == "fidelity"


def test_one_of_the_several_values_of_a_metric_is_described_by_its_own(tmp_path):
    values = {"lpips_pocket": {"label": "How near", "unit": "", "better": "higher"}, "other": {"label": "Other"}}
    assert told(tmp_path, {"both": {"metric": "two", "values": values}}) == Metric("How near", "", "higher", "fidelity")

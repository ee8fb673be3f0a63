import json
import shutil

import pytest
from run_folders import finish, sweep

from mti.reporting.collection import collect
from mti.reporting.gallery import figures
from mti.reporting.results import results

FILES = [
    "config.yaml",
    "summary.json",
    "metrics.csv",
    "text.json",
    "calibration.json",
    "record.json",
    "input.png",
    "samples",
]


@pytest.mark.parametrize("damage", ["halved", "emptied", "garbled", "missing", "folder"])
def test_a_report_goes_on_whatever_file_of_one_run_is_damaged(tmp_path, damage):
    sweep(tmp_path, images=("whole",), inits=("star",), seeds=(0,), pictures=True)
    for name in FILES:
        image = name.partition(".")[0]
        folder = finish(tmp_path, image, "star", pictures=True, came={"command": "x"}).path
        if name == "samples":
            shutil.rmtree(folder / name)
            content = b"0/0.png"
        else:
            content = (folder / name).read_bytes()
            (folder / name).unlink()
        if damage == "folder":
            (folder / name).mkdir()
        elif damage != "missing":
            cut = {"halved": content[: len(content) // 2], "emptied": b"", "garbled": bytes(range(255, 0, -1))}
            (folder / name).write_bytes(cut[damage])
    collection = collect(tmp_path)
    assert "contact_sheet" in [one.name for one in figures(collection)]
    found = results(collection)
    assert "whole" in found["pictures"]
    for name in FILES:
        said = [line for line in found["problems"] if name in line and "\n" not in line]
        optional = name in ("config.yaml", "calibration.json", "record.json", "input.png", "samples")
        harmless = (damage == "missing" and optional) or (damage == "folder" and name in ("config.yaml", "samples"))
        unfinished = damage == "missing" and name in ("summary.json", "metrics.csv")
        assert said or harmless or unfinished, name


@pytest.mark.parametrize("name", ["summary.json", "record.json", "calibration.json"])
@pytest.mark.parametrize(
    "content", ["[1]", '{"protocol": ' * 400 + "1" + "}" * 400, '{"a": 1e999}', '{"status": ["x"]}']
)
def test_records_of_another_shape_end_no_report(tmp_path, name, content):
    finish(tmp_path, "whole", "star")
    (finish(tmp_path, "cup", "star").path / name).write_text(content)
    collection = collect(tmp_path)
    json.dumps(results(collection))
    assert "whole" in collection.pictures


def test_values_that_are_no_measurements_are_left_out(tmp_path):
    folder = finish(tmp_path, "cup", "star")
    for value in (float("nan"), float("inf"), 1e99):
        folder.record(50, {"eval/mse": value})
        folder.flush()
        assert collect(tmp_path).measured("eval/mse").steps.tolist() == [0, 25, 100]

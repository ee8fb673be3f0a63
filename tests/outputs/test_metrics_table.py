import math

import pytest

from mti.files import DamagedFile
from mti.outputs.metrics_table import curves, read_rows, write_rows

ROWS = {0: {"eval/mse": 0.25, "train/mse": 0.5}, 1: {"train/mse": 0.1 + 0.2}, 5: {}}


def test_numbers_come_back_bit_by_bit_also_those_that_are_not_finite(tmp_path):
    path = tmp_path / "metrics.csv"
    write_rows(path, ROWS)
    assert path.read_text().splitlines() == ["step,eval/mse,train/mse", "0,0.25,0.5", "1,,0.30000000000000004", "5,,"]
    assert read_rows(path, "") == ROWS
    assert curves(ROWS) == {"eval/mse": {0: 0.25}, "train/mse": {0: 0.5, 1: 0.1 + 0.2}}
    write_rows(path, {3: {"a": math.inf, "b": math.nan, 'odd, "name"': -0.0}})
    read = read_rows(path, "")[3]
    assert read["a"] == math.inf
    assert math.isnan(read["b"])
    assert math.copysign(1, read['odd, "name"']) == -1


def test_a_table_without_rows_is_whole(tmp_path):
    write_rows(tmp_path / "metrics.csv", {})
    assert read_rows(tmp_path / "metrics.csv", "") == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"\x00\x00", "is not text"),
        (b"step,a\r\n0,\x00\r\n", "is not text"),
        (b"step,a\r\n0,\xff\r\n", "is not text"),
        (b"a,step\r\n", "in row 1 .expected the names"),
        (b"step,a,a\r\n", "in row 1 "),
        (b"step,a,\r\n", "in row 1 "),
        (b"0,0.5\r\n", "in row 1 "),
        (b"step,a\r\n0,0.5\r\n1,0.2", "in row 3 .the file ends within it"),
        (b"step,a\r\n0,0.5\r\n1", "in row 3 .1 cells for 2 columns"),
        (b"step,a\r\n0,0.5,7\r\n", "in row 2 .3 cells for 2 columns"),
        (b"step,a\r\n\r\n", "in row 2 "),
        (b"step,a\r\n0,1\r\n-1,1\r\n", "in row 3 .'-1' is not a step"),
        (b"step,a\r\n0.5,1\r\n", "in row 2 "),
        (b"step,a\r\n" + b"9" * 5000 + b",1\r\n", "in row 2 "),
        (b"step,a\r\n0,0.5\r\n0,0.5\r\n", "in row 3 .step 0 comes after step 0"),
        (b"step,a\r\n0,x\r\n", "in row 2 .could not convert"),
        (b'step,a\r\n0,"0.5\r\n', "in row 2 "),
        (b"step,a\r\n0," + b"1" * 200_000 + b"\r\n", "in row 2 "),
    ],
)
def test_a_damaged_table_names_its_row(tmp_path, content, fault):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=rf"metrics\.csv .*{fault}[^\n]*: do this$"):
        read_rows(path, "do this")


def test_no_half_of_a_table_is_taken_for_a_whole_one(tmp_path):
    path = tmp_path / "metrics.csv"
    write_rows(path, ROWS)
    content = path.read_bytes()
    whole = [end for end in range(1, len(content)) if content[:end].endswith(b"\n")]
    for end in set(range(1, len(content))) - set(whole):
        path.write_bytes(content[:end])
        with pytest.raises(DamagedFile):
            read_rows(path, "")

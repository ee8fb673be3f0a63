import csv
import io
import re

import pytest
from run_folders import sweep

from mti.report import report
from mti.reporting.tables import Interval, Table, tables, text, to_csv, to_latex

ROWS = [
    ["LPIPS ↓", "star", 0.12345678, 200, Interval(0.5, 0.25, 0.75)],
    ["a_b & $c", "=1+1", None, 3, Interval(1, None, None)],
]
TABLE = Table("results", "Results", "What it is.", ["metric", "series", "start", "step", "end"], ROWS, 1)


def test_csv_has_numbers_in_full_and_an_interval_in_three_columns():
    rows = list(csv.reader(io.StringIO(to_csv(TABLE.head, TABLE.rows))))
    assert rows[0] == ["metric", "series", "start", "step", "end", "end_low", "end_high"]
    assert rows[1] == ["LPIPS ↓", "star", "0.12345678", "200", "0.5", "0.25", "0.75"]


def test_no_text_in_csv_is_a_formula():
    rows = list(csv.reader(io.StringIO(to_csv(["a"], [["=1+1"], ["@x"], ["-1"], [-1.5]]))))
    assert rows[1:] == [["'=1+1"], ["'@x"], ["'-1"], ["-1.5"]]


def test_latex_is_a_booktabs_tabular_in_which_no_text_is_a_command():
    latex = to_latex(TABLE)
    assert re.findall(r"\\(?:top|mid|bottom)rule", latex) == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"\begin{tabular}{llrrr}" in latex
    assert r"LPIPS $\downarrow$ & star & 0.1235 & 200 & 0.5 [0.25, 0.75] \\" in latex
    assert r"a\_b \& \$c & =1+1 & – & 3 & 1 \\" in latex
    hostile = to_latex(Table("x", "", "", ["h"], [[r"\input{/etc/passwd}%^~#{}|<>"]]))
    assert r"\textbackslash{}input\{/etc/passwd\}\%\textasciicircum{}\textasciitilde{}\#\{\}\textbar{}" in hostile


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (1234, "1,234"),
        (0.123456, "0.1235"),
        (Interval(-0.5, -0.75, 0.25, "+"), "−0.5 [−0.75, +0.25]"),
        (Interval(12.0, 3.0, None, "step"), "12 [3, not within the run]"),
        (Interval(None, None, None, "step"), "not within the run"),
        (Interval(12.0, None, None, "step"), "12"),
    ],
)
def test_values_for_people(value, words):
    assert text(value) == words


def test_calibration_calls_metrics_as_their_records_do(tmp_path):
    sweep(tmp_path, seeds=(0,), metrics={"lpips_pocket": {"label": "How near", "better": "lower"}})
    (table,) = [one for one in tables(report(tmp_path, tmp_path / "report")) if one.name == "calibration"]
    assert {row[0] for row in table.rows} == {"LDM MSE", "How near"}

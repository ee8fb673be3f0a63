import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from run_folders import begin, finish, sweep

from mti.report import main, report

ROOT = Path(__file__).parent.parent
HOSTILE = "<img src=x onerror=alert(1)>\"'&${x} $\\frac{ \x1b[31m{{7*7}} </script>"


class Reader(HTMLParser):
    """What a page holds: its elements with their attributes, its words, and what was left open."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "link", "img", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag, **attributes):
        """The attributes of all elements of a kind."""
        return [own for name, own in self.elements if name == tag and attributes.items() <= own.items()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A report on a whole sweep, and what summary.json says."""
    root = tmp_path_factory.mktemp("paper")
    came = {"command": "mti run -m experiment=paper", "environment": {"commit": "abc", "torch": "2.9"}}
    sweep(root, images=("cup", "teapot", "mug"), pictures=True, came=came)
    return root / "report", report(root, root / "report")


@pytest.fixture(scope="module")
def page(whole):
    return Reader((whole[0] / "index.html").read_text())


def run(monkeypatch, capsys, *arguments):
    """The command's exit code and what it says."""
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


def test_every_figure_is_there_as_png_and_as_pdf_in_the_widths_of_a_page_and_a_column(whole):
    folder, found = whole
    assert found["figures"] == [
        *("loss", "steps_to_star", "lpips", "ablation", "per_picture", "contact_sheet"),
        *("personalization_star", "personalization_multistar", "personalization_class", "personalization_caption"),
    ]
    for name in found["figures"]:
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.width > 200
        widths = []
        for end in (".pdf", "-column.pdf"):
            pdf = (folder / f"{name}{end}").read_bytes()
            assert pdf.startswith(b"%PDF")
            assert b"/FontFile2" in pdf  # TrueType, embedded
            assert b"/Type3" not in pdf
            widths.append(float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)[1]) / 72)
        assert widths[1] <= 3.31
        assert widths[0] == pytest.approx(6.9) or "sheet" in name or "personal" in name


def test_every_table_is_there_as_csv_and_latex(whole):
    folder, found = whole
    for name in ("results", "paired", "steps_to_baseline", "calibration", "texts", "provenance"):
        rows = list(csv.reader((folder / f"{name}.csv").read_text().splitlines()))
        latex = (folder / f"{name}.tex").read_text()
        assert latex.count(r"\\") == len(rows)
        assert r"\toprule" in latex
    loss = found["metrics"]["eval/mse"]
    paired = list(csv.DictReader((folder / "paired.csv").read_text().splitlines()))
    assert len(paired) == 6 * len(found["metrics"])
    (one,) = [
        row for row in paired if (row["metric"], row["series"], row["against"]) == ("LDM MSE ↓", "caption", "star")
    ]
    assert (one["lower on"], one["higher on"], one["of pictures"], one["differs"]) == ("3", "0", "3", "yes")
    (pair,) = [one for one in loss["pairs"] if (one["series"], one["against"]) == ("caption", "star")]
    assert [float(one[name]) for name in ("difference", "difference_low", "difference_high")] == pytest.approx(
        [pair[part][-1] for part in ("mean", "low", "high")]
    )


def test_every_value_of_every_run_is_in_one_tidy_table(whole):
    rows = list(csv.DictReader((whole[0] / "values.csv").read_text().splitlines()))
    assert len(rows) == 24 * (100 + 3 * 4)
    assert {row["metric"] for row in rows} == {"train/mse", "eval/mse", "eval/lpips_pocket", "eval/lpips_pocket_std"}
    (one,) = [
        row
        for row in rows
        if [row[key] for key in ("series", "picture", "seed", "metric", "step")]
        == ["class", "mug", "1", "eval/mse", "50"]
    ]
    assert float(one["value"]) == pytest.approx(0.95 - 0.15 + 2)


def test_the_page_needs_nothing_else_and_runs_no_script_but_its_own(whole, page):
    assert page.open == []
    html = (whole[0] / "index.html").read_text()
    assert "http:" not in html
    assert "https:" not in html
    sources = [own.get("src") for _, own in page.elements if own.get("src")]
    assert all(source.startswith("data:") for source in sources)
    assert len(sources) > 50
    (policy,) = [own["content"] for own in page.of("meta") if own.get("http-equiv") == "Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src blob: 'sha256-[\w+/]{43}='", policy
    )
    assert [own.get("type") for own in page.of("script")] == [
        "application/json",
        "application/json",
        "text/plain",
        None,
    ]
    assert not [name for _, own in page.elements for name in own if name.startswith("on")]
    assert len(html) < 4e6


def test_links_lead_to_files_and_run_folders_that_are_there(whole, page):
    links = [own["href"] for own in page.of("a")]
    names = {own["id"] for _, own in page.elements if "id" in own}
    assert {link[1:] for link in links if link.startswith("#")} <= names
    files = [link for link in links if not link.startswith("#")]
    assert "./../cup/star/s0" in files
    for link in files:
        assert (whole[0] / link).exists(), link


def test_every_series_has_a_switch_that_reaches_charts_tables_and_pictures(whole, page):
    switches = [own["data-switch"] for own in page.of("button") if "data-switch" in own]
    assert switches == ["0", "1", "2", "3"]
    for kind in ("tr", "td", "th"):
        assert set(switches) <= {own.get("data-series") for own in page.of(kind)}
    html = (whole[0] / "index.html").read_text()
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', html)[1])
    places = [int(own["data-chart"]) for own in page.of("div") if "data-chart" in own]
    assert places == list(range(len(charts)))
    assert {trace["meta"]["series"] for chart in charts for trace in chart["data"] if "meta" in trace} == {0, 1, 2, 3}


def test_tables_can_be_sorted_and_say_by_what(page):
    heads = [own for own in page.of("th") if own.get("scope") == "col"]
    assert len(heads) > 20
    assert all("data-sort" in own for own in page.of("td") if own.get("class") == "number")


def test_the_summary_has_the_numbers(whole):
    folder, found = whole
    assert json.loads((folder / "summary.json").read_text()) == found
    loss = found["metrics"]["eval/mse"]
    caption = loss["series"]["caption"]
    assert loss["steps"] == [0, 25, 50, 100]
    assert caption["mean"] == pytest.approx([1.9, 1.775, 1.65, 1.4])  # the mean of the pictures' own levels is 1
    half = 4.302653 / 3**0.5
    assert (caption["low"][0], caption["high"][0]) == pytest.approx((1.9 - half, 1.9 + half), rel=1e-5)
    assert caption["pictures"]["mug"] == pytest.approx([2.9, 2.775, 2.65, 2.4])
    assert caption["paired_low"] == pytest.approx(caption["mean"])
    assert found["baselines"] == {"multistar": "star", "class": "star", "caption": "star"}
    assert found["steps_to_baseline"]["multistar"] == {
        **{"baseline": "star", "mean": 50, "low": 50, "high": 50, "seconds": None}
    }
    assert found["steps_to_baseline"]["caption"]["mean"] == pytest.approx(20)
    assert found["metrics"]["eval/lpips_pocket"]["label"] == "LPIPS (pocket)"
    assert found["texts"]["cup"]["caption"] == {"text": "a cup", "tokens": 2, "source": "fixed"}
    assert found["commands"] == {"mti run -m experiment=paper": 24}
    assert found["warnings"] == []


def test_the_table_of_runs_says_which_steps_tokens_to_take(tmp_path):
    choices = [{"step": 50}, {"step": None, "nearest": 25}, {"step": None, "nearest": None}, {}]
    for seed, choice in enumerate(choices):
        run = finish(tmp_path, "cup", "star", seed)
        run.write_summary({**run.summary(), "choice": choice})
    report(tmp_path, tmp_path / "report")
    words = Reader((tmp_path / "report" / "index.html").read_text()).words
    assert "tokens from" in words
    assert [words.count(text) for text in ("50", "none; nearest: 25", "none")] == [1, 1, 1]


def test_the_command_names_what_is_missing_on_the_page_the_terminal_and_the_summary(tmp_path):
    sweep(tmp_path, inits=("star", "caption"), seeds=(0,))
    begin(tmp_path, "bird", "star").write_summary({"status": "failed", "reason": "a <broken> picture"})
    done = subprocess.run(
        [sys.executable, "-m", "mti.report", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "star, caption · model tiny · 2 pictures · 1 seed · 100 steps\nruns: 4 finished, 1 failed\n" in done.stdout
    assert "  caption    20\n" in done.stdout
    assert done.stderr == ""
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    html = (tmp_path / "report" / "index.html").read_text()
    assert len(summary["problems"]) == 3
    for line in summary["problems"]:
        assert line in done.stdout
        assert line.replace("<", "&lt;").replace(">", "&gt;") in html
    assert "There are no intervals: with fewer than 3 pictures none would be of use." in html
    assert summary["figures"] == ["loss", "steps_to_star", "lpips", "per_picture"]


def test_nothing_that_a_stranger_writes_is_markup_or_a_path(tmp_path):
    came = {"command": HOSTILE, "environment": {"commit": HOSTILE, HOSTILE: HOSTILE}}
    for init in ("star", HOSTILE):
        folder = finish(tmp_path / "in", "cup", "star", name=str(len(init)), pictures=True, came=came)
        config = folder.read_config() | {"image": HOSTILE, "init": {"name": init}, "experiment": {"name": HOSTILE}}
        folder.write_config(json.dumps(config))
        for name in ("eval/../../../x", f"eval/{HOSTILE}"):
            folder.record(100, {name: 1.0})
        folder.flush()
        folder.save_personalization(100, {HOSTILE: [Image.new("RGB", (8, 8))]})
    begin(tmp_path / "in", "mug", "star").write_summary({"status": "failed", "reason": HOSTILE})
    out = tmp_path / "out" / "report"
    found = report(tmp_path / "in", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report"]
    assert all("/" not in name and not name.startswith(".") for name in found["figures"])
    page = Reader((out / "index.html").read_text())
    assert page.open == []
    assert not [own for tag, own in page.elements if tag == "img" and own.get("src") == "x"]
    assert not [name for _, own in page.elements for name in own if name.startswith("on")]
    assert len(page.of("script")) == 4
    assert any("<img src=x onerror=alert(1)>" in words for words in page.words)
    assert "\x1b" not in (out / "index.html").read_text() + (out / "summary.json").read_text()


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("none", "No such file or directory"),
        ("file", "Not a directory"),
        ("empty", "holds no runs: give an experiment's folder"),
        ("damaged", "holds no run that can be read"),
        ("begun", "holds no finished run to report on"),
    ],
)
def test_a_folder_without_anything_to_report_on_is_told_in_few_lines(tmp_path, monkeypatch, capsys, folder, said):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    begin(tmp_path / "begun", "cup", "star")
    damaged = begin(tmp_path / "damaged", "cup", "star")
    (damaged.path / "config.yaml").write_text("[")
    code, out, err = run(monkeypatch, capsys, tmp_path / folder)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[0]
    assert all(line.startswith("mti: ") for line in err.splitlines())
    assert len(err.splitlines()) == 1 + (folder in ("damaged", "begun"))


def test_an_output_that_cannot_be_written_is_told_in_a_line(tmp_path, monkeypatch, capsys):
    finish(tmp_path / "in", "cup", "star")
    (tmp_path / "file").touch()
    code, _, err = run(monkeypatch, capsys, tmp_path / "in", "--output", tmp_path / "file" / "report")
    assert code == 2
    assert err.startswith(f"mti: {tmp_path / 'file' / 'report'} cannot be written to: Not a directory")
    assert len(err.splitlines()) == 1


def test_several_experiments_are_compared_beside_them(tmp_path, monkeypatch, capsys):
    for name in ("a", "b"):
        finish(tmp_path / name, "cup", "star", experiment={"name": name})
    code, out, _ = run(monkeypatch, capsys, tmp_path / "a", tmp_path / "b")
    assert (code, out.splitlines()[0]) == (0, "a, b · model tiny · 1 picture · 1 seed · 100 steps")
    assert json.loads((tmp_path / "report" / "summary.json").read_text())["baselines"] == {"b": "a"}


@pytest.mark.parametrize("init", ["star", "caption"])
def test_one_initializer_alone_is_reported_too(tmp_path, init):
    sweep(tmp_path, images=("cup",), inits=(init,), seeds=(0,))
    found = report(tmp_path, tmp_path / "report")
    assert found["steps_to_baseline"] == {}
    assert found["metrics"]["eval/mse"]["series"][init]["low"] == [None] * 4

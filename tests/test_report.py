import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from run_folders import begin, sweep

from mti.report import report
from mti.reporting.plots import PAPER_TIMES, paper_curves

ROOT = Path(__file__).parent.parent


class Links(HTMLParser):
    """The addresses that a page refers to, and its unclosed elements."""

    def __init__(self):
        super().__init__()
        self.addresses, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A report on a whole sweep, and what summary.json says."""
    root = tmp_path_factory.mktemp("paper")
    sweep(root, pictures=True)
    return root / "report", report(root, root / "report")


def test_every_figure_is_there_as_png_and_pdf(whole):
    folder, found = whole
    assert found["figures"] == [
        *("loss", "steps_to_star", "lpips", "ablation", "per_picture", "contact_sheet"),
        *("personalization_star", "personalization_multistar", "personalization_class", "personalization_caption"),
    ]
    for name in found["figures"]:
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.width > 400
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_needs_nothing_else(whole):
    folder, _ = whole
    html = (folder / "index.html").read_text()
    page = Links()
    page.feed(html)
    assert page.open == []
    outside = [address for address in page.addresses if not address.startswith(("#", "data:image/webp;base64,"))]
    assert outside == []
    assert not re.search(r"@import|url\((?!#)|<script", html)
    assert "$" not in re.sub(r'base64,[^"]*', "", html)


def test_the_page_follows_light_and_dark(whole):
    html = (whole[0] / "index.html").read_text()
    dark = set(re.findall(r"--c-([0-9a-f]{6}): #", html))
    used = set(re.findall(r"var\(--c-([0-9a-f]{6})", html))
    assert used <= dark
    assert "All 16 runs have finished; nothing is left out." in html


def test_the_summary_has_the_numbers(whole):
    folder, found = whole
    assert json.loads((folder / "summary.json").read_text()) == found
    loss = found["metrics"]["eval/mse"]
    caption = loss["initializers"]["caption"]
    assert loss["steps"] == [0, 25, 50, 100]
    assert caption["mean"] == pytest.approx([1.4, 1.275, 1.15, 0.9])  # half of teapot's own level, which is 1
    assert (caption["low"][0], caption["high"][0]) == pytest.approx((0.9, 1.9))
    assert caption["paired_low"] == pytest.approx(caption["mean"])
    assert caption["difference_to_star"]["high"] == pytest.approx([-0.1, -0.175, -0.25, -0.4])
    assert found["steps_to_star"]["multistar"] == {"mean": 50, "low": 50, "high": 50}
    assert found["steps_to_star"]["caption"]["mean"] == pytest.approx(20)
    assert found["metrics"]["eval/lpips_pocket"]["name"] == "LPIPS (pocket)"
    assert found["texts"]["cup"]["caption"] == {"text": "a cup", "tokens": 2, "source": "fixed"}


def test_the_command_names_what_is_missing_on_the_page_the_terminal_and_the_summary(tmp_path):
    sweep(tmp_path, inits=("star", "caption"), seeds=(0,))
    begin(tmp_path, "bird", "star").write_summary({"status": "failed", "reason": "a <broken> picture"})
    done = subprocess.run(
        [sys.executable, "-m", "mti.report", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "star, caption · model tiny · 2 pictures · 1 seed · 100 steps\nruns: 4 finished, 1 failed\n" in done.stdout
    assert "  caption    20  (20 to 20)\n" in done.stdout
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    html = (tmp_path / "report" / "index.html").read_text()
    assert len(summary["problems"]) == 3
    for line in summary["problems"]:
        assert line in done.stdout
        assert line.replace("<", "&lt;").replace(">", "&gt;") in html
    assert summary["figures"] == ["loss", "steps_to_star", "lpips", "per_picture"]


def test_a_folder_without_runs_is_one_clear_line(tmp_path):
    done = subprocess.run([sys.executable, "-m", "mti.report", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"mti: {tmp_path} holds no runs: give an experiment's folder, such as outputs/paper\n"


@pytest.mark.parametrize("init", ["star", "caption"])
def test_one_initializer_alone_is_reported_too(tmp_path, init):
    sweep(tmp_path, images=("cup",), inits=(init,), seeds=(0,))
    found = report(tmp_path, tmp_path / "report")
    assert found["steps_to_star"] == {}
    assert found["metrics"]["eval/mse"]["initializers"][init]["low"] == [None] * 4


def test_the_papers_curves_are_those_of_its_figure():
    steps, paper = paper_curves()
    assert (steps[0], steps[-1]) == (0, 4950)
    for name, step in PAPER_TIMES.items():  # between two of the file's steps
        before, after = paper[name][steps <= step][-3:].mean(), paper[name][steps > step][:3].mean()
        assert after < paper["star"][-1] < before

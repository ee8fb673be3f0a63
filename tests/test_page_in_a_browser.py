"""The page as a user has it: in Chromium, from the first click to the exported tokens."""

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SMALL = (
    "logger=csv",
    "metrics=none",
    "evaluation.steps=[0,4]",
    "evaluation.pictures=2",
    "evaluation.samples=2",
    "evaluation.num_inference_steps=2",
)
PATIENCE = 120_000  # milliseconds: two cores, a browser, a server and a training process
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs a Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page's address and its folder."""
    folder = tmp_path_factory.mktemp("page")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    server = subprocess.Popen(
        [sys.executable, "-m", "mti.page", *SMALL, "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert server.stdout
    said = ""
    for line in server.stdout:
        said += line
        if found := re.search(r"http://\S+:\d+", line):
            break
    else:
        pytest.fail(f"the page did not start: {said}")
    yield found[0], folder
    server.send_signal(signal.SIGTERM)
    with server:
        assert server.wait(90) == 143


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, served):
    """The page, open at desktop width; whatever it asks for, it asks its own server."""
    address, asked = served[0], []
    opened = browser.new_page(viewport=DESKTOP)
    opened.set_default_timeout(30_000)
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    eventually(value(opened, "where"), "click=[128,136]")  # that which the data set has recorded
    yield opened
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    opened.close()


def click_at(page: Page, x: float, y: float) -> None:
    """Click at a place of the picture, in shares of its width and height."""
    picture = page.locator("#picture img")
    box = picture.bounding_box()
    assert box
    picture.click(position={"x": x * box["width"], "y": y * box["height"]})


def value(page: Page, name: str):
    return page.locator(f"#{name} textarea, #{name} input").first


def eventually(locator, value) -> None:
    expect(locator).to_have_value(value, timeout=PATIENCE)


def asked(address: str, host: str) -> http.client.HTTPResponse:
    """The answer to a request that means a host."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("GET", "/", headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_only_those_who_mean_this_machine_are_answered(served):
    answer = asked(served[0], "127.0.0.1")
    assert answer.status == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert asked(served[0], "somewhere.example").status == 400


def test_from_a_click_to_exported_tokens(page, served):
    _, folder = served
    for _ in range(3):  # a click is lost if the picture is drawn anew at that moment
        click_at(page, 0.47, 0.55)
        with suppress(AssertionError):
            expect(value(page, "where")).to_have_value(re.compile(r"click=\[1[12]\d,14\d\]"), timeout=10_000)
            break
    expect(page.locator("#starts")).to_contain_text("teapot")
    expect(page.locator("#starts")).to_contain_text("* * *")
    expect(page.locator("#guesses")).to_contain_text("0.")

    page.locator("#inits").get_by_label("star", exact=True).check()
    value(page, "steps").fill("4")
    value(page, "steps").blur()
    command = r"mti run -m .* init=caption,star image=teapot .*click=\[1[12]\d,14\d\].*max_steps=4$"
    eventually(value(page, "command"), re.compile(command))
    page.locator("#start").click()
    expect(page.locator("#jobs")).to_contain_text("finished", timeout=PATIENCE)
    runs = sorted(path.parent for path in (folder / "outputs").rglob("tokens.safetensors"))
    assert [run.parent.name for run in runs] == ["caption", "star"]
    assert all(re.search(r"click-\d+_\d+", run.name) for run in runs)
    assert "max_steps" not in "".join(run.name for run in runs)

    page.get_by_role("tab", name="Watch").click()
    page.locator("#newest").click()
    expect(page.locator("#standing")).to_contain_text("caption", timeout=PATIENCE)
    expect(page.locator("#plot canvas, #plot svg").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#gallery img")).to_have_count(3, timeout=PATIENCE)  # the input, and a grid of each run
    page.screenshot(path=folder / "watch.png", full_page=True)

    page.get_by_role("tab", name="Draw and export").click()
    value(page, "prompt").fill("a photo of {} on the moon")
    page.locator("#draw").click()
    expect(page.locator("#drawn img")).to_have_count(1, timeout=PATIENCE)
    assert len(list((folder / "outputs").rglob("generated/*/request.json"))) == 1
    page.locator("#export").click()
    expect(page.locator("#files")).to_contain_text(".safetensors", timeout=PATIENCE)
    assert "mti export run=" in value(page, "draw-command").input_value()


def test_a_box_and_no_click(page):
    page.get_by_label("a corner of a box").check()
    click_at(page, 0.1, 0.2)
    eventually(value(page, "where"), re.compile("opposite"))
    click_at(page, 0.9, 0.85)
    eventually(value(page, "where"), re.compile(r"^box=\[2\d,5\d,23\d,21\d\]$"))
    eventually(value(page, "command"), re.compile(r"click=null box=\[|click=null 'box=\["))
    page.locator("#no-click").click()
    eventually(value(page, "where"), re.compile("nothing is clicked"))


def test_words_of_ones_own_are_tokenized_while_they_are_typed(page):
    value(page, "text").press_sequentially("a shiny pot")
    expect(page.locator("#tokens")).to_contain_text("pot</w>", timeout=PATIENCE)


def test_an_uploaded_picture_is_kept_and_anything_else_refused(page, served, tmp_path):
    from PIL import Image

    (tmp_path / "note.txt").write_text("no picture")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "note.txt")
    expect(page.get_by_text("is no picture")).to_be_visible(timeout=PATIENCE)

    Image.new("RGB", (90, 60), "red").save(tmp_path / "my mug.png")
    page.reload()
    page.wait_for_selector("#picture img")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "my mug.png")
    eventually(value(page, "image"), re.compile(r"outputs/pictures/my_mug-\w{8}\.png"))
    assert list((served[1] / "outputs/pictures").iterdir())


def test_it_fits_a_phone(browser, served):
    phone = browser.new_page(viewport=PHONE)
    phone.goto(served[0])
    phone.wait_for_selector("#picture img", timeout=PATIENCE)
    expect(phone.locator("#starts")).to_contain_text("teapot", timeout=PATIENCE)
    phone.screenshot(path=served[1] / "phone.png", full_page=True)
    for name in ("Learn", "Watch", "Draw and export"):
        phone.get_by_role("tab", name=name).click()
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    phone.close()

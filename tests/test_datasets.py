import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from mti.datasets import Folder, Photographs
from mti.images import read_picture
from mti.pocket import language
from mti.pocket.held_out import CONCEPTS
from mti.pocket.world import KINDS
from mti.types import UserError

CONF = Path(__file__).parents[1] / "conf" / "dataset"
PAPERS_TWELVE = [
    *("coffee_mug", "cup", "sunglasses", "backpack", "sneaker", "teddy_bear"),
    *("bird", "go_kart", "maraca", "analog_clock", "teapot", "ocarina"),
]


def data_set(name, **changes):
    return instantiate(OmegaConf.load(CONF / f"{name}.yaml"), **changes)


def picture_at(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 16), color).save(path)
    return path


# -------------------------------------------------------------------------------------- the pocket


def test_the_pocket_has_the_papers_twelve():
    pocket = data_set("pocket")
    assert pocket.names() == PAPERS_TWELVE == list(CONCEPTS)
    for name in pocket.names():
        pocket.check(name)
        concept = pocket.concept(name)
        assert concept.name == name
        assert [read_picture(path).size for path in concept.pictures] == [(256, 256)]


@pytest.mark.parametrize("name", PAPERS_TWELVE)
def test_the_pockets_records_are_in_the_worlds_language(name):
    thing = CONCEPTS[name].thing
    recorded = data_set("pocket").concept(name).recorded
    assert recorded["class"] == KINDS[thing.kind][1][0]
    assert recorded["caption"] in {language.thing_caption(thing, called) for called in KINDS[thing.kind][1]}


def test_the_wrong_caption_is_the_next_concepts_and_needs_no_download(tmp_path):
    pocket, records = data_set("pocket"), data_set("pocket").records()
    assert pocket.wrong_caption("teapot") == records["ocarina"]["caption"]
    assert pocket.wrong_caption("ocarina") == records["coffee_mug"]["caption"]
    assert data_set("paper", cache=str(tmp_path)).wrong_caption("cup") == (
        "a pair of sunglasses with a gold frame and brown lenses"
    )
    assert data_set("dreambooth", cache=str(tmp_path)).wrong_caption("cat") is None
    assert data_set("folder").wrong_caption("mug.png") is None


def test_only_a_photograph_that_is_not_in_the_cache_is_not_at_hand(tmp_path):
    paper = data_set("paper", cache=str(tmp_path))
    assert not paper.at_hand("cup")
    picture_at(tmp_path / "berry_bowl" / "00.jpg")
    assert paper.at_hand("cup")
    assert paper.at_hand("mug.jpg")
    assert data_set("pocket").at_hand("teapot")


# ------------------------------------------------------------------------------------ names and paths


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(UserError, match=r"image='teapto'.*did you mean teapot\?.*path to a picture") as error:
        data_set("pocket").check("teapto")
    assert all(name in str(error.value) for name in PAPERS_TWELVE)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="image=''"):
        data_set("pocket").concept("")


@pytest.mark.parametrize("name", ["pocket", "paper", "dreambooth"])
def test_a_path_is_a_concept_of_every_data_set(tmp_path, name):
    picture = picture_at(tmp_path / "My mug, no. 2.png")
    data_set(name).check(str(picture))
    concept = data_set(name).concept(str(picture))
    assert (concept.name, concept.pictures, concept.recorded) == ("My_mug_no._2", (picture,), {})


def test_a_folder_of_pictures_is_one_concept(tmp_path):
    for name in ("b.png", "a.JPG", "._a.jpg"):
        picture_at(tmp_path / "mug.v2" / name)
    (tmp_path / "mug.v2" / "notes.txt").write_text("mine")
    concept = data_set("pocket").concept(str(tmp_path / "mug.v2"))
    assert concept.name == "mug.v2"
    assert [path.name for path in concept.pictures] == ["a.JPG", "b.png"]


def test_a_relative_path_is_from_here(tmp_path, monkeypatch):
    picture = picture_at(tmp_path / "teapot" / "one.png")
    monkeypatch.chdir(picture.parent)
    here = data_set("pocket").concept(".")
    assert (here.name, here.pictures) == ("teapot", (picture,))
    monkeypatch.chdir(tmp_path)
    assert data_set("pocket").concept("./teapot").pictures == (picture,)
    assert data_set("pocket").concept("teapot").pictures != (picture,)  # a name goes before a path


def test_bad_paths_get_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    for image, words in [("empty", "no pictures in it"), ("text.png", "is no picture"), ("gone.png", "nor a path")]:
        with pytest.raises(UserError, match=words):
            data_set("pocket").check(str(tmp_path / image))


# --------------------------------------------------------------------------------------- a folder


def test_a_folder_as_a_data_set(tmp_path):
    mug = picture_at(tmp_path / "mug.png")
    cats = picture_at(tmp_path / "cat" / "1.png"), picture_at(tmp_path / "cat" / "2.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "concepts.yaml").write_text("cat: {class: cat, caption: a grey cat}")
    own = data_set("folder", root=str(tmp_path))
    assert own.names() == ["mug", "cat"]
    own.check("cat")
    assert own.concept("cat").pictures == cats
    assert own.concept("cat").recorded == {"class": "cat", "caption": "a grey cat"}
    assert own.concept("mug").pictures == (mug,)
    assert own.concept("mug").recorded == {}


def test_a_folders_faults_are_named(tmp_path):
    with pytest.raises(UserError, match=r"dataset\.root=PATH"):
        data_set("folder").names()
    with pytest.raises(UserError, match="no such folder"):
        Folder(str(tmp_path / "gone")).check("mug")
    (tmp_path / "mug.png").write_text("no picture")
    with pytest.raises(UserError, match="is no picture"):
        Folder(str(tmp_path)).check("mug")
    picture_at(tmp_path / "mug" / "1.png")
    with pytest.raises(UserError, match="two concepts named mug"):
        Folder(str(tmp_path)).names()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mgu: {class: mug}", "no concept 'mgu'"),
        ("mug: {klass: mug}", "expected {class: …, caption: …}"),
        ("mug: a mug", "expected {class: …, caption: …}"),
        ("- mug", "expected lines like"),
        ("mug: {", "is no YAML"),
    ],
)
def test_a_wrong_record_is_refused(tmp_path, text, words):
    picture_at(tmp_path / "mug.png")
    (tmp_path / "concepts.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as error:
        Folder(str(tmp_path)).names()
    assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------------- photographs


def jpeg():
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(file, "JPEG")
    return file.getvalue()


JPEG = jpeg()
SHA256 = hashlib.sha256(JPEG).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves the same picture everywhere, except where the path says something else."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.asked.append(self.path)
        body = b"<html>log in</html>" if "portal" in self.path else JPEG
        self.send_response(404 if "gone" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100] if "broken" in self.path else body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Server.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def photographs(url, cache, **record):
    return Photographs({"cup": {"class": "cup", "file": "berry_bowl/00.jpg", **record}}, url, str(cache))


def test_a_photograph_is_downloaded_once(url, tmp_path):
    photos = photographs(url, tmp_path / "cache", sha256=SHA256)
    photos.check("cup")
    assert Server.asked == []
    for _ in range(2):
        concept = photos.concept("cup")
        assert concept.pictures == (tmp_path / "cache/berry_bowl/00.jpg",)
        assert concept.recorded == {"class": "cup"}
        assert concept.pictures[0].read_bytes() == JPEG
    assert Server.asked == ["/berry_bowl/00.jpg"]
    assert [path.name for path in (tmp_path / "cache/berry_bowl").iterdir()] == ["00.jpg"]


@pytest.mark.parametrize(
    ("file", "sha256", "words"),
    [
        ("00.jpg", "0" * 64, "not kept"),
        ("broken.jpg", SHA256, "broke off after 100 of"),
        ("gone.jpg", SHA256, "404"),
    ],
)
def test_a_bad_download_leaves_nothing(url, tmp_path, file, sha256, words):
    with pytest.raises(UserError, match=words) as error:
        photographs(url, tmp_path, file=file, sha256=sha256).concept("cup")
    assert f"{url}/{file}" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(url, tmp_path, monkeypatch):
    def interrupted(source, target):
        target.write(source.read(10))
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        photographs(url, tmp_path, file="00.jpg").concept("cup")
    assert list(tmp_path.iterdir()) == []


def test_no_network_says_where_to_put_the_file(tmp_path):
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(UserError, match="cannot download") as error:
        photographs(nowhere, tmp_path).concept("cup")
    assert f"{nowhere}/berry_bowl/00.jpg" in str(error.value)
    assert str(tmp_path / "berry_bowl/00.jpg") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_changed_file_in_the_cache_is_refused(url, tmp_path):
    picture_at(tmp_path / "berry_bowl/00.jpg")
    with pytest.raises(UserError, match="delete it to download it again"):
        photographs(url, tmp_path, sha256=SHA256).concept("cup")
    assert Server.asked == []


def test_without_a_checksum_it_must_be_a_picture(url, tmp_path):
    assert photographs(url, tmp_path).concept("cup").pictures[0].read_bytes() == JPEG
    with pytest.raises(UserError, match=r"portal\.jpg is no picture.*delete it to download it again"):
        photographs(url, tmp_path, file="portal.jpg").concept("cup")


def test_what_must_be_fetched_by_hand_says_from_where(tmp_path):
    paper = data_set("paper", cache=str(tmp_path))
    with pytest.raises(UserError, match=r"by hand from .*rinongal/textual_inversion") as error:
        paper.check("coffee_mug")
    assert str(tmp_path / "coffee_mug.jpg") in str(error.value)
    mug = picture_at(tmp_path / "coffee_mug.png")
    paper.check("coffee_mug")
    assert paper.concept("coffee_mug").pictures == (mug,)


def test_the_papers_records_are_table_a1():
    paper = data_set("paper")
    assert paper.names() == PAPERS_TWELVE
    assert [record["class"] for record in paper.concepts.values()] == [
        *("coffee mug", "cup", "sunglasses", "backpack", "sneaker", "teddy bear"),
        *("bird", "go-kart", "maraca", "analog clock", "teapot", "ocarina"),
    ]
    assert [record["caption"] for record in paper.concepts.values()] == [
        "a skull and bones mug",
        "bon appetit",
        "a pair of sunglasses with a gold frame and brown lenses",
        "hershel supply co backpack",
        "a white and pink sneaker with holographic",
        "a red plush toy with eyes and legs",
        "a sculpture of bird",
        "a toy car with a boy in it",
        "a cat with a rainbow striped tail",
        "a clock with a crown on the face",
        "a red tea kettle with gold leaf",
        "the elephant is carved in a natural stone",
    ]
    assert sum("sha256" in record for record in paper.concepts.values()) == 6


def test_dreambooth_has_its_thirty_subjects():
    dreambooth = data_set("dreambooth")
    assert len(dreambooth.names()) == 30
    assert all(record["file"] == f"{name}/00.jpg" for name, record in dreambooth.concepts.items())
    known = {record["file"]: record["sha256"] for record in dreambooth.concepts.values() if "sha256" in record}
    assert known == {r["file"]: r["sha256"] for r in data_set("paper").concepts.values() if "file" in r}

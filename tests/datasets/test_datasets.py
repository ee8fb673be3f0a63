import hashlib
import io
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from mti.datasets import Folder, Photographs, Pocket
from mti.images import printable, read_picture
from mti.pocket import held_out, language, world
from mti.types import UserError

CONF = Path(__file__).parents[2] / "conf" / "dataset"
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
    assert pocket.names() == PAPERS_TWELVE == list(held_out.CONCEPTS)
    for name in pocket.names():
        pocket.check(name)
        concept = pocket.concept(name)
        assert concept.name == name
        assert [read_picture(path).size for path in concept.pictures] == [(256, 256)]


@pytest.mark.parametrize("name", PAPERS_TWELVE)
def test_the_pockets_records_are_in_the_worlds_language(name):
    thing = held_out.CONCEPTS[name].thing
    recorded = data_set("pocket").concept(name).recorded
    names = world.KINDS[thing.kind][1]
    assert recorded["class"] == names[0]
    assert recorded["caption"] in {language.thing_caption(thing, name) for name in names}


def test_each_of_the_individuals_has_several_pictures_and_a_record():
    individuals = data_set("pocket_individuals")
    assert individuals.names() == sorted(held_out.individuals())
    for name, scenes in held_out.individuals().items():
        concept = individuals.concept(name)
        assert len(concept.pictures) == len(scenes) == held_out.POSES
        assert concept.recorded["class"] == world.KINDS[scenes[0].thing.kind][1][0]
        assert concept.click


def test_the_wrong_caption_is_the_next_concepts_and_needs_no_download(tmp_path):
    pocket, records = data_set("pocket"), data_set("pocket").records()
    assert pocket.caption_of_another("teapot") == records["ocarina"]["caption"]
    assert pocket.caption_of_another("ocarina") == records["coffee_mug"]["caption"]
    assert data_set("paper", cache=str(tmp_path)).caption_of_another("cup") == (
        "a pair of sunglasses with a gold frame and brown lenses"
    )
    assert data_set("dreambooth", cache=str(tmp_path)).caption_of_another("cat") is None
    assert data_set("folder").caption_of_another("mug.png") is None


def test_only_a_photograph_that_is_not_in_the_cache_is_not_at_hand(tmp_path):
    paper = data_set("paper", cache=str(tmp_path))
    assert not paper.is_local("cup")
    picture_at(tmp_path / "berry_bowl" / "00.jpg")
    assert paper.is_local("cup")
    assert paper.is_local("mug.jpg")
    assert data_set("pocket").is_local("teapot")


# ------------------------------------------------------------------------------------ names and paths


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(UserError, match=r"image=teapto.*did you mean teapot\?.*path to a picture") as error:
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


PATHS = [
    "mug.png",
    "Tasse grün.png",
    "茶壶.png",
    "it's.png",
    "mug (1), red=2.png",
    "[old] cup.png",
    "#1.png",
    "~mug.png",
]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("where", ["{folder}/{name}", "~/{name}", "{name}", "./{name}", "sub/../{name}"])
def test_paths_as_people_have_them(tmp_path, monkeypatch, name, where):
    picture = picture_at(tmp_path / name)
    (tmp_path / "sub").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    image = where.format(folder=tmp_path, name=name)
    pocket = data_set("pocket")
    pocket.check(image)
    assert pocket.concept(image).pictures == (picture,)


def test_a_path_says_what_is_wrong_with_it_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.png")
    Path("loop.png").symlink_to("loop.png")
    Path("lost.png").symlink_to("gone.png")
    Path("empty.png").touch()
    Path("bad\nname.png").write_text("no picture")
    Path("none").mkdir()
    for image, words in [
        ("pipe.png", "it is a pipe"),
        ("./loop.png", "Too many levels of symbolic links"),
        ("~/lost.png", "is a link to gone.png, which is missing"),
        ("none/../empty.png", "the file is empty"),
        ("bad\nname.png", "is no picture"),
        ("./none", "has no pictures in it"),
        ("gone.png", "neither a concept of the data set nor a path"),
        ("x" * 5000, "neither a concept of the data set nor a path"),
        ("a\0b", "neither a concept of the data set nor a path"),
        ("caf\udce9.png", "neither a concept of the data set nor a path"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            data_set("pocket").check(image)
        assert printable(image) in str(error.value)
        assert str(error.value).isprintable()


def test_without_a_home_nothing_breaks(tmp_path, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}[0])
    picture = picture_at(tmp_path / "mug.png")
    assert data_set("paper").concept(str(picture)).pictures == (picture,)
    with pytest.raises(UserError, match="neither a concept"):
        data_set("pocket").concept("~/mug.png")


def test_a_folder_uses_every_picture_and_says_what_it_skips(tmp_path):
    for name in ("1.jpg", "2.png", "4.jp2", "a.JPE"):
        picture_at(tmp_path / name)
    Image.new("RGB", (24, 16)).save(tmp_path / "3.jfif", "JPEG")
    (tmp_path / "5.heic").write_bytes(bytes(24))
    (tmp_path / "6.png").symlink_to("/nowhere.png")
    (tmp_path / "7.png").symlink_to("7.png")
    (tmp_path / "8.png").touch()
    (tmp_path / "9.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    concept = data_set("pocket").concept(str(tmp_path))
    assert [path.name for path in concept.pictures] == ["1.jpg", "2.png", "3.jfif", "4.jp2", "a.JPE"]
    skipped = dict(concept.skipped)
    heic = skipped.pop("5.heic")
    assert "mti[heif]" in heic or "cannot be read" in heic or "no picture" in heic
    assert skipped == {
        "6.png": "is a link to /nowhere.png, which is missing",
        "7.png": "cannot be read (Too many levels of symbolic links)",
        "8.png": "is no picture: the file is empty",
        "9.png": "is no picture, or in a format that is not read: save it as PNG or JPEG",
        "notes.txt": "no picture",
        "pipe.png": "cannot be read as a picture: it is a pipe, a device or the like, no file",
        "sub": "a folder",
    }


def test_a_folder_of_nothing_says_why(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"x")
    (tmp_path / "b.txt").write_text("x")
    with pytest.raises(UserError, match=r"has no pictures in it that can be read; a.heic: .*; b.txt: no picture$"):
        data_set("pocket").concept(str(tmp_path))


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    picture_at(tmp_path / "a.png")
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\): change its permissions"):
        data_set("pocket").concept(str(tmp_path))


# -------------------------------------------------------------------------------------- records


def test_a_recorded_click_comes_with_its_concept():
    pocket = Pocket(OmegaConf.create({"teapot": {"class": "teapot", "click": [128, 140]}, "cup": {}}))
    assert pocket.concept("teapot").click == (128, 140)
    assert pocket.concept("teapot").recorded == {"class": "teapot"}
    assert pocket.concept("cup").click is None


@pytest.mark.parametrize(
    ("concepts", "words"),
    [
        ("cup: {click: [1]}", r"the click of 'cup' is none, expected click: \[x, y\]"),
        ("cup: {click: [-1, 4]}", "the click of 'cup' is none"),
        ("cup: {class: no}", "the class of 'cup' is no text"),
        ("cup: {klass: cup}", "the record of 'cup' has 'klass', expected {class"),
    ],
)
def test_a_wrong_record_of_a_list_is_refused(concepts, words):
    pocket = Pocket(OmegaConf.create(concepts))
    with pytest.raises(UserError, match=f"^dataset.concepts: {words}"):
        pocket.check("cup")


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
    ("wanted", "files"), [(1, ["00"]), (2, ["00", "01"]), (9, ["00", "01", "02"]), (None, ["00", "01", "02"])]
)
def test_of_a_subject_with_several_pictures_so_many_are_downloaded(url, tmp_path, wanted, files):
    records = {"cup": {"file": "berry_bowl/00.jpg", "pictures": 3, "sha256": SHA256}}
    photos = Photographs(records, url, str(tmp_path), pictures=wanted)
    assert not photos.is_local("cup")
    assert photos.concept("cup").pictures == tuple(tmp_path / "berry_bowl" / f"{name}.jpg" for name in files)
    assert photos.is_local("cup")


def test_pictures_without_a_number_cannot_be_counted(url, tmp_path):
    photos = Photographs({"cup": {"file": "cup.jpg", "pictures": 2}}, url, str(tmp_path), pictures=2)
    with pytest.raises(UserError, match=r"cup\.jpg has no number"):
        photos.concept("cup")


def test_a_folder_gives_the_first_pictures_of_each_concept(tmp_path):
    for index in range(3):
        picture_at(tmp_path / "mug" / f"{index}.png")
    assert [path.stem for path in Folder(str(tmp_path), pictures=2).concept("mug").pictures] == ["0", "1"]
    assert len(Folder(str(tmp_path)).concept("mug").pictures) == 3


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

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from mti import downloads
from mti.downloads import fetch, fetch_from_hub, hub_snapshot, within
from mti.types import UserError
from mti.weights import ModelFiles, hub_need, model_folder

BODY = os.urandom(3 * 2**20)
SHA256 = hashlib.sha256(BODY).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "unet/weights.safetensors": BODY, "other.ckpt": b"large", "../evil": b"x"}


class Server(http.server.BaseHTTPRequestHandler):
    """A file server with ranges, faults by path, and a hub of one repository."""

    asked: list[tuple[str, str | None, str | None]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if self.path.startswith("/api/models/org/tiny"):
            self.answer(json.dumps(repository()).encode(), "application/json")
        elif "/resolve/" in self.path:
            self.answer(FILES[self.path.partition(f"/resolve/{COMMIT}/")[2]])
        elif "portal" in self.path:
            self.answer(b"<html>log in</html>", "text/html; charset=utf-8")
        elif "moved" in self.path:
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/file")
            self.end_headers()
        elif "drip" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b".")
                time.sleep(0.05)
        elif "silent" in self.path:
            time.sleep(3)
        else:
            self.answer(BODY)

    def answer(self, body: bytes, kind: str = "application/octet-stream") -> None:
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start >= len(body) > 0:
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + 2**21] if "broken" in self.path else body[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # of a client that has given up
            super().handle()


def repository() -> dict:
    """What the hub says of a repository."""
    siblings = [
        {"rfilename": name, "size": len(body), "blobId": f"{i}" * 40}
        | ({"lfs": {"sha256": SHA256, "size": len(body), "pointerSize": 1}} if body is BODY else {})
        for i, (name, body) in enumerate(FILES.items())
    ]
    return {"id": "org/tiny", "sha": COMMIT, "siblings": siblings}


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    Server.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def hub(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The server as the hub, and its cache."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "secret")
    return tmp_path / "cache"


def test_a_file_arrives_whole_and_once(url: str, tmp_path: Path) -> None:
    for _ in range(2):
        fetch(f"{url}/file", tmp_path / "deep" / "file", SHA256[:8], len(BODY))
        assert (tmp_path / "deep" / "file").read_bytes() == BODY
    assert len(Server.asked) == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_broken_download_goes_on_where_it_broke_off(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"broke off after 2097152 of 3145728 bytes"):
        fetch(f"{url}/broken", tmp_path / "file", SHA256)
    fetch(f"{url}/file", tmp_path / "file", SHA256)
    assert [range for _, range, _ in Server.asked] == [None, "bytes=2097152-"]
    assert (tmp_path / "file").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_a_checksum_a_broken_download_begins_anew(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="broke off"):
        fetch(f"{url}/broken", tmp_path / "file")
    fetch(f"{url}/file", tmp_path / "file")
    assert [range for _, range, _ in Server.asked] == [None, None]
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_part_that_is_whole_or_longer_does_no_harm(url: str, tmp_path: Path) -> None:
    for rest in (b"", b"more"):
        (tmp_path / ".file.part").write_bytes(BODY + rest)
        fetch(f"{url}/file", tmp_path / "file", SHA256)
        assert (tmp_path / "file").read_bytes() == BODY
        (tmp_path / "file").unlink()


@pytest.mark.parametrize(
    ("path", "size", "words"),
    [
        ("portal", None, "the answer is a web page"),
        ("file", 5, "it has 3145728 bytes instead of 5"),
        ("drip", None, r"too slow: \d+ bytes in"),
        ("silent", None, r"no answer in 0\.3 s|timed out"),
    ],
)
def test_what_is_not_the_file_is_not_kept(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, size: int | None, words: str
) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    began = time.monotonic()
    with pytest.raises(UserError, match=words) as told:
        fetch(f"{url}/{path}", tmp_path / "file", None, size)
    assert time.monotonic() - began < 3
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_token_does_not_follow_to_another_server(url: str, tmp_path: Path) -> None:
    fetch(f"{url}/moved", tmp_path / "file", SHA256, headers={"Authorization": "Bearer secret"})
    assert [token for _, _, token in Server.asked] == ["Bearer secret", None]


def test_a_place_that_cannot_be_written_is_told(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot download"):
        fetch(f"{url}/file", tmp_path / "file" / "below")


def test_within_gives_results_errors_and_up() -> None:
    assert within(5.0, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0)
    with pytest.raises(TimeoutError, match=r"no answer in 0\.05 s"):
        within(0.05, lambda: time.sleep(1))


def test_the_hubs_cache_gets_what_is_chosen_and_its_own_client_finds_it(hub: Path) -> None:
    from huggingface_hub import snapshot_download

    assert hub_snapshot("org/tiny", None) is None
    folder = fetch_from_hub("org/tiny", None, lambda names: [name for name in names if "ckpt" not in name])
    assert hub_snapshot("org/tiny", None) == folder
    assert hub_snapshot("org/tiny", COMMIT) == folder
    assert (folder / "unet" / "weights.safetensors").read_bytes() == BODY
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["config.json", "unet/weights.safetensors"]
    found = snapshot_download("org/tiny", local_files_only=True, allow_patterns=["config.json"])
    assert Path(found) == folder
    assert {token for path, _, token in Server.asked if "org/tiny" in path} == {"Bearer secret"}
    before = [path for path, _, _ in Server.asked if "resolve" in path]
    fetch_from_hub("org/tiny", None, lambda names: ["config.json"])
    assert [path for path, _, _ in Server.asked if "resolve" in path] == before


def test_a_need_fetches_itself(hub: Path) -> None:
    files = ModelFiles("a tiny model", (("config.json",), ("unet/*.safetensors", "unet/*.bin")))
    (need,) = hub_need("the tiny model", "org/tiny", files)
    assert not need.is_local
    assert str(need) == "the tiny model (of unknown size) from org/tiny"
    need.fetch()
    (need,) = hub_need("the tiny model", "org/tiny", files)
    assert need.is_local
    assert model_folder("org/tiny", files) == need.place
    with pytest.raises(UserError, match=r"the hub has no missing\.json of it"):
        model_folder("org/tiny", ModelFiles("a model", (("missing.json",),)), download=True)

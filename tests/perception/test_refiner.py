import http.server
import json
import threading
import time
from contextlib import contextmanager, suppress
from typing import Annotated, get_type_hints

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from mti.perception.refiner import LocalRefiner, OpenAIRefiner
from mti.ranges import AtLeast
from mti.types import UserError

KEY = "sk-secret-1234"


@contextmanager
def endpoint(monkeypatch, status=200, answer="a red clay pot", body=None, headers=(), respond=None):
    """An OpenAI-compatible server on this machine, named by the environment; what it was asked."""
    asked = []

    class Chat(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers.get("Authorization"), sent))
            if respond:
                with suppress(OSError):  # nobody listens any longer
                    respond(self)
                return
            self.send_response(status)
            for header in headers:
                self.send_header(*header)
            self.end_headers()
            reply = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
            self.wfile.write(json.dumps(reply).encode() if body is None else body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Chat) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1/")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield asked
        server.shutdown()


def test_the_endpoint_is_asked_with_the_key_and_the_controls(monkeypatch):
    with endpoint(monkeypatch) as asked:
        assert OpenAIRefiner("chatty", length=7, language="French")("a red pot") == "a red clay pot"
    [(path, key, sent)] = asked
    assert path == "/v1/chat/completions"
    assert key == f"Bearer {KEY}"
    assert (sent["model"], sent["temperature"]) == ("chatty", 0)
    [message] = sent["messages"]
    for part in ("in French", "at most 7 words", "no feelings, no opinion, nothing imagined", "Description: a red pot"):
        assert part in message["content"]


def test_sentiment_is_allowed_when_asked_for():
    assert "feelings" not in OpenAIRefiner("chatty", factual=False).request("a red pot")


def test_a_server_without_a_key_is_sent_none(monkeypatch):
    with endpoint(monkeypatch) as asked:
        monkeypatch.delenv("OPENAI_API_KEY")
        assert OpenAIRefiner("chatty")("a red pot") == "a red clay pot"
    assert asked[0][1] is None


def test_the_first_line_of_the_answer_counts(monkeypatch):
    with endpoint(monkeypatch, answer="\n  a red clay pot \nI hope that this helps!"):
        assert OpenAIRefiner("chatty")("a red pot") == "a red clay pot"


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ({"status": 401}, "the endpoint answers with HTTP status 401"),
        ({"status": 500, "body": b"oops"}, "the endpoint answers with HTTP status 500"),
        (
            {"status": 302, "headers": [("Location", "http://127.0.0.1:9/")]},
            "the endpoint answers with HTTP status 302",
        ),
        ({"body": b"<html>"}, "the endpoint's answer cannot be read"),
        ({"body": b'{"choices": []}'}, "the endpoint's answer cannot be read"),
        ({"body": b"[1]"}, "the endpoint's answer cannot be read"),
        ({"body": b"\xff\xfe"}, "the endpoint's answer cannot be read"),
        ({"body": b"x" * (2**20 + 1)}, "the endpoint's answer cannot be read"),
        ({"answer": [{"type": "text", "text": "a pot"}]}, "the endpoint's answer is no text"),
        ({"answer": 7}, "the endpoint's answer is no text"),
        ({"answer": ""}, "gave an empty answer"),
        ({"answer": None}, "gave an empty answer"),
        ({"answer": "."}, "nothing is left"),
        ({"answer": "word " * 40}, "answered with 40 words where at most 15 were asked for"),
    ],
)
def test_what_goes_wrong_is_one_line_without_address_and_key(monkeypatch, replies, reason):
    with endpoint(monkeypatch, **replies), pytest.raises(UserError, match=reason) as error:
        OpenAIRefiner("chatty")("a red pot")
    told = str(error.value)
    assert KEY not in told
    assert "127.0.0.1" not in told
    assert "\n" not in told


@pytest.mark.parametrize("base", ["http://127.0.0.1:9/v1", "http://[bad/v1", "http://127.0.0.1:port/v1"])
def test_nobody_there_is_one_line_without_address_and_key(monkeypatch, base):
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UserError, match=r"openai:chatty: the endpoint") as error:
        OpenAIRefiner("chatty")("a red pot")
    assert base not in str(error.value)
    assert "127.0.0.1" not in str(error.value)
    assert KEY not in str(error.value)


def test_what_is_missing_is_told_before_anyone_is_asked(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="set OPENAI_API_KEY in the environment, or OPENAI_BASE_URL"):
        OpenAIRefiner("chatty").check()
    monkeypatch.setenv("OPENAI_BASE_URL", "file:///etc")
    with pytest.raises(UserError, match="OPENAI_BASE_URL in the environment is no address"):
        OpenAIRefiner("chatty").check()


@pytest.mark.parametrize("refiner", [OpenAIRefiner, LocalRefiner])
def test_the_signature_asks_for_a_word_at_least(refiner):
    assert get_type_hints(refiner.__init__, include_extras=True)["length"] == Annotated[int, AtLeast(1)]


def test_an_endpoint_that_drips_is_given_up(monkeypatch):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    with endpoint(monkeypatch, respond=drip):
        began = time.monotonic()
        with pytest.raises(UserError, match=r"openai:chatty: the endpoint cannot be reached \(TimeoutError\)"):
            OpenAIRefiner("chatty", timeout=0.3)("a red pot")
        assert time.monotonic() - began < 3


def test_an_endpoint_that_hangs_is_given_up(monkeypatch):
    with (
        endpoint(monkeypatch, respond=lambda _: time.sleep(1)),
        pytest.raises(UserError, match="cannot be reached"),
    ):
        OpenAIRefiner("chatty", timeout=0.2)("a red pot")


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "chat"])
def language_model(request, tmp_path_factory):
    """A tiny GPT-2 with a vocabulary of a few words; with a chat template or without."""
    folder = tmp_path_factory.mktemp("gpt2")
    words = ["[UNK]", "[END]", "a", "red", "clay", "pot", "one", "phrase"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[END]", pad_token="[END]")
    if request.param:
        fast.chat_template = "{% for m in messages %}phrase {{ m.content }}{% endfor %} pot"
    torch.manual_seed(0)
    size = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 256, "initializer_range": 0.5}
    config = GPT2Config(vocab_size=len(words), bos_token_id=1, eos_token_id=1, pad_token_id=1, **size)
    GPT2LMHeadModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def test_a_local_model_answers_with_what_follows_the_request(language_model):
    refiner = LocalRefiner(str(language_model), length=4)
    refiner.check()
    answer = refiner.answer(refiner.request("a red pot"))
    assert answer == refiner.answer(refiner.request("a red pot"))
    assert 0 < len(answer.split()) <= 16
    assert set(answer.split()) <= {"a", "red", "clay", "pot", "one", "phrase"}


def test_a_local_model_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match=r"^/no/such/model is no folder"):
        LocalRefiner("/no/such/model")("a red pot")

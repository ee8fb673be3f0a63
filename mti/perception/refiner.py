"""Optional: a language model rewrites the caption, as in Caption-Anything (there ChatGPT; arXiv:2305.02677).

A refiner raises a `UserError` when it has no answer; whoever asks keeps the caption as it is then.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from http.client import HTTPException
from typing import Annotated, Any, NamedTuple
from urllib.error import HTTPError, URLError

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mti.library_logging import quiet_transformers
from mti.perception.clean import clean
from mti.perception.loaded import LoadedOnce
from mti.ranges import INCIDENTAL, Above, AtLeast
from mti.types import UserError
from mti.weights import NETWORK, Need, hub_need, model_folder

OPENAI = "https://api.openai.com/v1"
LARGEST_ANSWER = 2**20  # bytes


class Refiner(ABC):
    """Asks a language model for a caption of at most `length` words in a `language`.

    `factual` asks for plain facts, without sentiment, opinion or imagination.
    """

    name: str

    def __init__(self, length: int, factual: bool, language: str) -> None:
        self.length = length
        self.factual = factual
        self.language = language

    @abstractmethod
    def check(self) -> None:
        """Raise a `UserError` for what is known to be missing before it is asked."""

    def release(self) -> None:
        """Let go of what was loaded. A model elsewhere has nothing loaded here."""
        return

    @abstractmethod
    def answer(self, request: str) -> str:
        """What the language model says. `UserError` if it says nothing."""

    def __call__(self, caption: str) -> str:
        """The rewritten caption, as the model wrote it, a single line.

        Raises:
            UserError: there is no answer, or one more than twice as long as was asked for.
        """
        lines = [line.strip() for line in self.answer(self.request(caption)).splitlines() if line.strip()]
        if not lines:
            raise UserError(f"{self.name} gave an empty answer")
        words = len(lines[0].split())
        if words > 2 * self.length:
            raise UserError(f"{self.name} answered with {words} words where at most {self.length} were asked for")
        clean(lines[0])
        return lines[0]

    def request(self, caption: str) -> str:
        """What the language model is asked."""
        style = "Say nothing but the facts: no feelings, no opinion, nothing imagined. " if self.factual else ""
        return (
            f"Rewrite the description of a picture's object as one phrase in {self.language} of at most {self.length} "
            f"words. {style}Add nothing that the description does not say. Answer with the phrase alone.\n"
            f"Description: {caption}"
        )


class _Stay(urllib.request.HTTPRedirectHandler):
    """No redirects: the key would go along to wherever they lead."""

    def redirect_request(self, *_: Any) -> None:
        return None


class OpenAIRefiner(Refiner):
    """A model behind an OpenAI-compatible endpoint, asked at temperature 0.

    The endpoint is OPENAI_BASE_URL, or OpenAI's own; the key is OPENAI_API_KEY. Both are read from the
    environment when the model is asked, and neither is ever part of a message or a result. The answer
    must be whole after `timeout` seconds.
    """

    def __init__(
        self,
        model: str,
        timeout: Annotated[float, Above(0), INCIDENTAL] = 30.0,
        length: Annotated[int, AtLeast(1)] = 15,
        factual: bool = True,
        language: str = "English",
    ) -> None:
        super().__init__(length, factual, language)
        self.model = model
        self.name = f"openai:{model}"
        self.timeout = timeout

    def check(self) -> None:
        """Raise a `UserError` if the environment names nobody to ask."""
        base = os.environ.get("OPENAI_BASE_URL", "")
        if not base and not os.environ.get("OPENAI_API_KEY"):
            raise UserError(
                "refiner=openai has nobody to ask: set OPENAI_API_KEY in the environment, or OPENAI_BASE_URL for a "
                "server of your own"
            )
        if base and not base.startswith(("http://", "https://")):
            raise UserError("OPENAI_BASE_URL in the environment is no address that starts with http:// or https://")

    def answer(self, request: str) -> str:
        """The content of the endpoint's message. `UserError`, without address and key, if there is none."""
        self.check()
        try:
            reply = json.loads(_within(self.timeout, lambda: self._reply(request)))
            content = reply["choices"][0]["message"]["content"]
        except HTTPError as error:
            error.close()  # it holds the connection
            raise UserError(f"{self.name}: the endpoint answers with HTTP status {error.code}") from None
        except (URLError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"{self.name}: the endpoint cannot be reached ({type(reason).__name__})") from None
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            raise UserError(f"{self.name}: the endpoint's answer cannot be read ({type(error).__name__})") from None
        if not isinstance(content, str | None):
            raise UserError(f"{self.name}: the endpoint's answer is no text")
        return content or ""

    def _reply(self, request: str) -> bytes:
        key = os.environ.get("OPENAI_API_KEY")
        body = {"model": self.model, "messages": [{"role": "user", "content": request}], "temperature": 0}
        call = urllib.request.Request(
            f"{(os.environ.get('OPENAI_BASE_URL') or OPENAI).rstrip('/')}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
        )
        with urllib.request.build_opener(_Stay).open(call, timeout=self.timeout) as response:
            return response.read(LARGEST_ANSWER)


def _within(seconds: float, call: Callable[[], bytes]) -> bytes:
    """What a call gives or raises; `TimeoutError` if that takes longer: a socket's own timeout begins anew with a byte.

    The thread of a call that takes longer is left behind; it ends with the program.
    """
    outcome: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(call())
        except Exception as error:  # raised again below
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, Exception):
        raise result
    return result


class Network(NamedTuple):
    """A causal language model with its tokenizer."""

    model: Any
    tokenizer: Any


class LocalRefiner(LoadedOnce[Network], Refiner):
    """A causal language model of transformers: its hub name, or a folder; decoded greedily, on the CPU.

    It is loaded when it is first asked, and kept until `release`.
    """

    def __init__(
        self,
        path: str,
        length: Annotated[int, AtLeast(1)] = 15,
        factual: bool = True,
        language: str = "English",
    ) -> None:
        super().__init__(length, factual, language)
        self.name = path

    def check(self) -> None:
        """Nothing: whether there is such a model is known when it is loaded."""

    def answer(self, request: str) -> str:
        """What the model writes after the request, of at most four tokens a word."""
        model, tokenizer = self.loaded
        if tokenizer.chat_template:
            chat = [{"role": "user", "content": request}]
            inputs = tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        else:
            inputs = tokenizer(f"{request}\nPhrase:", return_tensors="pt")
        with torch.no_grad(), quiet_transformers():
            ids = model.generate(**inputs, max_new_tokens=4 * self.length, do_sample=False)
        return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return hub_need("the refiner", self.name, NETWORK)

    def load(self) -> Network:
        """The model. `UserError` if it cannot be had."""
        folder = model_folder(self.name, NETWORK)
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            return Network(AutoModelForCausalLM.from_pretrained(folder).eval(), tokenizer)

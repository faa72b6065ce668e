"""A server with OpenAI's API on this machine, with faults that a test sets."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[[int, str], str | None]  # from n and a prompt to the fault of the n-th request with this prompt


class Server:
    """Records the requests, and answers with the letter or name that is right for the prompt, at probability 0.8."""

    def __init__(
        self,
        *,
        fault: Fault | None = None,
        top: int = 20,
        told: int = 20,
        holds: tuple[str, ...] = ("response_format",),
        shifted: bool = False,
    ) -> None:
        self.shifted = shifted  # whether an echo gives each token the probability of the one after it
        self.fault, self.top, self.told, self.holds = fault or (lambda n, prompt: None), top, told, holds
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.requests = 0
        self.lock = threading.Lock()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        prompt = body["messages"][0]["content"] if "messages" in body else str(body["prompt"])
        with self.lock:
            self.requests += 1
            self.bodies.append(body)
            self.asked[prompt] += 1
            wrong = self.fault(self.asked[prompt], prompt)
        if wrong == "429":
            return 429, {"retry-after": "0"}, b'{"error": {"message": "slow down"}}'
        if wrong == "timeout":
            time.sleep(2)
        if wrong in ("500", "503", "400", "401", "404"):
            return int(wrong), {}, b'{"error": {"message": "no"}}'
        if wrong == "too long":
            return 400, {}, b'{"error": {"message": "This model\'s maximum context length is 99 tokens."}}'
        if wrong == "malformed":
            return 200, {}, b'{"choices": null}' if self.asked[prompt] % 2 else b"<html>"
        if body.get("top_logprobs", 0) > self.top:
            return 400, {}, b'{"error": {"message": "top_logprobs is too high"}}'
        held = [name for name in ("response_format", "guided_choice", "grammar") if name in body]
        if any(name not in self.holds for name in held):
            return 400, {}, f'{{"error": {{"message": "{held[0]} is not known"}}}}'.encode()
        said = (
            self.completion(body)
            if path.endswith("/completions") and "prompt" in body
            else self.message(body, prompt, wrong)
        )
        with self.lock:
            self.answered[prompt] += 1
        return 200, {}, json.dumps({"id": "1", "object": "x", "created": 0, "model": "m", **said}).encode()

    def message(self, body: dict[str, Any], prompt: str, wrong: str | None) -> dict[str, Any]:
        letter = right_letter(prompt)
        text = "perhaps" if wrong == "off list" else letter or prompt.rsplit("Text: ", 1)[1].split()[0]
        if "response_format" in body and wrong != "off list":
            text = json.dumps({"label": text})
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }
        if body.get("logprobs") and self.told:
            others = [each for each in "ABCDEFGH" if each != letter]
            told = [(letter or "A", 0.8), *((each, 0.2 / len(others)) for each in others)][
                : min(self.told, body["top_logprobs"])
            ]
            top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in told]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}], "refusal": None}
        return {"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21}}

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        words = body["prompt"].split(" ") if body.get("echo") else ["", "next"]
        steps = [-0.1 * len(word) for word in words[1:]]
        steps = [*steps[1:], -9.0] if self.shifted and body.get("echo") else steps
        if not body.get("echo"):
            told = {
                "tokens": [" next"],
                "token_logprobs": steps,
                "text_offset": [len(body["prompt"])],
                "top_logprobs": None,
            }
            choice = {"index": 0, "finish_reason": "length", "text": " next", "logprobs": told}
            return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}
        told = {
            "tokens": words,
            "token_logprobs": [None, *steps],
            "text_offset": [sum(len(word) + 1 for word in words[:i]) - (i > 0) for i in range(len(words))],
            "top_logprobs": None,
        }
        choice = {"index": 0, "finish_reason": "length", "text": body["prompt"], "logprobs": told}
        return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}}


def right_letter(prompt: str) -> str | None:
    """The letter of the option that equals the text's first word."""
    options = {line[3:].split(":")[0]: line[0] for line in prompt.splitlines() if line[1:3] == ". "}
    return options.get(prompt.rsplit("Text: ", 1)[-1].split()[0])


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Runs the server on a free port of the loopback device."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            server.keys.add(self.headers.get("authorization", ""))
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            code, headers, content = server.reply(self.path, body)
            try:
                self.send_response(code)
                for name, value in {
                    **headers,
                    "content-type": "application/json",
                    "content-length": str(len(content)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client did not wait

        def log_message(self, *_: Any) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = http.server_address[1]
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()

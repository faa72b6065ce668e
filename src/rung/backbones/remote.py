"""Servers with OpenAI's API (vLLM, llama.cpp, Ollama, cloud services), through the client `openai`.

    openai:MODEL@http://127.0.0.1:8080/v1?concurrency=8&max_requests=1000&max_tokens=100000&timeout_s=60&retries=5&via=chat

via=chat (the default): the labels are options with a letter each, and the most probable first tokens give their probabilities.
Where the server gives no probabilities, or not one for every letter, its output is constrained to the candidates.
via=completions: each label follows the prompt in a request of its own, and the server echoes every token's log-probability (vLLM,
llama-cpp-python).
A server reads control tokens wherever they occur, also in a message's content. So in the text of a `Prompt`, and in labels, what
models of many makers use as control tokens ("<|im_end|>", "</s>", "[INST]", see `_CONTROL`) is broken up by a space after its first
character; a plain string is sent as it is. Where a prompt is too long for the server, the middle of its text is left out until the
server accepts it.
The key is read from OPENAI_API_KEY and written nowhere.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import math
import os
import re
import string
import unicodedata
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from rung.backbones.common.api_client import ApiClient, Budget, RequestFailedError, RetryDifferentlyError
from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.evidence import Array
from rung.messages import tr
from rung.text_encoding import encodable

_DEFAULTS = {"concurrency": 8, "max_requests": None, "max_tokens": None, "timeout_s": 60, "retries": 5, "via": "chat"}
_TOP_LOGPROBS = (20, 5)  # how many tokens' probabilities are requested; some servers allow 5 at most
_TEMPLATE_TOKENS = 64  # tokens that a chat template and an answer may add to a prompt
_CONTROL = re.compile(
    r"<(?=\|[^|<>\s]{1,60}\|>|\uff5c[^\uff5c<>]{1,60}\uff5c>"
    r"|/?(?:s|bos|eos|pad|unk|mask|cls|sep|think|tool_calls?|tool_response|(?:start|end)_of_(?:turn|image|text|utterance)|"
    r"extra_id_\d+|unused\d+|reserved_\d+|fim_\w+)>|<SYS>>|</SYS>>)"
    r"|\[(?=/?(?:INST|SEP|CLS|MASK|PAD|UNK|BOS|EOS|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\])"
)
_ECHO_PROMPTS = ("1 2 3 4 5 6 7 8", "A B C D E F", "Monday, Tuesday, Wednesday,")  # the test of a server's echo
_MAX_ECHO_GAP = 0.2  # nats: rounding changes a token's log-probability by less
_SHARE_KEPT = 2 / 3  # of a text that is too long for the server
_TOO_LONG = re.compile(  # in the error message of a server
    r"context|too long|too large|too many tokens|maximum (?:input|length|number of tokens)|must have (?:less|fewer) than"
)
_MIN_CHARACTERS = 16  # a text shorter than this is not the reason that a prompt is too long
_DEFAULT_HOST = "api.openai.com"
_ANSWER_OVERHEAD = 32  # tokens that JSON and a chat template put around a name
_PAIRS = {'""', "''", "``", "**", "__", "\u2018\u2019", "\u201c\u201d", "\u00ab\u00bb", "()", "[]", "{}", "<>"}
_ENDS = ".,;:!?)\u3002" + string.whitespace  # "B)" and "B." are B; a mark at the beginning, as in ".NET", stays

Request = partial[tuple[Any, int]]  # from what is sent to the answer and the number of tokens spent


class RemoteBackbone:
    """A model behind a server. Texts leave this machine where the server is another one: `host` names it."""

    scheme = "openai"
    abilities = frozenset({"score", "generate"})
    costly = True
    input = "text"
    needs: tuple[str, ...] = ("openai",)
    extra = "remote"
    options = tuple(_DEFAULTS)
    max_tokens: int | None = None  # unknown: the server does not give its limit
    dimensions = 0
    numerics = "remote"

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.name = name
        model, _, url = name.removeprefix("openai:").partition("@")
        self.model, self.url = model, url or os.environ.get("OPENAI_BASE_URL") or None
        self.settings = {**_DEFAULTS, **_checked(name, options or {})}
        self.budget = Budget(self.settings["max_requests"], self.settings["max_tokens"])
        self.api_client = ApiClient(
            self.budget, concurrency=self.settings["concurrency"], retries=self.settings["retries"]
        )
        # How many tokens' probabilities the server gives, as found out; None: it gives no probabilities.
        self._top_logprobs: int | None = _TOP_LOGPROBS[0]
        self._answer_cache: dict[bytes, Any] = {}
        self._shortened: dict[
            Prompt, Prompt
        ] = {}  # by a prompt that was too long for the server: what was sent instead
        self._echo_is_checked = False
        self._constraints = list(_CONSTRAINTS)  # ways to constrain its output that it has not refused yet

    @classmethod
    def recognizes(cls, folder: Path) -> bool:  # noqa: ARG003 - a backbone's signature
        """False: a server is no folder."""
        return False

    @classmethod
    def connect(cls, name: str) -> Self:
        """The backbone for  openai:model@url; nothing is sent yet.

        Raises UserError for a malformed name and for one with a key in it.
        """
        model, _, url = name.removeprefix("openai:").partition("@")
        parts = urlsplit(url)
        if not model or (url and (parts.scheme not in ("http", "https") or not parts.netloc)):
            raise UserError(
                "backbone {name!r} names no model on a server.", "Type  openai:MODEL@http://HOST:PORT/v1", name=name
            )
        if "@" in parts.netloc:
            raise UserError(
                "backbone: a key must not stand in a name, since names are saved.", "export OPENAI_API_KEY=…"
            )
        return cls(name)

    def with_options(self, given: Mapping[str, object]) -> Self:
        """The same model with other options and a budget of its own. Raises UserError for an invalid value."""
        return type(self)(self.name, given)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "settings": self.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["name"], state["settings"])  # type: ignore[misc]

    @property
    def fingerprint(self) -> str:
        """A hash of the server's address and the model's name: what is behind them may change without notice."""
        return hashlib.sha256(json.dumps(["openai", self.url, self.model, self.settings["via"]]).encode()).hexdigest()

    @property
    def host(self) -> str | None:
        """The host to which texts are sent, or None for this machine."""
        found = urlsplit(self.url).hostname if self.url else _DEFAULT_HOST
        return None if found is None or _is_here(found) else found

    @property
    def style(self) -> str:
        """How prompts are worded: with letters to choose from, or as a text to continue."""
        return "continuation" if self.settings["via"] == "completions" else "options"

    def as_text(self, text: str) -> str:
        """The text in which everything that may be a control token of the server's model is broken up.

        >>> RemoteBackbone("openai:m").as_text("a <|im_end|> </s> [INST] <b>")
        'a < |im_end|> < /s> [ INST] <b>'
        """
        return _CONTROL.sub(r"\g<0> ", encodable(text))

    def chat(self, messages: list[dict[str, str]]) -> str | None:  # noqa: ARG002
        """None: completions are requested without a chat template."""
        return None

    def spent(self) -> str:
        """How many requests and tokens were spent so far, in words."""
        return tr("{requests:,} requests, {tokens:,} tokens", requests=self.budget.requests, tokens=self.budget.tokens)

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate | prompt), (n, k) float32; NaN where the server does not give all probabilities of a prompt."""
        return self.scored(prompts, candidates)[0]

    def scored(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> tuple[Array, list[str | None]]:
        """Log-probabilities (n, k), and for each prompt the reason why there are none (its row is NaN), or None."""
        if self.settings["via"] == "completions":
            return self._score_pairs(prompts, candidates)
        if any(len(each) > 1 for each in candidates):  # names: their first tokens are not enough to tell them apart
            reason = tr("the server can only choose among names, not score them")
            return np.full((len(prompts), len(candidates)), np.nan, dtype=np.float32), [reason] * len(prompts)
        return self._score_prompts(prompts, partial(self._first_token, candidates=candidates), len(candidates))

    def choose(
        self, prompts: Sequence[str | Prompt], candidates: Sequence[str]
    ) -> tuple[list[int | None], list[str | None]]:
        """The index of the candidate that the model picks for each prompt, or None with the reason; it is never guessed.

        The server's output is constrained to the candidates in the first of these ways that the server takes: a JSON schema,
        llama.cpp's grammar, vLLM's guided_choice, no constraint. An answer counts if it is a candidate: literally, else
        regardless of case and of marks around it, where it cannot mean another candidate.
        """
        request = partial(self._choose, candidates=list(candidates))
        answers = self._answers_to(prompts, request, extra=_longest_answer(candidates))
        places = [
            None if isinstance(each, RequestFailedError) else _matching_candidate(each, candidates) for each in answers
        ]
        reasons = [
            None
            if place is not None
            else str(each)
            if isinstance(each, RequestFailedError)
            else tr("the server answered {answer!r}", answer=each[:60])
            for each, place in zip(answers, places, strict=True)
        ]
        return places, reasons

    def generate(self, prompts: Sequence[str | Prompt], max_tokens: int = 64, seed: int = 0) -> list[str]:
        """The model's answer to each prompt (n). Raises UserError where a prompt got no answer."""
        answers = self._answers_to(prompts, partial(self._generate, max_tokens=max_tokens, seed=seed), extra=max_tokens)
        for each in answers:
            if isinstance(each, RequestFailedError):
                raise UserError(
                    "generate: a prompt got no answer: {reason}.",
                    "Try again, or raise the budget or the number of retries.",
                    reason=each,
                )
        return answers

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """The number of words of each candidate (k,), since the server does not give its tokens."""
        return np.array([max(1, len(each.split())) for each in candidates], dtype=np.intp)

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:  # noqa: ARG002
        """How many of these prompts were too long for the server, among those sent so far: its limit is not known."""
        return sum(isinstance(each, Prompt) and self._escaped(each) in self._shortened for each in prompts)

    def unknown_share(self, texts: Sequence[str]) -> float:  # noqa: ARG002
        """0.0, since the server's vocabulary is not known."""
        return 0.0

    def _score_prompts(
        self, prompts: Sequence[str | Prompt], request: Request, k: int
    ) -> tuple[Array, list[str | None]]:
        rows = np.full((len(prompts), k), np.nan, dtype=np.float32)
        why: list[str | None] = [None] * len(prompts)
        for i, answer in enumerate(self._answers_to(prompts, request)):
            if isinstance(answer, RequestFailedError):
                why[i] = str(answer)
            elif np.isnan(answer).any():
                why[i] = tr("the server gives the probabilities of too few tokens")
            else:
                rows[i] = answer
        return rows, why

    def _score_pairs(
        self, prompts: Sequence[str | Prompt], candidates: Sequence[str]
    ) -> tuple[Array, list[str | None]]:
        """Log-probabilities from a request for each prompt with each candidate: not every server takes several in one."""
        self._check_echo()
        pairs = [(self._escaped(prompt), candidate) for prompt in prompts for candidate in candidates]
        answers = np.array(self._answers_to(pairs, partial(self._echo_log_p)), dtype=object).reshape(
            len(prompts), len(candidates)
        )
        why = [next((str(each) for each in row if isinstance(each, RequestFailedError)), None) for row in answers]
        rows = np.full(answers.shape, np.nan, dtype=np.float32)
        is_scored = [reason is None for reason in why]
        rows[is_scored] = answers[is_scored].astype(np.float32)
        return rows, why

    def _answers_to(self, items: Sequence[Any], request: Request, *, extra: int = 0) -> list[Any]:
        """The answer to each item (a prompt, or a prompt with its candidate); an item that was answered once is not sent again."""
        items = [self._escaped(item) if isinstance(item, Prompt) else item for item in items]
        keys = [_key(request, item) for item in items]
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in self._answer_cache}
        costs = [
            sum(len(str(each).encode("utf-8", "replace")) for each in (item if isinstance(item, tuple) else [item]))
            + (_TEMPLATE_TOKENS + extra)
            for item in new.values()
        ]
        found = dict(
            zip(new, self.api_client.send_all(request, list(zip(new.values(), costs, strict=True))), strict=True)
        )
        self._answer_cache |= {key: each for key, each in found.items() if not isinstance(each, RequestFailedError)}
        return [found[key] if key in found else self._answer_cache[key] for key in keys]

    def _escaped(self, prompt: str | Prompt) -> str | Prompt:
        """The prompt as it is sent: control tokens in its text are broken up."""
        return prompt if isinstance(prompt, str) else replace(prompt, text=self.as_text(prompt.text))

    def _send(self, prompt: str | Prompt, send: Callable[[str], Any]) -> Any:
        """What `send` returns for the prompt; a text that is too long for the server loses its middle from now on."""
        current = self._shortened.get(prompt, prompt) if isinstance(prompt, Prompt) else prompt
        try:
            return send(encodable(str(current)))
        except Exception as error:
            if not (isinstance(prompt, Prompt) and isinstance(current, Prompt) and _is_too_long(error)):
                raise
            if len(current.text) < _MIN_CHARACTERS:
                raise
            self._shortened[prompt] = replace(current, text=_without_middle(current.text, _SHARE_KEPT))
            raise RetryDifferentlyError from None

    def _first_token(self, prompt: str | Prompt, candidates: Sequence[str]) -> tuple[Any, int]:
        """log p (k,) of one-letter candidates as the first token of the answer; NaN for those that the server does not give."""
        top = self._top_logprobs
        if top is None:
            raise RequestFailedError(tr("the server gives no probabilities"))
        try:
            response = self._chat(prompt, max_tokens=1, logprobs=True, top_logprobs=top)
        except Exception as error:
            if not _is_unsupported_form(error):
                raise
            self._top_logprobs = next((each for each in _TOP_LOGPROBS if each < top), None)  # it may allow fewer
            raise RetryDifferentlyError from None
        logprobs = response.choices[0].logprobs
        if logprobs is None or not logprobs.content:
            self._top_logprobs = None
            raise RequestFailedError(tr("the server gives no probabilities"))
        found = np.zeros(len(candidates))
        place = {letter: i for i, letter in enumerate(candidates)}
        for each in logprobs.content[0].top_logprobs:
            if (letter := each.token.strip()) in place:
                found[place[letter]] += math.exp(each.logprob)  # "A" and " A" both
        with np.errstate(divide="ignore"):
            row = np.log(found)
        row[found == 0] = np.nan
        return row, _tokens(response)

    def _echo_log_p(self, pair: tuple[str | Prompt, str]) -> tuple[float, int]:
        """log p(candidate | prompt), from the echo of both."""
        candidate = encodable(pair[1])
        prompt, response = self._send(pair[0], lambda before: (before, self._complete(before + candidate, echo=True)))
        logprobs = response.choices[0].logprobs
        if logprobs is None:
            raise RequestFailedError(tr("the server gives no probabilities: use  via=chat"))
        own = range(len(prompt), len(prompt) + len(candidate))
        log_p = [p for p, at in zip(logprobs.token_logprobs, logprobs.text_offset, strict=True) if at in own]
        if None in log_p or not log_p:
            raise RequestFailedError(tr("the server does not echo the label's own tokens: use  via=chat"))
        return sum(log_p), _tokens(response)

    def _check_echo(self) -> None:
        """Raise UserError for a server whose echo gives each token the probability of the next one; checked once.

        The server generates a token and gives its probability; an echo after the same prompt must give the same one.
        """
        for known in () if self._echo_is_checked else _ECHO_PROMPTS:
            try:
                gap = self.api_client.send(self._echo_gap, known, 2 * (len(known) + _TEMPLATE_TOKENS))
            except RequestFailedError:
                return  # each row will give the reason
            if gap is not None and gap > _MAX_ECHO_GAP:
                raise UserError(
                    "backbone {name!r}: the server's echo gives a token the probability of another one ({gap:.1f} nats off), so "
                    "via=completions would score labels wrongly.",
                    "Use  via=chat ; or a server whose echo is right, such as vLLM. The echo of llama-cpp-python is wrong for "
                    "models without a token for the beginning of a text.",
                    name=self.name,
                    gap=gap,
                )
            if gap is not None:
                break
        self._echo_is_checked = True

    def _echo_gap(self, known: str) -> tuple[float | None, int]:
        """How far a token's log-probability in an echo is from that when it was generated, in nats.

        None where the server does not show it.
        """
        written = self._complete(known, echo=False)
        token, logprobs = written.choices[0].text, written.choices[0].logprobs
        if logprobs is None or not token.strip() or len(logprobs.token_logprobs or ()) != 1:
            return None, _tokens(written)
        echoed = self._complete(known + token, echo=True)
        echo_logprobs, start = echoed.choices[0].logprobs, len(known)
        pairs = (
            zip(echo_logprobs.token_logprobs, echo_logprobs.text_offset, strict=True)
            if echo_logprobs is not None
            else ()
        )
        log_p = [p for p, at in pairs if start <= at < start + len(token)]
        spent = _tokens(written) + _tokens(echoed)
        if len(log_p) != 1 or log_p[0] is None:  # the echo was split into other tokens
            return None, spent
        return abs(log_p[0] - logprobs.token_logprobs[0]), spent

    def _complete(self, prompt: str, *, echo: bool) -> Any:
        settings = {"max_tokens": 1, "logprobs": 1, "temperature": 0}
        return self._openai_client.completions.create(model=self.model, prompt=prompt, echo=echo, **settings)

    def _choose(self, prompt: str | Prompt, candidates: list[str]) -> tuple[str, int]:
        """The model's answer while its output is constrained to the candidates."""
        constraint = self._constraints[0] if self._constraints else None
        try:
            response = self._chat(
                prompt,
                max_tokens=_longest_answer(candidates),
                **(_CONSTRAINTS[constraint](candidates) if constraint else {}),
            )
        except Exception as error:
            if constraint is None or not _is_unsupported_form(error):
                raise
            self._constraints = [each for each in self._constraints if each != constraint]
            raise RetryDifferentlyError from None
        return response.choices[0].message.content or "", _tokens(response)

    def _generate(self, prompt: str | Prompt, max_tokens: int, seed: int) -> tuple[str, int]:
        response = self._chat(prompt, max_tokens=max_tokens, seed=seed)
        return response.choices[0].message.content or "", _tokens(response)

    def _chat(self, prompt: str | Prompt, **settings: Any) -> Any:
        chat = partial(self._openai_client.chat.completions.create, model=self.model, temperature=0, **settings)
        return self._send(prompt, lambda content: chat(messages=[{"role": "user", "content": content}]))

    @cached_property
    def _openai_client(self) -> Any:
        from openai import OpenAI

        key = os.environ.get("OPENAI_API_KEY")
        if key is None and self.host is not None:
            raise UserError(
                "backbone {name!r}: there is no key for {host}.",
                "export OPENAI_API_KEY=…",
                name=self.name,
                host=self.host,
            )
        client = OpenAI(base_url=self.url, api_key=key or "none", max_retries=0, timeout=self.settings["timeout_s"])
        weakref.finalize(self, client.close)  # connections are closed when the backbone is deleted
        return client


def _key(request: Any, item: Any) -> bytes:
    """A hash of a request and of what it is about."""
    settings = [request.func.__name__, sorted(request.keywords.items()), item]
    return hashlib.sha256(json.dumps(settings, default=astuple).encode()).digest()


def _without_middle(text: str, share: float) -> str:
    """A share of a text's characters from its beginning and its end, with a mark in place of the others.

    >>> _without_middle("abcdefghi", 2 / 3)
    'abc … ghi'
    """
    kept = int(len(text) * share)
    return f"{text[: kept - kept // 2]} … {text[len(text) - kept // 2 :]}"


def _is_too_long(error: Exception) -> bool:
    """Whether a server refuses a prompt because it is longer than the model reads."""
    message, code = str(error).lower(), getattr(error, "status_code", None)
    return code in (400, 413, 422, 500) and _TOO_LONG.search(message) is not None


def _is_unsupported_form(error: Exception) -> bool:
    """Whether a server refuses the form of a request and not its content: a prompt that is too long needs no other form."""
    message, code = str(error).lower(), getattr(error, "status_code", None)
    if _TOO_LONG.search(message):
        return False
    return code in (400, 422, 501) or (code == 500 and "validation error" in message)  # llama-cpp-python's words


def _schema(candidates: list[str]) -> dict[str, Any]:
    fields = {"label": {"type": "string", "enum": candidates}}
    schema = {"type": "object", "properties": fields, "required": ["label"], "additionalProperties": False}
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "label", "schema": schema, "strict": True}}
    }


def _literal(text: str) -> str:
    """A text quoted for GBNF: as in JSON, but without the surrogate pairs that ASCII JSON has for emoji."""
    return json.dumps(encodable(text), ensure_ascii=False)


def _grammar(candidates: list[str]) -> dict[str, Any]:
    return {"extra_body": {"grammar": "root ::= " + " | ".join(map(_literal, candidates))}}


_CONSTRAINTS: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "json schema": _schema,
    "grammar": _grammar,
    "guided choice": lambda candidates: {"extra_body": {"guided_choice": candidates}},
}


def _longest_answer(candidates: Sequence[str]) -> int:
    """How many tokens an answer may take: a token is at least a byte, and JSON puts some more around the name."""
    return _ANSWER_OVERHEAD + max(len(_literal(each).encode()) for each in candidates)


def _matching_candidate(answer: str, candidates: Sequence[str]) -> int | None:
    """The index of the candidate that an answer means, plain or as {"label": …}; None where it could mean two of them.

    The literal answer is compared first, then answer and candidates without differences of width and case, then without quotes,
    brackets and full stops around them. Signs that tell names apart, such as + and #, are never removed.

    >>> _matching_candidate('{"label": "B"}', ["A", "B"]), _matching_candidate(" a. ", ["A", "B"])
    (1, 0)
    >>> _matching_candidate("A or B", ["A", "B"]), _matching_candidate("C#", ["C", "Java"])
    (None, None)
    >>> _matching_candidate("C++", ["C", "C++"]), _matching_candidate("**.net**", [".NET", "NET"])
    (1, 0)
    """
    try:
        logprobs = json.loads(answer)
        answer = logprobs["label"] if isinstance(logprobs, dict) and isinstance(logprobs.get("label"), str) else answer
    except ValueError:
        pass
    for read in (str, str.strip, _folded, _unwrapped):
        found, wanted = read(answer), [read(each) for each in candidates]
        if found and found in wanted:
            return wanted.index(found) if wanted.count(found) == 1 else None
    return None


def _folded(name: str) -> str:
    """A name without differences of width and case; a minus sign becomes a hyphen.

    >>> _folded(" \uff23\uff0b\uff0b "), _folded("\u22121")
    ('c++', '-1')
    """
    return unicodedata.normalize("NFKC", name).replace("\u2212", "-").strip().casefold()


def _unwrapped(name: str) -> str:
    """The same without quotes, brackets or stars around the whole name, and without punctuation at its end."""
    inner, before = _folded(name), ""
    while inner != before:
        before = inner
        inner = inner[1:-1].strip() if len(inner) > 1 and inner[0] + inner[-1] in _PAIRS else inner.rstrip(_ENDS)
    return inner


def _tokens(response: Any) -> int:
    return int(getattr(getattr(response, "usage", None), "total_tokens", 0) or 0)


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as numbers. Raises UserError for an invalid value."""
    found: dict[str, Any] = {}
    for option, value in given.items():
        if option == "via":
            if value not in ("chat", "completions"):
                raise UserError(
                    "backbone {name!r}: via must be chat or completions, got {value!r}.",
                    "Leave it out for chat.",
                    name=name,
                    value=value,
                )
            found[option] = value
        elif value is not None:
            least = 0 if option in ("retries", "max_requests", "max_tokens") else 1
            if not str(value).isdecimal() or int(str(value)) < least:
                raise UserError(
                    "backbone {name!r}: {option} must be a whole number of {least} or more, got {value!r}.",
                    "Type  {name}?{option}={example}",
                    name=name,
                    option=option,
                    least=least,
                    value=value,
                    example=_DEFAULTS[option] or 1000,
                )
            found[option] = int(str(value))
    return found


BACKBONE = RemoteBackbone

"""Servers that speak OpenAI's protocol (vLLM, llama.cpp, Ollama, the cloud), through the client `openai`.

    openai:MODEL@http://127.0.0.1:8080/v1?concurrency=8&max_requests=1000&max_tokens=100000&timeout_s=60&retries=5&via=chat

via=chat (the default): the labels are options with a letter each, and the first token's likeliest candidates give their
probabilities; where the server gives none, or not for every letter, it is held to a choice.
via=completions: each label follows the prompt in a request of its own, and the server echoes every token's log-probability (vLLM,
llama-cpp-python).
A server reads control tokens wherever they are spelled, also in a message's content. So in the text of a `Prompt`, and in labels,
what models of all makers use as such ("<|im_end|>", "</s>", "[INST]", see `_CONTROL`) is spelled apart, by a space after its first
character; a plain string is sent as it is. Where a prompt is too long for the server, the middle of its text is left out until the
server takes it.
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
_TOP = (20, 5)  # likeliest tokens to ask for; some servers allow 5
_ABOUT = 64  # tokens that a chat template and an answer may add to a prompt
_CONTROL = re.compile(
    r"<(?=\|[^|<>\s]{1,60}\|>|\uff5c[^\uff5c<>]{1,60}\uff5c>"
    r"|/?(?:s|bos|eos|pad|unk|mask|cls|sep|think|tool_calls?|tool_response|(?:start|end)_of_(?:turn|image|text|utterance)|"
    r"extra_id_\d+|unused\d+|reserved_\d+|fim_\w+)>|<SYS>>|</SYS>>)"
    r"|\[(?=/?(?:INST|SEP|CLS|MASK|PAD|UNK|BOS|EOS|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\])"
)
_KNOWN = ("1 2 3 4 5 6 7 8", "A B C D E F", "Monday, Tuesday, Wednesday,")  # how they go on is tried first
_GAP = 0.2  # nats: rounding moves a token's log-probability by less
_SHORTER = 2 / 3  # of a text that a server cannot read whole is sent next
_TOO_LONG = re.compile(  # in what a server says
    r"context|too long|too large|too many tokens|maximum (?:input|length|number of tokens)|must have (?:less|fewer) than"
)
_LEAST = 16  # characters: a shorter text is not what is too long
_OUTSIDE = "api.openai.com"
_AROUND = 32  # tokens that JSON and a chat template put around a name
_PAIRS = {'""', "''", "``", "**", "__", "\u2018\u2019", "\u201c\u201d", "\u00ab\u00bb", "()", "[]", "{}", "<>"}
_ENDS = ".,;:!?)\u3002" + string.whitespace  # "B)" and "B." are B; what opens a name, as in ".NET", stays

Ask = partial[tuple[Any, int]]  # of what is asked: the answer, and the tokens that it took


class RemoteBackbone:
    """A model behind a server. Texts leave this machine where the server is another one: `host` says which."""

    scheme = "openai"
    abilities = frozenset({"score", "generate"})
    costly = True
    input = "text"
    needs: tuple[str, ...] = ("openai",)
    extra = "remote"
    options = tuple(_DEFAULTS)
    max_tokens: int | None = None  # of a text: the server's own limit, which it does not tell
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
        self._top: int | None = _TOP[0]  # what the server was found to allow; None: no log-probabilities
        self._answers: dict[bytes, Any] = {}
        self._shortened: dict[Prompt, Prompt] = {}  # what the server could not read whole, and what it was sent instead
        self._echo_is_known = False  # to be right
        self._holds = list(_HOLDS)  # ways to hold it to a choice that it has not refused yet

    @classmethod
    def recognizes(cls, folder: Path) -> bool:  # noqa: ARG003 - it lies in no folder
        """A server is no folder."""
        return False

    @classmethod
    def connect(cls, name: str) -> Self:
        """The backbone for  openai:model@url; nothing is sent yet. Raises UserError for a name that is none or holds a key."""
        model, _, url = name.removeprefix("openai:").partition("@")
        parts = urlsplit(url)
        if not model or (url and (parts.scheme not in ("http", "https") or not parts.netloc)):
            raise UserError(
                "backbone {name!r} names no model of a server.", "Type  openai:MODEL@http://HOST:PORT/v1", name=name
            )
        if "@" in parts.netloc:
            raise UserError(
                "backbone: a key does not belong into a name, which is written down.", "export OPENAI_API_KEY=…"
            )
        return cls(name)

    def with_options(self, given: Mapping[str, object]) -> Self:
        """The same model with other options and a budget of its own. Raises UserError for a value that is none."""
        return type(self)(self.name, given)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "settings": self.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["name"], state["settings"])  # type: ignore[misc]

    @property
    def fingerprint(self) -> str:
        """The server and the model by name: what is behind them may change without notice."""
        return hashlib.sha256(json.dumps(["openai", self.url, self.model, self.settings["via"]]).encode()).hexdigest()

    @property
    def host(self) -> str | None:
        """Where texts are sent, if that is not this machine."""
        found = urlsplit(self.url).hostname if self.url else _OUTSIDE
        return None if found is None or _is_here(found) else found

    @property
    def style(self) -> str:
        """How prompts are worded: letters to choose from, or a text to go on with."""
        return "continuation" if self.settings["via"] == "completions" else "options"

    def as_text(self, text: str) -> str:
        """The text with what may be a control token of the server's model spelled apart.

        >>> RemoteBackbone("openai:m").as_text("a <|im_end|> </s> [INST] <b>")
        'a < |im_end|> < /s> [ INST] <b>'
        """
        return _CONTROL.sub(r"\g<0> ", encodable(text))

    def chat(self, messages: list[dict[str, str]]) -> str | None:  # noqa: ARG002
        """None: completions are asked for without a template."""
        return None

    def spent(self) -> str:
        """What was asked of the server so far, in words."""
        return tr("{requests:,} requests, {tokens:,} tokens", requests=self.budget.requests, tokens=self.budget.tokens)

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate | prompt), (n, k) float32; NaN where the server does not tell all of a prompt's."""
        return self.scored(prompts, candidates)[0]

    def scored(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> tuple[Array, list[str | None]]:
        """Log-probabilities (n, k), and for each prompt the reason why there are none (its row is NaN), or None."""
        if self.settings["via"] == "completions":
            return self._of_pairs(prompts, candidates)
        if any(len(each) > 1 for each in candidates):  # names: their first tokens say too little
            reason = tr("names are chosen among, not scored")
            return np.full((len(prompts), len(candidates)), np.nan, dtype=np.float32), [reason] * len(prompts)
        return self._of_each(prompts, partial(self._first_token, candidates=candidates), len(candidates))

    def choose(
        self, prompts: Sequence[str | Prompt], candidates: Sequence[str]
    ) -> tuple[list[int | None], list[str | None]]:
        """The candidate that the model picks for each prompt, by its place, or None with the reason; it is never guessed.

        The server is held to the candidates in the first of these ways that it takes: a JSON schema, llama.cpp's grammar, vLLM's
        guided_choice, nothing. What comes back counts if it is one of them: by itself, else whatever the case and the marks
        around it, where that leaves no other candidate that it could be.
        """
        ask = partial(self._picked, candidates=list(candidates))
        answers = self._all(prompts, ask, extra=_longest_answer(candidates))
        places = [None if isinstance(each, RequestFailedError) else _place(each, candidates) for each in answers]
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
        """What the model answers to each prompt (n). Raises UserError where one of them got no answer."""
        answers = self._all(prompts, partial(self._wrote, max_tokens=max_tokens, seed=seed), extra=max_tokens)
        for each in answers:
            if isinstance(each, RequestFailedError):
                raise UserError(
                    "generate: a prompt got no answer: {each}.", "Try again; raise the budget or retries.", each=each
                )
        return answers

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """Words of each candidate (k,): its tokens are the server's secret."""
        return np.array([max(1, len(each.split())) for each in candidates], dtype=np.intp)

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:  # noqa: ARG002
        """How many of these prompts the server could not read whole, as far as they were asked: it does not tell its limit."""
        return sum(isinstance(each, Prompt) and self._neutral(each) in self._shortened for each in prompts)

    def unknown_share(self, texts: Sequence[str]) -> float:  # noqa: ARG002
        """Not known here."""
        return 0.0

    def _of_each(self, prompts: Sequence[str | Prompt], ask: Ask, k: int) -> tuple[Array, list[str | None]]:
        rows = np.full((len(prompts), k), np.nan, dtype=np.float32)
        why: list[str | None] = [None] * len(prompts)
        for i, answer in enumerate(self._all(prompts, ask)):
            if isinstance(answer, RequestFailedError):
                why[i] = str(answer)
            elif np.isnan(answer).any():
                why[i] = "the server tells too few tokens' probabilities"
            else:
                rows[i] = answer
        return rows, why

    def _of_pairs(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> tuple[Array, list[str | None]]:
        """As `_of_each`, from a request for each prompt with each candidate: not every server takes a list of them in one."""
        self._check_echo()
        pairs = [(self._neutral(prompt), candidate) for prompt in prompts for candidate in candidates]
        answers = np.array(self._all(pairs, partial(self._echoed)), dtype=object).reshape(len(prompts), len(candidates))
        why = [next((str(each) for each in row if isinstance(each, RequestFailedError)), None) for row in answers]
        rows = np.full(answers.shape, np.nan, dtype=np.float32)
        told = [reason is None for reason in why]
        rows[told] = answers[told].astype(np.float32)
        return rows, why

    def _all(self, asked: Sequence[Any], ask: Ask, *, extra: int = 0) -> list[Any]:
        """The answer to each thing asked (a prompt, or one with its candidate); what was answered once is not asked again."""
        asked = [self._neutral(thing) if isinstance(thing, Prompt) else thing for thing in asked]
        keys = [_key(ask, thing) for thing in asked]
        new = {key: thing for key, thing in zip(keys, asked, strict=True) if key not in self._answers}
        costs = [
            sum(len(str(each).encode("utf-8", "replace")) for each in (thing if isinstance(thing, tuple) else [thing]))
            + (_ABOUT + extra)
            for thing in new.values()
        ]
        found = dict(zip(new, self.api_client.send_all(ask, list(zip(new.values(), costs, strict=True))), strict=True))
        self._answers |= {key: each for key, each in found.items() if not isinstance(each, RequestFailedError)}
        return [found[key] if key in found else self._answers[key] for key in keys]

    def _neutral(self, prompt: str | Prompt) -> str | Prompt:
        """The prompt as it is sent: in its text no control token is spelled."""
        return prompt if isinstance(prompt, str) else replace(prompt, text=self.as_text(prompt.text))

    def _sent(self, prompt: str | Prompt, send: Callable[[str], Any]) -> Any:
        """What `send` gets for the prompt; of a text that is too long for the server the middle is left out from now on."""
        said = self._shortened.get(prompt, prompt) if isinstance(prompt, Prompt) else prompt
        try:
            return send(encodable(str(said)))
        except Exception as error:
            if not (isinstance(prompt, Prompt) and isinstance(said, Prompt) and _says_too_long(error)):
                raise
            if len(said.text) < _LEAST:
                raise
            self._shortened[prompt] = replace(said, text=_without_middle(said.text, _SHORTER))
            raise RetryDifferentlyError from None

    def _first_token(self, prompt: str | Prompt, candidates: Sequence[str]) -> tuple[Any, int]:
        """log p (k,) of one-letter candidates as the first token of the answer; NaN for those that were not told."""
        top = self._top
        if top is None:
            raise RequestFailedError(tr("the server tells no probabilities"))
        try:
            said = self._chat(prompt, max_tokens=1, logprobs=True, top_logprobs=top)
        except Exception as error:
            if not _refuses_the_way(error):
                raise
            self._top = next((each for each in _TOP if each < top), None)  # it may allow fewer
            raise RetryDifferentlyError from None
        told = said.choices[0].logprobs
        if told is None or not told.content:
            self._top = None
            raise RequestFailedError(tr("the server tells no probabilities"))
        found = np.zeros(len(candidates))
        place = {letter: i for i, letter in enumerate(candidates)}
        for each in told.content[0].top_logprobs:
            if (letter := each.token.strip()) in place:
                found[place[letter]] += math.exp(each.logprob)  # "A" and " A" both
        with np.errstate(divide="ignore"):
            row = np.log(found)
        row[found == 0] = np.nan
        return row, _tokens(said)

    def _echoed(self, pair: tuple[str | Prompt, str]) -> tuple[float, int]:
        """log p(candidate | prompt), from the echo of both."""
        candidate = encodable(pair[1])
        prompt, said = self._sent(pair[0], lambda before: (before, self._complete(before + candidate, echo=True)))
        told = said.choices[0].logprobs
        if told is None:
            raise RequestFailedError(tr("the server tells no probabilities: take  via=chat"))
        own = range(len(prompt), len(prompt) + len(candidate))
        steps = [p for p, at in zip(told.token_logprobs, told.text_offset, strict=True) if at in own]
        if None in steps or not steps:
            raise RequestFailedError(tr("the server does not echo the label's own tokens: take  via=chat"))
        return sum(steps), _tokens(said)

    def _check_echo(self) -> None:
        """Raise UserError for a server whose echo gives each token the probability of the one after it; tried once.

        The server writes a token, and says how probable it was; echoed behind the same prompt, it must be as probable.
        """
        for known in () if self._echo_is_known else _KNOWN:
            try:
                gap = self.api_client.send(self._echo_gap, known, 2 * (len(known) + _ABOUT))
            except RequestFailedError:
                return  # the rows will say why
            if gap is not None and gap > _GAP:
                raise UserError(
                    "backbone {name!r}: the server's echo gives a token the probability of another one ({gap:.1f} nats off), so "
                    "via=completions would score labels wrongly.",
                    "Take  via=chat ; or a server that echoes rightly, such as vLLM. llama-cpp-python does not for models "
                    "without a first token.",
                    name=self.name,
                    gap=gap,
                )
            if gap is not None:
                break
        self._echo_is_known = True

    def _echo_gap(self, known: str) -> tuple[float | None, int]:
        """Nats between what the server says of a token that it writes and of the same one in an echo; None where it cannot tell."""
        written = self._complete(known, echo=False)
        token, told = written.choices[0].text, written.choices[0].logprobs
        if told is None or not token.strip() or len(told.token_logprobs or ()) != 1:
            return None, _tokens(written)
        echoed = self._complete(known + token, echo=True)
        said, start = echoed.choices[0].logprobs, len(known)
        pairs = zip(said.token_logprobs, said.text_offset, strict=True) if said is not None else ()
        steps = [p for p, at in pairs if start <= at < start + len(token)]
        spent = _tokens(written) + _tokens(echoed)
        if len(steps) != 1 or steps[0] is None:  # it was read as other tokens
            return None, spent
        return abs(steps[0] - told.token_logprobs[0]), spent

    def _complete(self, prompt: str, *, echo: bool) -> Any:
        how = {"max_tokens": 1, "logprobs": 1, "temperature": 0}
        return self._client.completions.create(model=self.model, prompt=prompt, echo=echo, **how)

    def _picked(self, prompt: str | Prompt, candidates: list[str]) -> tuple[str, int]:
        """What the model answers while it is held to the candidates."""
        hold = self._holds[0] if self._holds else None
        try:
            said = self._chat(
                prompt, max_tokens=_longest_answer(candidates), **(_HOLDS[hold](candidates) if hold else {})
            )
        except Exception as error:
            if hold is None or not _refuses_the_way(error):
                raise
            self._holds = [each for each in self._holds if each != hold]
            raise RetryDifferentlyError from None
        return said.choices[0].message.content or "", _tokens(said)

    def _wrote(self, prompt: str | Prompt, max_tokens: int, seed: int) -> tuple[str, int]:
        said = self._chat(prompt, max_tokens=max_tokens, seed=seed)
        return said.choices[0].message.content or "", _tokens(said)

    def _chat(self, prompt: str | Prompt, **how: Any) -> Any:
        chat = partial(self._client.chat.completions.create, model=self.model, temperature=0, **how)
        return self._sent(prompt, lambda said: chat(messages=[{"role": "user", "content": said}]))

    @cached_property
    def _client(self) -> Any:
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
        weakref.finalize(self, client.close)  # its connections end with the backbone
        return client


def _key(ask: Any, thing: Any) -> bytes:
    """What was asked, as a hash."""
    how = [ask.func.__name__, sorted(ask.keywords.items()), thing]
    return hashlib.sha256(json.dumps(how, default=astuple).encode()).digest()


def _without_middle(text: str, share: float) -> str:
    """A share of a text's characters from its beginning and its end, with a mark where the others were.

    >>> _without_middle("abcdefghi", 2 / 3)
    'abc … ghi'
    """
    kept = int(len(text) * share)
    return f"{text[: kept - kept // 2]} … {text[len(text) - kept // 2 :]}"


def _says_too_long(error: Exception) -> bool:
    """Whether a server refuses a prompt because it is longer than what the model reads."""
    message, code = str(error).lower(), getattr(error, "status_code", None)
    return code in (400, 413, 422, 500) and _TOO_LONG.search(message) is not None


def _refuses_the_way(error: Exception) -> bool:
    """Whether a server refuses how it is asked, and not what: a prompt that is too long is no reason to ask otherwise."""
    message, code = str(error).lower(), getattr(error, "status_code", None)
    if _TOO_LONG.search(message):
        return False
    return code in (400, 422, 501) or (code == 500 and "validation error" in message)  # so says llama-cpp-python


def _schema(candidates: list[str]) -> dict[str, Any]:
    fields = {"label": {"type": "string", "enum": candidates}}
    schema = {"type": "object", "properties": fields, "required": ["label"], "additionalProperties": False}
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "label", "schema": schema, "strict": True}}
    }


def _literal(text: str) -> str:
    """A text as GBNF quotes it: as JSON does, but without the halves of surrogate pairs that JSON's ASCII has for emoji."""
    return json.dumps(encodable(text), ensure_ascii=False)


def _grammar(candidates: list[str]) -> dict[str, Any]:
    return {"extra_body": {"grammar": "root ::= " + " | ".join(map(_literal, candidates))}}


_HOLDS: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "json schema": _schema,
    "grammar": _grammar,
    "guided choice": lambda candidates: {"extra_body": {"guided_choice": candidates}},
}


def _longest_answer(candidates: Sequence[str]) -> int:
    """Tokens that an answer may take: a token is at least a byte, and JSON puts some more around the name."""
    return _AROUND + max(len(_literal(each).encode()) for each in candidates)


def _place(answer: str, candidates: Sequence[str]) -> int | None:
    """Which candidate an answer is: by itself, or as {"label": …}. What could be two of them is none.

    The answer itself counts first, then what is left of both sides without differences of width and case, then without quotes,
    brackets and full stops around the whole. Signs that tell names apart, such as + and #, are never taken off.

    >>> _place('{"label": "B"}', ["A", "B"]), _place(" a. ", ["A", "B"]), _place("A or B", ["A", "B"])
    (1, 0, None)
    >>> _place("C++", ["C", "C++"]), _place("C#", ["C", "Java"]), _place("**.net**", [".NET", "NET"])
    (1, None, 0)
    """
    try:
        told = json.loads(answer)
        answer = told["label"] if isinstance(told, dict) and isinstance(told.get("label"), str) else answer
    except ValueError:
        pass
    for read in (str, str.strip, _folded, _unwrapped):
        found, wanted = read(answer), [read(each) for each in candidates]
        if found and found in wanted:
            return wanted.index(found) if wanted.count(found) == 1 else None
    return None


def _folded(name: str) -> str:
    """A name whatever its width and case; a minus is a hyphen.

    >>> _folded(" \uff23\uff0b\uff0b "), _folded("\u22121")
    ('c++', '-1')
    """
    return unicodedata.normalize("NFKC", name).replace("\u2212", "-").strip().casefold()


def _unwrapped(name: str) -> str:
    """The same without what people and models put around a whole name (quotes, brackets, stars) and marks at its end."""
    inner, before = _folded(name), ""
    while inner != before:
        before = inner
        inner = inner[1:-1].strip() if len(inner) > 1 and inner[0] + inner[-1] in _PAIRS else inner.rstrip(_ENDS)
    return inner


def _tokens(said: Any) -> int:
    return int(getattr(getattr(said, "usage", None), "total_tokens", 0) or 0)


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as numbers. Raises UserError for a value that is none."""
    found: dict[str, Any] = {}
    for option, value in given.items():
        if option == "via":
            if value not in ("chat", "completions"):
                raise UserError(
                    "backbone {name!r}: via is chat or completions, got {value!r}.",
                    "Leave it out for chat.",
                    name=name,
                    value=value,
                )
            found[option] = value
        elif value is not None:
            least = 0 if option in ("retries", "max_requests", "max_tokens") else 1
            if not str(value).isdecimal() or int(str(value)) < least:
                raise UserError(
                    "backbone {name!r}: {option} must be a whole number from {least}, got {value!r}.",
                    "Type  {name}?{option}={DEFAULTS}",
                    name=name,
                    option=option,
                    least=least,
                    value=value,
                    DEFAULTS=_DEFAULTS[option] or 1000,
                )
            found[option] = int(str(value))
    return found


BACKBONE = RemoteBackbone

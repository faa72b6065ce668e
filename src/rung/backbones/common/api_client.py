"""Requests to a server that may be busy, slow or broken: a few at once, tried again, within a budget, each counted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

from rung.errors import UserError
from rung.messages import tr, tr_n

_FIRST_WAIT_S = 0.5  # doubled at each try, with up to half of it more at random so that waiting requests spread
_LONGEST_WAIT_S = 60.0


class UnansweredError(Exception):
    """A request that got no answer; the message is the reason that its row gets."""


class RefusedError(UnansweredError):
    """The server refused a request as it was put (HTTP 400 or 422)."""


class AgainError(Exception):
    """The server cannot be asked in this way: the same thing is to be asked in another one, which `send` knows by now."""


@dataclass
class Budget:
    """How many requests and tokens may be spent; every try counts, and what a request may cost at most is set aside before it."""

    max_requests: int | None = None
    max_tokens: int | None = None
    requests: int = 0
    tokens: int = 0
    _held: int = 0
    _settled: Condition = field(default_factory=Condition, repr=False)

    def take(self, most: int) -> None:
        """Set aside one request of at most so many tokens; waits while others that are under way may give some back.

        Raises UnansweredError where that could exceed the budget.
        """
        with self._settled:
            while self.max_tokens is not None and self.tokens + self._held + most > self.max_tokens:
                if not self._held:
                    raise UnansweredError(tr("the budget of {n} tokens is spent", n=self.max_tokens))
                self._settled.wait()
            if self.max_requests is not None and self.requests >= self.max_requests:
                raise UnansweredError(tr("the budget of {n} requests is spent", n=self.max_requests))
            self.requests += 1
            self._held += most

    def settle(self, most: int, spent: int) -> None:
        """Give back what was set aside, and count what the server says that it took."""
        with self._settled:
            self._held -= most
            self.tokens += spent
            self._settled.notify_all()


@dataclass
class Asker:
    """Sends requests, at most `concurrency` at once.

    Each is tried again up to `retries` times on 429, 5xx, timeouts and broken answers. It waits as long as the server asks for
    (Retry-After), else twice as long each time.
    """

    budget: Budget
    concurrency: int = 8
    retries: int = 5
    wait: Callable[[float], None] = time.sleep
    answered: int = 0  # requests that were answered at all, whatever the answer

    def all(self, send: Callable[[Any], Any], asked: Sequence[tuple[Any, int]]) -> list[Any]:
        """What `send` makes of each thing asked, in order; an UnansweredError stands for itself.

        asked: what is sent, and how many tokens it costs at most. Raises UserError for what no further request would cure.
        """
        with ThreadPoolExecutor(max(1, min(self.concurrency, len(asked)))) as threads:
            futures = [threads.submit(self.one, send, thing, most) for thing, most in asked]
            try:
                return [_outcome(future.result) for future in futures]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def one(self, send: Callable[[Any], Any], thing: Any, most: int) -> Any:
        """The answer to one request. Raises UnansweredError or UserError."""
        attempt = 0
        while True:
            self.budget.take(most)
            spent = 0
            try:
                answer, spent = send(thing)
                self.answered += 1
                return answer
            except AgainError:
                continue
            except Exception as error:  # noqa: BLE001 - what a client raises is sorted out in one place
                reason, delay = self._sorted(error, attempt)
            finally:
                self.budget.settle(most, spent)
            attempt += 1
            if attempt > self.retries:
                raise UnansweredError(tr_n("{reason}, once", "{reason}, {n} times", n=attempt, reason=reason))
            self.wait(delay)

    def _sorted(self, error: Exception, attempt: int) -> tuple[str, float]:
        """Why a request failed and how long to wait before the next try; raises where another try would not help."""
        import openai

        if isinstance(error, UserError):  # which is a ValueError too
            raise error
        delay = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * (1 + random.random() / 2)  # noqa: S311
        if isinstance(error, openai.APITimeoutError):
            return tr("the server did not answer in time"), delay
        if isinstance(error, openai.APIConnectionError):
            if not self.answered and attempt == self.retries:
                raise UserError(
                    "no server answers at {host}:{port}.",
                    "Start it, or check the address behind the @ of  openai:model@http://host:port/v1",
                    host=error.request.url.host,
                    port=error.request.url.port or "",
                ) from None
            return tr("the connection to the server broke"), delay
        if isinstance(error, openai.APIStatusError):
            self.answered += 1
            return self._of_status(error, delay)
        if isinstance(error, ValueError | KeyError | TypeError | AttributeError | IndexError | openai.APIError):
            return tr("the server's answer cannot be read"), delay
        raise error

    def _of_status(self, error: Any, delay: float) -> tuple[str, float]:
        code = error.status_code
        if code in (401, 403):
            raise UserError("the server refuses the key (HTTP {code}).", "export OPENAI_API_KEY=…", code=code) from None
        if code == 404:
            raise UserError(
                "the server knows no such model or path (HTTP 404): {error}",
                "Check the name before the @ and the path behind it, which mostly ends in /v1",
                error=_short(error),
            ) from None
        if code == 429 or code >= 500 or code == 408:
            asked = _seconds(error.response.headers.get("retry-after"))
            wait_s = delay if asked is None else min(asked, _LONGEST_WAIT_S)
            return tr("the server answered HTTP {code}", code=code), wait_s
        raise RefusedError(tr("the server refuses the request (HTTP {code}): {error}", code=code, error=_short(error)))


def _outcome(result: Callable[[], Any]) -> Any:
    try:
        return result()
    except UnansweredError as reason:
        return reason


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None


def _short(error: Any) -> str:
    return " ".join(str(getattr(error, "message", error)).split())[:200]

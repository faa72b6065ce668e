"""Requests to a server that may be busy, slow or broken: sent in parallel, retried, counted, and kept within a budget."""

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

_FIRST_WAIT_S = (
    0.5  # doubled at each retry; up to half of it is added at random, so that retries do not arrive together
)
_LONGEST_WAIT_S = 60.0


class RequestFailedError(Exception):
    """A request that got no answer; the message is the reason that its row gets."""


class RequestRefusedError(RequestFailedError):
    """The server refused the content of a request (HTTP 400 or 422)."""


class RetryDifferentlyError(Exception):
    """The server does not take a request in this form; `send` has noted this and will use another form at the next call."""


@dataclass
class Budget:
    """How many requests and tokens may be spent. Every try counts; the most that a request may cost is reserved before it."""

    max_requests: int | None = None
    max_tokens: int | None = None
    requests: int = 0
    tokens: int = 0
    _reserved: int = 0
    _settled: Condition = field(default_factory=Condition, repr=False)

    def reserve(self, max_cost: int) -> None:
        """Reserve one request of at most `max_cost` tokens; waits while running requests may still give some back.

        Raises RequestFailedError where the request could exceed the budget.
        """
        with self._settled:
            while self.max_tokens is not None and self.tokens + self._reserved + max_cost > self.max_tokens:
                if not self._reserved:
                    raise RequestFailedError(tr("the budget of {n} tokens is spent", n=self.max_tokens))
                self._settled.wait()
            if self.max_requests is not None and self.requests >= self.max_requests:
                raise RequestFailedError(tr("the budget of {n} requests is spent", n=self.max_requests))
            self.requests += 1
            self._reserved += max_cost

    def settle(self, max_cost: int, spent: int) -> None:
        """Release the reservation, and count the tokens that the server reports as spent."""
        with self._settled:
            self._reserved -= max_cost
            self.tokens += spent
            self._settled.notify_all()


@dataclass
class ApiClient:
    """Sends requests, at most `concurrency` at once.

    Each is retried up to `retries` times after HTTP 429 and 5xx, timeouts and malformed answers. The wait before a retry is
    what the server asks for (Retry-After), else twice the wait before.
    """

    budget: Budget
    concurrency: int = 8
    retries: int = 5
    wait: Callable[[float], None] = time.sleep
    responses: int = 0  # requests to which the server responded at all, whatever it said

    def send_all(self, send: Callable[[Any], Any], requests: Sequence[tuple[Any, int]]) -> list[Any]:
        """The answer of `send` to each request, in order; in place of a missing answer stands its RequestFailedError.

        requests: what is sent, and how many tokens it costs at most. Raises UserError for a fault that every request would meet.
        """
        with ThreadPoolExecutor(max(1, min(self.concurrency, len(requests)))) as threads:
            futures = [threads.submit(self.send, send, content, max_cost) for content, max_cost in requests]
            try:
                return [_result_or_failure(future.result) for future in futures]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def send(self, send: Callable[[Any], Any], content: Any, max_cost: int) -> Any:
        """The answer to one request. Raises RequestFailedError or UserError."""
        attempt = 0
        while True:
            self.budget.reserve(max_cost)
            spent = 0
            try:
                answer, spent = send(content)
                self.responses += 1
                return answer
            except RetryDifferentlyError:
                continue
            except Exception as error:  # noqa: BLE001 - all that a client raises is classified in one place
                reason, delay_s = self._reason_and_delay(error, attempt)
            finally:
                self.budget.settle(max_cost, spent)
            attempt += 1
            if attempt > self.retries:
                raise RequestFailedError(tr_n("{reason}, once", "{reason}, {n} times", n=attempt, reason=reason))
            self.wait(delay_s)

    def _reason_and_delay(self, error: Exception, attempt: int) -> tuple[str, float]:
        """Why a request failed, and how long to wait before the next try; raises where another try would not help."""
        import openai

        if isinstance(error, UserError):  # which is a ValueError too
            raise error
        delay_s = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * (1 + random.random() / 2)  # noqa: S311
        if isinstance(error, openai.APITimeoutError):
            return tr("the server did not answer in time"), delay_s
        if isinstance(error, openai.APIConnectionError):
            if not self.responses and attempt == self.retries:
                raise UserError(
                    "no server answers at {host}:{port}.",
                    "Start it, or check the address behind the @ of  openai:model@http://host:port/v1",
                    host=error.request.url.host,
                    port=error.request.url.port or "",
                ) from None
            return tr("the connection to the server broke"), delay_s
        if isinstance(error, openai.APIStatusError):
            self.responses += 1
            return _status_reason_and_delay(error, delay_s)
        if isinstance(error, ValueError | KeyError | TypeError | AttributeError | IndexError | openai.APIError):
            return tr("the server's answer cannot be read"), delay_s
        raise error


def _status_reason_and_delay(error: Any, delay_s: float) -> tuple[str, float]:
    """The same for an HTTP status other than success."""
    code = error.status_code
    if code in (401, 403):
        raise UserError("the server refuses the key (HTTP {code}).", "export OPENAI_API_KEY=…", code=code) from None
    if code == 404:
        raise UserError(
            "the server has no such model or path (HTTP 404): {error}",
            "Check the name before the @ and the path after it, which usually ends in /v1",
            error=_short_message(error),
        ) from None
    if code == 429 or code >= 500 or code == 408:
        requested_s = _seconds(error.response.headers.get("retry-after"))
        wait_s = delay_s if requested_s is None else min(requested_s, _LONGEST_WAIT_S)
        return tr("the server answered HTTP {code}", code=code), wait_s
    raise RequestRefusedError(
        tr("the server refuses the request (HTTP {code}): {error}", code=code, error=_short_message(error))
    )


def _result_or_failure(result: Callable[[], Any]) -> Any:
    try:
        return result()
    except RequestFailedError as failure:
        return failure


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None


def _short_message(error: Any) -> str:
    return " ".join(str(getattr(error, "message", error)).split())[:200]

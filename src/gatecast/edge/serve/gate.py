"""The bounds of every request, whatever it asks for: the size of its body, its time, and how many run at once."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatecast.edge.serve.auth import OPEN
from gatecast.edge.serve.problems import problem
from gatecast.edge.serve.settings import Limits

ALWAYS = OPEN | {"/metrics"}
"""What is answered however much is in hand."""
RETRY_AFTER = "1"
CLOSE = {"Connection": "close"}


class TooLargeError(Exception):
    """A body that goes on beyond its limit."""


class Gate:
    """Takes in so many requests at once, reads a body before it is worked on, and answers in time.

    Work that is late is told so (408) and finished all the same: its slot is free when it ends, so that late requests
    cannot pile up. `inside`: the work in hand.
    """

    def __init__(self, app: ASGIApp, limits: Limits, inside: set[asyncio.Task[None]]) -> None:
        self.app, self.limits, self.inside = app, limits, inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: refuse, or pass on with the whole body."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            return await self.app(scope, receive, send)
        if len(self.inside) >= self.limits.requests:
            told = problem(429, "too many requests at once", "ask again in a moment", {"Retry-After": RETRY_AFTER})
            return await told(scope, receive, send)
        task = asyncio.create_task(self._work(scope, receive, once := _Once(send)))
        self.inside.add(task)
        task.add_done_callback(self.inside.discard)
        done, _ = await asyncio.wait({task}, timeout=self.limits.seconds)
        if done:
            return task.result()
        if once.reading:
            task.cancel()
        if once.close():
            hint = "ask for less; what was sent may have been taken in, and sending it again is harmless"
            late = problem(408, f"not done after {self.limits.seconds:g} seconds", hint, CLOSE)
            await late(scope, receive, send)
        return None

    async def _work(self, scope: Scope, receive: Receive, send: _Once) -> None:
        try:
            body = await self._body(scope, receive)
        except TooLargeError:
            hint = "send less at once, or start the server with a larger --max-body"
            told = problem(413, f"the body has more than {self.limits.body} bytes", hint, CLOSE)
            return await told(scope, receive, send)
        send.reading = False
        if body is not None:
            await self.app(scope, _Replay(body, receive), send)
        return None

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, as far as it may go; None where the client went away."""
        if int(Headers(scope=scope).get("content-length", "0")) > self.limits.body:
            raise TooLargeError
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.limits.body:
                raise TooLargeError
            if not message.get("more_body", False):
                return b"".join(parts)


class _Once:
    """Sends what the work sends, until the answer was given in its place."""

    def __init__(self, send: Send) -> None:
        self.send, self.started, self.closed, self.reading = send, False, False, True

    def close(self) -> bool:
        """Send nothing from now on; whether nothing was sent so far."""
        self.closed = not self.started
        return self.closed

    async def __call__(self, message: Message) -> None:
        """ASGI: send."""
        if not self.closed:
            self.started = True
            await self.send(message)


class _Replay:
    """Gives a body that was read to who reads it next; after it, what the client does."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self.body: bytes | None = body
        self.receive = receive

    async def __call__(self) -> Any:
        """ASGI: receive."""
        if self.body is None:
            return await self.receive()
        body, self.body = self.body, None
        return {"type": "http.request", "body": body, "more_body": False}

"""The application: its layers, its errors and its page."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from threading import Lock
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware import Middleware
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gatecast.edge.serve import routes, schemas
from gatecast.edge.serve.auth import Guard
from gatecast.edge.serve.examples import with_examples
from gatecast.edge.serve.gate import Gate
from gatecast.edge.serve.live import Live
from gatecast.edge.serve.metrics import Counting, Metrics
from gatecast.edge.serve.problems import DESCRIBED, STATUSES, answer_to, invalid, problem
from gatecast.errors import GatecastError

PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
SPARE_THREADS = 8
"""Beside those of the requests that are worked on: for what is always answered, such as /health."""
ANSWERS: dict[type[Exception], Callable[[Any], Response]] = {
    GatecastError: answer_to,
    RequestValidationError: lambda error: problem(422, invalid(error.errors()), DESCRIBED),
    HTTPException: lambda error: problem(error.status_code, str(error.detail), DESCRIBED, error.headers),
    sqlite3.Error: lambda error: problem(503, f"the state cannot be read: {error}", "look at its disk"),
    Exception: lambda _: problem(500, "something failed that should not", "see the server's log"),
}
"""The answer to every error, the nearest class first."""


def create_app(live: Live, token: str | None = None, host: str = "127.0.0.1") -> FastAPI:
    """The application over these live series; without a token it answers this machine alone."""
    metrics = Metrics()
    inside: set[asyncio.Task[None]] = set()
    metrics.follow("gatecast_series", "Live series.", lambda: len(live.ordered))
    layers = [
        Middleware(Encoded),
        Middleware(Counting, metrics=metrics),
        Middleware(Guard, token=token, host=host),
        Middleware(Gate, limits=live.limits, inside=inside),
    ]
    app = FastAPI(
        title="Gatecast",
        version=version("gatecast"),
        description="Forecasts of live series by one fitted model.",
        middleware=layers,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        responses={status: {"model": schemas.Problem, "description": text} for status, text in STATUSES.items()},
    )
    for kind, answer in ANSWERS.items():
        app.add_exception_handler(kind, lambda _, error, answer=answer: answer(error))
    app.state.live, app.state.metrics, app.state.inside = live, metrics, inside
    bearer = [] if token is None else [Depends(HTTPBearer(auto_error=False))]  # `Guard` is who refuses
    for each, doors in ((routes.router, bearer), (routes.measures, bearer), (routes.about, [])):
        app.include_router(each, dependencies=doors)
    plain, lock = app.openapi, Lock()

    def described() -> dict[str, Any]:
        with lock:
            return app.openapi_schema or with_examples(plain(), live)

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation tells to
    for address in PAGE:
        app.add_api_route(address, _page, include_in_schema=False)
    return app


class Encoded:
    """Leaves addresses percent-encoded, so that a slash within a name is told from one behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: pass on."""
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        await self.app(scope, receive, send)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    live: Live = app.state.live
    anyio.to_thread.current_default_thread_limiter().total_tokens = live.limits.requests + SPARE_THREADS
    yield
    if app.state.inside:
        await asyncio.wait(app.state.inside)
    await anyio.to_thread.run_sync(live.close)


def _page(request: Request) -> Response:
    name, kind = PAGE[request.url.path]
    return Response((files("gatecast.edge.serve") / name).read_bytes(), headers=POLICY, media_type=kind)

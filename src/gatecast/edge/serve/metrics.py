"""What the server counts, for Prometheus: requests by route, time, work in hand, observations and live series."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OTHER = "other"
"""What is counted under no route: addresses that are not there, and requests refused before a route was looked for."""

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})


class Metrics:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gatecast_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "gatecast_request_seconds", "Time from request to answer.", ["route"], registry=self.registry
        )
        self.in_hand = Gauge("gatecast_requests_in_hand", "Requests not yet answered.", registry=self.registry)
        self.rows = Counter("gatecast_rows", "Rows observed, by outcome.", ["outcome"], registry=self.registry)

    def took(self, outcomes: Iterable[str]) -> None:
        """Count rows by what became of them."""
        for outcome in outcomes:
            self.rows.labels(outcome).inc()

    def follow(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that asks for its value when it is read."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self.registry)


class Counting:
    """Counts every request under its route's pattern, never under its own address: the number of routes is bounded."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: pass on, and count."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status, start = 500, time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with self.metrics.in_hand.track_inprogress():
                await self.app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            method = scope["method"] if route != OTHER and scope["method"] in METHODS else OTHER
            self.metrics.requests.labels(route, method, status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - start)
        return None

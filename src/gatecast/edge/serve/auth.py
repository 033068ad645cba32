"""Who may ask: a bearer token from a file that only its owner reads, or, without one, this machine alone."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import stat
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gatecast.edge.serve.problems import problem
from gatecast.errors import SpecError

SHORTEST = 16
"""Characters of a token, at least."""
OPEN = frozenset({"/", "/page.js", "/page.css", "/health", "/ready"})
"""What is answered without a token: no data, and the page that asks its reader for one."""
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?")
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def read_token(path: Path) -> str:
    """The first line of a token file; SpecError where others may read it, or where it is too short to be secret."""
    try:
        mode, lines = path.stat().st_mode, path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise SpecError(f"the token file '{path}' cannot be read: {cause}", "name a text file of one line") from cause
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SpecError(f"others may use the token file '{path}'", f"chmod 600 '{path}'")
    token = lines[0].strip() if lines else ""
    if len(token) < SHORTEST or not (token.isascii() and token.isprintable() and " " not in token):
        raise SpecError(
            f"the first line of '{path}' is no token: expected at least {SHORTEST} printable signs without a space",
            f"openssl rand -hex 32 > '{path}'",
        )
    return token


def check_address(host: str, token: str | None) -> None:
    """Raise SpecError for an address that others reach where no token keeps them out."""
    if token is None and not is_local(host):
        raise SpecError(
            f"{host} can be reached from other machines, and there is no token",
            "add --token-file FILE, or leave --host at 127.0.0.1",
        )


def is_local(host: str) -> bool:
    """Whether an address is this machine's own.

    >>> is_local("127.0.0.1"), is_local("::1"), is_local("localhost"), is_local("0.0.0.0"), is_local("example.org")
    (True, True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets a request in that bears the token; without a token, one whose Host header names this machine.

    The second keeps out a page of another site whose name was pointed at this machine (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: str | None, host: str) -> None:
        self.app = app
        self.digest = None if token is None else _digest(token)
        self.names = {*LOCAL_NAMES, f"[{host}]" if ":" in host else host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: refuse, or pass on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        if self.digest is None and _name(headers.get("host", "")) not in self.names:
            told = problem(421, "the Host header names another machine", "ask for http://127.0.0.1, or set a token")
            return await told(scope, receive, send)
        if self.digest is not None and scope["path"] not in OPEN and not self._knows(headers.get("authorization", "")):
            sent = {"WWW-Authenticate": "Bearer"}
            told = problem(401, "no token, or a wrong one", "send the header Authorization: Bearer TOKEN", sent)
            return await told(scope, receive, send)
        return await self.app(scope, receive, send)

    def _knows(self, header: str) -> bool:
        """Compares digests in constant time, so that neither length nor a common beginning shows."""
        scheme, _, given = header.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(_digest(given.strip()), self.digest or b"")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    found = HOST.fullmatch(host)
    return found[1].lower() if found else ""

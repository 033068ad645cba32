"""The process: an address to listen at, and a server that ends with its work done."""

from __future__ import annotations

import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0 takes a free one. Raises OSError where the address is not to be had.

    asyncio sends an answer's last part at once only where the socket names its protocol; without it, every answer
    waits for the client's delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def address(listening: socket.socket) -> str:
    """Where a socket listens, as a browser takes it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run(app: FastAPI, listening: socket.socket, verbose: bool) -> None:
    """Answer requests until SIGTERM (SystemExit with 0) or Ctrl-C (KeyboardInterrupt); what runs then is finished."""
    level = "info" if verbose else "warning"
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_level=level,
        access_log=verbose,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listening])


def end_on_sigterm() -> None:
    """Let SIGTERM end this process with code 0 from now on; while it serves, once the work is done."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

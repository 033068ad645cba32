"""The command `gatecast serve`: live series and forecasts over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatecast.edge.options import Whole, expanded, option
from gatecast.edge.serve.settings import Limits
from gatecast.edge.text import plain
from gatecast.errors import SpecError, import_extra

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


@expanded
def serve(
    *,
    model: Annotated[Path, typer.Argument(help="A model file that `gatecast fit` or `run -o` wrote.")],
    db: Annotated[
        Path | None, option("Keep the live series in this SQLite file; without it, in memory.", metavar="FILE")
    ] = None,
    empty: Annotated[bool, option("Begin without the series that the model was fitted to.", "--empty")] = False,
    host: Annotated[str, typer.Option(help="Address to listen at.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0: any.", metavar="N", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, option("File of the token that requests must bear; chmod 600.", metavar="FILE")
    ] = None,
    limits: Limits,
    threads: Annotated[Whole, option("Cores to use; all by default.", metavar="N", least=1)] = None,
    verbose: Annotated[bool, option("Log every request on stderr.", "--verbose", "-v")] = False,
) -> None:
    """Serve forecasts over HTTP: series are observed row by row, and survive a crash of the server with --db.

    The page at / shows a series as it goes on. Listens on this machine alone, unless there is a token.
    """
    for package in PACKAGES:
        import_extra(package, "serve")
    from gatecast.edge.jobs import use_threads
    from gatecast.edge.save import load_model
    from gatecast.edge.serve import auth, run
    from gatecast.edge.serve.app import create_app
    from gatecast.edge.serve.live import Live
    from gatecast.edge.serve.store import Store, digest_of

    token = auth.read_token(token_file) if token_file else None
    auth.check_address(host, token)
    run.end_on_sigterm()
    use_threads(threads)
    digest, fitted = digest_of(model), load_model(model)
    if not hasattr(fitted, "stream"):
        raise SpecError(f"'{model}' holds no model that goes on row by row", "serve a file that `gatecast fit` wrote")
    listening = run.listen(host, port)
    live = Live(fitted, Store(db, digest), limits, empty)
    typer.echo(plain(f"serving {model} at {run.address(listening)}"))
    run.run(create_app(live, token, host), listening, verbose)

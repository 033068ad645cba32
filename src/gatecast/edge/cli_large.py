"""`gatecast fit-large`: one model of a panel on disk, by one process or by those that `torchrun` starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatecast.edge.options import Session, expanded, option
from gatecast.edge.text import plain
from gatecast.errors import SpecError


@expanded
def fit_large(
    *,
    folder: Annotated[str, typer.Argument(help="A folder of Parquet files, or one: unique_id, ds, y; sorted.")],
    h: Annotated[int, typer.Option("--h", help="Steps that are forecast at once.", metavar="STEPS", min=1)],
    steps: Annotated[int, typer.Option(help="Training steps.", metavar="N", min=1)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write.", metavar="FILE")],
    batch: Annotated[
        int | None,
        option("Crops of every network in a step, over all processes; a multiple of their number.", least=1),
    ] = None,
    season: Annotated[int | None, option("Rows in a season, in place of the calendar's.", metavar="M", least=1)] = None,
    device: Annotated[
        str, typer.Option(help="Where to train: cpu, cuda, cuda:1 or mps; torchrun's take CUDA.", metavar="NAME")
    ] = "cpu",
    seed: Annotated[int, typer.Option(help="Decides every random draw.", metavar="N", min=0)] = 0,
    checkpoint: Annotated[
        Path | None, option("Keep checkpoints here, in a folder that every process sees.", metavar="DIR")
    ] = None,
    resume: Annotated[bool, option("Go on from the checkpoint of a fit that was cut.", "--resume")] = False,
    session: Session,
) -> None:
    """Fit one model to all series of a panel that is larger than memory, and save it.

    Under `torchrun --nproc-per-node 2 -m gatecast fit-large ...` the processes share the series, and the first writes.
    """
    if resume and checkpoint is None:
        raise SpecError("--resume needs the folder of the checkpoint", "add --checkpoint DIR")
    from gatecast.edge.checkpoints import Checkpoints
    from gatecast.edge.exports import model_json
    from gatecast.edge.jobs import use_threads
    from gatecast.edge.progress import counting
    from gatecast.edge.save import save
    from gatecast.forecast.panels.direct import GlobalForecaster
    from gatecast.forecast.panels.large import fit_large as fit
    from gatecast.show.files import writable
    from gatecast.train.loop import Memory
    from gatecast.train.team import team

    writable(output)
    use_threads(session.threads)
    with team() as us, counting(session.quiet or not us.leads) as watch:
        store = Checkpoints(checkpoint) if checkpoint else Memory()
        if isinstance(store, Checkpoints) and us.leads and not resume:
            store.clear()
        us.wait()
        model = GlobalForecaster(h, season=season, device=device)
        fit(model, folder, steps=steps, batch=batch, seed=seed, watch=watch, store=store)
        if us.leads:
            save(model, output)
            session.note([f"wrote {output}"])
            typer.echo(model_json(model) if session.json else plain(model.summary()), nl=not session.json)

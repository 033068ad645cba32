"""From what was typed to a panel: a file with its options, or one of our data sets by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

from gatecast.data.datasets import DATASETS, SYNTHETIC, Dataset, dataset, dataset_path
from gatecast.data.panel import Fill, Panel
from gatecast.data.read import CsvFormat, read
from gatecast.edge.cells import frame_csv
from gatecast.edge.options import Layout, Source
from gatecast.errors import DataError, SpecError, check_choice, did_you_mean

DEFAULT_DATA = "ibm"
DEFAULT_SHARE = "20%"
TAB = {"\\t": "\t", "tab": "\t"}
Decimal = Literal[".", ","]


def open_series(file: str, source: Source, layout: Layout) -> tuple[Panel, str]:
    """The panel in a file, or one of our data sets by name; and where its test span starts if nobody says."""
    test_from = DEFAULT_SHARE
    if Path(file).exists() or Path(file).name != file or Path(file).suffix:
        panel = _read(file, source.target, layout)
    elif file in DATASETS:
        panel, test_from = _bundled(DATASETS[file], source.target, layout), DATASETS[file].test_from
    elif file in SYNTHETIC:
        panel, test_from = _computed(file, source.target, layout), SYNTHETIC[file].test_from
    else:
        raise DataError(
            f"there is no file '{file}', and no data set of that name", did_you_mean(file, [*DATASETS, *SYNTHETIC])
        )
    return (panel if source.series is None else panel.series(source.series)), test_from


def newer_data(history: Panel, file: str, layout: Layout) -> Panel:
    """Newer rows of the series that a model was fitted to."""
    panel, _ = open_series(file, Source(target=history.target), layout)
    return panel.series(history.ids[0]) if len(panel) > 1 else panel


def descriptions() -> list[tuple[str, str]]:
    """Name and description of every data set."""
    bundled = [(name, each.description) for name, each in DATASETS.items()]
    return [*bundled, *((name, each.description) for name, each in SYNTHETIC.items())]


def dataset_csv(name: str) -> bytes:
    """A data set as CSV: the bundled file itself, or the computed series."""
    if name in SYNTHETIC:
        return frame_csv(dataset(name).frame()).encode()
    check_choice(name, [*DATASETS, *SYNTHETIC], "data set")
    return dataset_path(name).read_bytes()


def _read(file: str, target: str | None, layout: Layout) -> Panel:
    """A file as a panel, with the options checked by name."""
    fill = check_choice(layout.fill or "error", get_args(Fill), "fill rule")
    decimal = layout.decimal and check_choice(layout.decimal, get_args(Decimal), "decimal sign")
    separator = TAB.get(layout.separator or "", layout.separator)
    form = CsvFormat(separator, cast(Decimal | None, decimal), layout.encoding, layout.date_format)
    join = tuple(layout.join or ())
    return read(file, target, date=layout.date, id=layout.id, join=join, fill=cast(Fill, fill), format=form)


def _bundled(known: Dataset, target: str | None, layout: Layout) -> Panel:
    """A bundled file, read as it should be wherever the options do not say otherwise."""
    asked = replace(layout, date=layout.date or known.date, id=layout.id or known.id, fill=layout.fill or known.fill)
    panel = _read(str(dataset_path(known.name)), target or known.target, asked)
    return replace(panel, source=known.name, ids=(known.series,) if known.series else panel.ids)


def _computed(name: str, target: str | None, layout: Layout) -> Panel:
    """A synthetic series, which has no file that options could describe."""
    if layout != Layout():
        raise SpecError(
            f"'{name}' is computed, not read: options on files do not apply to it",
            f"write it first: `gatecast datasets {name} -o {name}.csv`",
        )
    panel = dataset(name)
    return panel.columns_as((target or panel.target,))

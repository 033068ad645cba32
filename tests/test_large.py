"""Panels on disk: what is read of them, what is drawn from them, and that a large fit is one fit however it is run."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatecast.data.read import read as read_panel
from gatecast.data.store import MOST_ROWS, ParquetPanel
from gatecast.edge import parquet
from gatecast.edge.cli import main
from gatecast.edge.container import read
from gatecast.edge.parquet import forecast_parquet, write_parquet
from gatecast.edge.save import load, save
from gatecast.errors import DataError, SpecError
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.large import fit_large, given_in
from gatecast.prepare.strata import Strata, strata
from gatecast.prepare.units import fit_units
from gatecast.train import together
from gatecast.train.loop import Memory
from gatecast.train.team import Team
from panels import monthly, shorten

RNG = np.random.default_rng(0)
PATIENCE = 120


def walks(series=40, longest=90, seed=0):
    """A long frame of random walks of random lengths at integer times, some values missing."""
    rng, frames = np.random.default_rng(seed), []
    for s in range(series):
        rows = int(rng.integers(1, longest))
        y = rng.normal(0, 1, rows).cumsum()
        y[1:][rng.random(rows - 1) < 0.1] = np.nan
        frames.append(pd.DataFrame({"unique_id": f"w{s:04d}", "ds": np.arange(5, 5 + rows), "y": y}))
    return pd.concat(frames, ignore_index=True)


def stored(frame, folder, sizes=(97, 50, 211)):
    """The frame cut into files at any row, each with row groups of its own size."""
    folder.mkdir(exist_ok=True)
    bounds = np.linspace(0, len(frame), len(sizes) + 1).astype(int)
    for number, (size, start, stop) in enumerate(zip(sizes, bounds[:-1], bounds[1:], strict=True)):
        piece = pa.Table.from_pandas(frame.iloc[start:stop], preserve_index=False)
        pq.write_table(piece, folder / f"{number}.parquet", row_group_size=size)
    return folder


WALKS = walks()


@pytest.fixture
def walks_on_disk(tmp_path):
    return ParquetPanel(stored(WALKS, tmp_path / "walks"))


def test_blocks_hold_every_row_once_wherever_files_and_row_groups_end(walks_on_disk):
    store = walks_on_disk
    assert (store.rows, store.series, store.groups) == (len(WALKS), 40, int(store.index.begun.size))
    parts = [block.panel("x").frame() for block in store.blocks()]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), WALKS, check_dtype=False, check_exact=True)
    lengths = WALKS.groupby("unique_id").size()
    np.testing.assert_allclose(store.index.weight.sum(), np.sqrt(lengths[lengths > 1]).sum(), rtol=1e-12)


def test_a_block_reads_its_own_row_groups_alone_and_is_kept(walks_on_disk):
    store = walks_on_disk
    group = int(np.flatnonzero(store.index.begun)[2])
    first, stop = store.index.first[group : group + 2]
    touched = int((store.index.rows[:-1] < stop).sum() - (store.index.rows[1:] <= first).sum())
    store.block(group)
    assert store.read == touched < store.groups
    store.block(group)
    assert store.read == touched


@pytest.mark.parametrize("kind", ["int", "date", "category", "months"])
def test_names_and_times_of_every_usual_kind_are_read(kind, tmp_path):
    frame = monthly(series=4, years=3) if kind == "months" else WALKS.copy()
    if kind == "int":
        frame["unique_id"] = frame["unique_id"].str[1:].astype(int)
    if kind == "date":
        frame["ds"] = (np.datetime64("2020-01-01") + frame["ds"].to_numpy()).astype("datetime64[D]").tolist()
    if kind == "category":
        frame["unique_id"] = frame["unique_id"].astype("category")
    store = ParquetPanel(stored(frame, tmp_path / "kinds", (40, 40)))
    found = pd.concat([block.panel("x").frame() for block in store.blocks()], ignore_index=True)
    assert found["unique_id"].tolist() == frame["unique_id"].astype(str).tolist()
    assert (found["ds"].to_numpy() == pd.Series(frame["ds"]).astype(found["ds"].dtype).to_numpy()).all()


TWO = pd.DataFrame({"unique_id": list("aabb"), "ds": [1, 2, 1, 2], "y": [1.0, 2.0, 3.0, 4.0]})


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (TWO.rename(columns={"y": "sold"}), "has no column 'y', but unique_id, ds, sold"),
        (TWO.assign(y=list("wxyz")), "column 'y' holds"),
        (TWO.assign(ds=pd.to_datetime(TWO["ds"], utc=True)), "expected dates without a time zone"),
        (TWO.iloc[[0, 2, 3, 1]], "the rows of series 'a' do not stand together"),
        (TWO.iloc[[2, 0, 1, 3]], "the rows of series 'b' do not stand together"),
        (TWO.iloc[[0, 1, 3, 2]], "series 'b': 1 comes after a later time"),
        (TWO.assign(ds=[1, 1, 1, 2]), "series 'a': 1 comes after a later time, or twice"),
        (TWO.assign(y=[1.0, 2.0, np.nan, np.nan]), "series 'b' has no value"),
        (TWO.assign(y=[np.nan, np.nan, 1.0, np.nan]), "series 'a' has no value"),
        (TWO.assign(unique_id=["a", "a", None, "b"]), "has no name of its series"),
        (TWO.assign(ds=pd.array([1, 2, None, 2], dtype="Int64")), "series 'b' has no time"),
        (TWO.iloc[:0], "has no rows"),
    ],
)
@pytest.mark.parametrize("sizes", [(9,), (1, 1)])
def test_data_that_cannot_be_used_are_refused_with_their_reason(frame, says, sizes, tmp_path):
    if len(frame) == 0 and len(sizes) > 1:
        sizes = (9,)
    with pytest.raises(DataError, match=says):
        ParquetPanel(stored(frame, tmp_path / "bad", sizes))


def test_an_infinite_value_is_refused_with_its_series(tmp_path):
    y = WALKS["y"].where(WALKS.index != len(WALKS) // 2, -np.inf)
    wrong = WALKS["unique_id"].iloc[len(WALKS) // 2]
    with pytest.raises(DataError, match=f"series '{wrong}': 'y' is infinite"):
        ParquetPanel(stored(WALKS.assign(y=y), tmp_path / "inf"))


def test_what_is_no_panel_on_disk_is_refused(tmp_path):
    for path, says in ((tmp_path / "none", "no file or folder"), (tmp_path, "no .parquet file in")):
        with pytest.raises(DataError, match=says):
            ParquetPanel(path)
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="not a Parquet file"):
        ParquetPanel(tmp_path)


def test_series_in_any_order_are_fine_as_long_as_their_rows_stand_together(tmp_path):
    shuffled = pd.concat([WALKS[WALKS["unique_id"] == name] for name in RNG.permutation(WALKS["unique_id"].unique())])
    assert ParquetPanel(stored(shuffled, tmp_path / "any")).series == 40


def test_a_sample_is_bounded_by_rows_and_is_everything_where_that_fits(walks_on_disk):
    whole = walks_on_disk.sample(len(WALKS), seed=1)
    pd.testing.assert_frame_equal(whole.panel("x").frame(), WALKS, check_dtype=False)
    for seed in range(20):
        some = walks_on_disk.sample(300, seed)
        assert len(some.values) <= 300 or len(some) == 1
        assert sorted(set(some.ids)) == list(some.ids)


def test_of_a_long_series_the_newest_rows_are_read(tmp_path):
    rows = MOST_ROWS + 7
    frame = pd.DataFrame({"unique_id": "long", "ds": np.arange(rows), "y": RNG.normal(size=rows)})
    (block,) = ParquetPanel(stored(frame, tmp_path / "long", (999,))).blocks()
    np.testing.assert_array_equal(block.take(np.array([0])).times, np.arange(7, rows))


def test_any_number_of_processes_draws_the_same(walks_on_disk):
    draws = strata(walks_on_disk, 8, 4, seed=3)
    alone = draws.round(5, Team().share(8))
    which, where = draws.places(40, (2, 4), range(8))
    for size in (2, 4, 8):
        shares = [Team(rank, size).share(8) for rank in range(size)]
        pieces = [draws.round(5, own) for own in shares]
        assert [name for piece in pieces for name in piece.ids] == list(alone.ids)
        for own, piece in zip(shares, pieces, strict=True):
            own_which, own_where = draws.places(40, (2, 4), own)
            assert (own_where == where[..., own.start : own.stop]).all()
            names = alone.ids[which[..., own.start : own.stop].numpy()]
            assert (piece.ids[own_which.numpy()] == names).all()
    with pytest.raises(SpecError, match="cannot be shared by 3 processes"):
        Team(0, 3).share(8)


def test_a_series_is_drawn_with_a_chance_that_grows_as_the_root_of_its_length(walks_on_disk):
    rounds, draws = 1500, Strata(walks_on_disk, parts=8, each=1, seed=0)
    drawn = np.concatenate([draws.round(number, range(8)).ids for number in range(rounds)])
    lengths = WALKS.groupby("unique_id").size()
    chance = np.sqrt(lengths) * (lengths > 1) / np.sqrt(lengths[lengths > 1]).sum()
    found = pd.Series(drawn).value_counts(normalize=True).reindex(lengths.index, fill_value=0)
    assert (np.abs(found - chance) <= 5 * np.sqrt(chance / (8 * rounds))).all()
    assert np.abs(1 / len(lengths) - chance).max() > 5 * np.sqrt(chance.max() / (8 * rounds)), (
        "equal chances would fail"
    )


def test_the_units_of_a_drawn_series_are_those_in_the_whole_panel(walks_on_disk):
    model = GlobalForecaster(3)
    model.given_ = whole = model.covariates.given(read_panel(WALKS, fill="last"), 3, None)
    drawn = given_in(model, strata(walks_on_disk, 8, 2, seed=0).round(0, range(8)), "x")
    at = [whole.panel.ids.index(name) for name in drawn.panel.ids]
    for name in ("difference", "error"):
        known = np.isfinite(fit_units(whole, log=False).difference[at])
        ours, theirs = (getattr(fit_units(given, log=False), name) for given in (drawn, whole))
        np.testing.assert_array_equal(ours[known], theirs[at][known])
    np.testing.assert_array_equal(
        fit_units(drawn, log=False).transform.unit, fit_units(whole, log=False).transform.unit[at]
    )


@pytest.fixture
def short(monkeypatch):
    shorten(monkeypatch, 3)
    monkeypatch.setattr(together, "EVERY", 4)


class Cut(Memory):
    """A store that keeps every state, and ends the fit after the first."""

    def __init__(self):
        super().__init__()
        self.cut = True

    def write(self, key, state):
        self._states[key] = state
        if self.cut:
            self.cut = False
            raise KeyboardInterrupt


def weights(model):
    return [p.detach().numpy() for part in model.parts_ for net in part.nets for p in net.parameters()]


def test_a_large_fit_is_an_ordinary_model_also_after_a_cut(short, walks_on_disk, tmp_path):
    model = fit_large(GlobalForecaster(2), walks_on_disk, steps=10)
    assert type(model) is GlobalForecaster and model.choices_[0].steps == 10
    cut = Cut()
    with pytest.raises(KeyboardInterrupt):
        fit_large(GlobalForecaster(2), walks_on_disk, steps=10, store=cut)
    again = fit_large(GlobalForecaster(2), walks_on_disk, steps=10, store=cut)
    (state,) = cut._states.values()
    assert state.finished and len(state.curve.train) == 10
    for ours, theirs in zip(weights(again), weights(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    loaded = load(save(model, tmp_path / "large.gatecast"))
    others = walks(series=7, seed=9)
    expected = model.predict(others, level=[80])
    pd.testing.assert_frame_equal(loaded.predict(others, level=[80]), expected, check_exact=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "CHUNK_ROWS", 60)
        data = write_parquet((piece for _, piece in others.groupby("unique_id")), tmp_path / "others.parquet")
        path = forecast_parquet(loaded, data, tmp_path / "forecasts.parquet", None, {"level": [80]})
    found = pd.read_parquet(path)
    assert found["unique_id"].tolist() == expected["unique_id"].tolist()
    pd.testing.assert_frame_equal(found[["ds"]], expected[["ds"]])
    np.testing.assert_allclose(found["Gatecast"], expected["Gatecast"], rtol=1e-5)


def test_a_checkpoint_is_of_use_for_its_own_data_alone(short, tmp_path):
    """The same rows and series with one other value start anew; and a fit leaves the model's settings alone."""
    other = WALKS.assign(y=WALKS["y"].where(WALKS.index != 100, 7.0))
    cut = Cut()
    with pytest.raises(KeyboardInterrupt):
        fit_large(GlobalForecaster(2), stored(WALKS, tmp_path / "walks"), steps=10, store=cut)
    model = fit_large(GlobalForecaster(2), stored(other, tmp_path / "other"), steps=10, store=cut)
    assert sorted(len(state.curve.train) for state in cut._states.values()) == [4, 10]
    assert model.ingredients == GlobalForecaster(2).ingredients


def test_what_a_large_fit_cannot_do_is_refused(walks_on_disk, tmp_path, capsys):
    with pytest.raises(SpecError, match="reads the target alone, and the model names price"):
        fit_large(GlobalForecaster(2, future=["price"]), walks_on_disk, steps=1)
    with pytest.raises(SpecError, match="batch=0, expected at least 1"):
        fit_large(GlobalForecaster(2), walks_on_disk, steps=1, batch=0)
    assert main(["fit-large", "x", "--h", "2", "--steps", "3", "-o", "m.gatecast", "--resume"]) == 2
    assert "add --checkpoint DIR" in capsys.readouterr().err
    folder = str(tmp_path / "walks")
    assert main(["fit-large", folder, "--h", "2", "--steps", "3", "-o", "m.gatecast", "--device", "cuda:99"]) == 2
    assert "there is no device 'cuda:99'" in capsys.readouterr().err


def curve(folder):
    (path,) = folder.glob("*.checkpoint")
    return np.array(read(path, "checkpoint")[1]["curve"]["train"])


def run(*options, processes=1):
    start = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *start, "-m", "gatecast", "fit-large", *map(str, options), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process):
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said


@pytest.mark.slow
def test_two_processes_and_one_that_was_killed_learn_what_one_learns(tmp_path):
    data = stored(walks(series=200), tmp_path / "data")
    options = [data, "--h", 2, "--steps", 200, "-o"]
    ended(run(*options, tmp_path / "one", "--checkpoint", tmp_path / "c1"))
    ended(run(*options, tmp_path / "two", "--checkpoint", tmp_path / "c2", processes=2))
    np.testing.assert_allclose(curve(tmp_path / "c2"), curve(tmp_path / "c1"), rtol=1e-4)
    assert len(curve(tmp_path / "c1")) == 200

    victim, end = run(*options, tmp_path / "cut", "--checkpoint", tmp_path / "c3"), time.monotonic() + PATIENCE
    while not list((tmp_path / "c3").glob("*.checkpoint")):
        assert time.monotonic() < end and victim.poll() is None
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=PATIENCE)
    assert victim.returncode == -signal.SIGKILL and len(curve(tmp_path / "c3")) < 200
    shutil.copytree(tmp_path / "c3", tmp_path / "c4")
    ended(run(*options, tmp_path / "cut", "--checkpoint", tmp_path / "c3", "--resume"))
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "one").read_bytes()
    np.testing.assert_array_equal(curve(tmp_path / "c3"), curve(tmp_path / "c1"))
    soon = len(curve(tmp_path / "c4")) + 5  # later a rounding that turns one ReLU on or off may have grown
    ended(run(*options, tmp_path / "more", "--checkpoint", tmp_path / "c4", "--resume", processes=2))
    assert len(curve(tmp_path / "c4")) == 200
    np.testing.assert_allclose(curve(tmp_path / "c4")[:soon], curve(tmp_path / "c1")[:soon], rtol=1e-6)


PEAK = """
import resource, sys
import gatecast as gc
from gatecast.forecast.panels import large, rules
rules.FEWEST_STEPS = rules.MOST_STEPS = 3
large.SAMPLE_ROWS = 10_000
gc.fit_large(gc.GlobalForecaster(2), sys.argv[1], steps=100)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_data(tmp_path):
    peaks, rng = [], np.random.default_rng(0)
    for pieces in (2, 40):
        frames = (
            pd.DataFrame(
                {
                    "unique_id": np.repeat([f"s{k:07d}" for k in range(1000 * n, 1000 * n + 1000)], 100),
                    "ds": np.tile(np.arange(100), 1000),
                    "y": rng.normal(size=100_000),
                }
            )
            for n in range(pieces)
        )
        path = write_parquet(frames, tmp_path / f"{pieces}.parquet")
        done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0], "twenty times the rows, the same memory"


def test_a_forecast_or_an_export_never_replaces_what_it_is_made_from(tmp_path, monkeypatch, capsys):
    shorten(monkeypatch)
    monkeypatch.chdir(tmp_path)
    save(GlobalForecaster(2).fit(monthly(3, 4)), "m.gatecast")
    write_parquet([monthly(3, 4)], tmp_path / "p.parquet")
    for data, output in (("p.parquet", "p.parquet"), (".", "f.parquet")):
        assert main(["predict", "m.gatecast", "--data", data, "-o", output]) == 2
        assert "would be read as data" in capsys.readouterr().err
    assert main(["predict", "m.gatecast", "-o", "f.parquet"]) == 2
    assert "would hold CSV" in capsys.readouterr().err
    assert main(["export", "m.gatecast", "./m.gatecast"]) == 2
    assert "is the model itself" in capsys.readouterr().err
    assert main(["fit-large", "p.parquet", "--h", "2", "--steps", "1", "-o", "no/m.gatecast"]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    assert len(load("m.gatecast").predict()) == 6 and not (tmp_path / "f.parquet").exists()

"""Covariates: what is read of them at an anchor, what each may move, and what is said when one is absent."""

import numpy as np
import pandas as pd
import pytest
import torch

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.edge.save import load, save
from gatecast.errors import DataError, ForecastError, SpecError
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.prepare.exogenous import Exogenous
from gatecast.prepare.given import Given
from gatecast.prepare.split import cut_back
from gatecast.prepare.units import fit_units
from panels import monthly, shorten

H = 6
RNG = np.random.default_rng(7)
FRAME = monthly().assign(weather=lambda f: RNG.normal(size=len(f)), holiday=lambda f: RNG.integers(0, 2, len(f)))
FACTS = pd.DataFrame({"unique_id": [f"s{s}" for s in range(5)], "kind": list("aabbc"), "size": [1.0, 2, 3, 4, 5]})


def future(frame=FRAME, h=H, holiday=1.0):
    """Rows ahead of every series."""
    last = frame.groupby("unique_id")["ds"].max()
    dates = {name: pd.date_range(end, periods=h + 1, freq="MS")[1:] for name, end in last.items()}
    return pd.concat([pd.DataFrame({"unique_id": n, "ds": d, "holiday": holiday}) for n, d in dates.items()])


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return GlobalForecaster(H, past=["weather"], future=["holiday"]).fit(FRAME, static_df=FACTS)


# -- what is read -----------------------------------------------------------------------------------------------------


def given(lengths=(12, 9), horizon=3):
    """One past column that counts from 100 and a known one that counts from 1000, its future included."""
    rows = sum(lengths)
    pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    row = np.concatenate([np.arange(n) for n in lengths]).astype(np.float64)
    values = np.column_stack([np.ones(rows), 100 + row, 1000 + row])
    panel = Panel(values, row.astype(np.int64), pointers, ("a", "b"), ("y", "past", "known"), Calendar("step"))
    ahead = np.array([[[1000.0 + n + k] for k in range(horizon)] for n in lengths])
    return Given(panel, ahead, np.array([[1.0], [2.0]]))


def test_past_columns_end_at_the_anchor_and_known_ones_reach_over_the_horizon():
    back, horizon, found = 4, 3, given()
    exogenous = Exogenous(found, fit_units(found, log=False), back, horizon)
    spread = np.concatenate([np.arange(n) - (n - 1) / 2 for n in (12, 9)]).std()
    for s, end in ((0, 9), (1, 12 + 8), (0, 1)):
        row = end - found.panel.indptr[s]
        mean = (np.diff(found.panel.indptr)[s] - 1) / 2
        read = exogenous.take(torch.tensor([s]), torch.tensor([end]), anchors=2, stride=1)[0]
        for c, anchor in enumerate((row - 1, row)):
            rows = anchor + np.arange(-back + 1, horizon + 1)
            expected = np.where(rows >= 0, (rows - mean) / spread, 0.0)
            np.testing.assert_allclose(read[c, :back], expected[:back], atol=1e-5)
            np.testing.assert_allclose(read[c, back:], expected, atol=1e-5)


def test_a_cut_keeps_what_is_known_of_the_rows_it_takes_away():
    found = given()
    cut = found.cut(cut_back(found.panel, 2, 1).kept)
    assert np.diff(cut.panel.indptr).tolist() == [10, 7]
    assert cut.ahead[:, :, 0].tolist() == [[1010, 1011, 1012], [1007, 1008, 1009]]
    again = found.cut(np.array([12, 0])).without_empty()
    assert again.panel.ids == ("a",) and again.ahead[0, :, 0].tolist() == [1012, 1013, 1014]


# -- what moves a forecast --------------------------------------------------------------------------------------------


def test_every_step_reads_every_row_ahead_and_the_facts(model):
    usual = model.predict(futr_df=future())["Gatecast"].to_numpy()
    for k in range(H):
        rows = future()
        rows.loc[rows.groupby("unique_id").cumcount() == k, "holiday"] = 0.0
        assert (model.predict(futr_df=rows)["Gatecast"].to_numpy() != usual).all()
    other = model.predict(FRAME, futr_df=future(), static_df=FACTS.assign(size=9.0))["Gatecast"].to_numpy()
    assert (other != usual).all()
    stormy = FRAME.assign(weather=FRAME["weather"].where(FRAME.duplicated("unique_id", keep="last"), 3.0))
    assert (model.predict(stormy, futr_df=future())["Gatecast"].to_numpy() != usual).all()


def test_fewer_steps_need_fewer_rows_ahead(model):
    few = model.predict(h=2, futr_df=future(h=2))
    assert len(few) == 10
    with pytest.raises(DataError, match=r"series 's0': no row at 2018-03-01 \(1 of 3 rows"):
        model.predict(h=3, futr_df=future(h=2))


def test_past_columns_are_poisoned_without_trace_and_known_ones_are_read():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        model = GlobalForecaster(H, past=["weather"], future=["holiday"])
        honest = model.cross_validation(FRAME, refit=True)
        late = FRAME["ds"] >= FRAME["ds"].max() - pd.DateOffset(months=H - 1)
        poisoned = model.cross_validation(FRAME.assign(weather=FRAME["weather"].where(~late, 1e9)))
        pd.testing.assert_frame_equal(poisoned, honest, check_exact=True)
        closed = model.cross_validation(FRAME.assign(holiday=FRAME["holiday"].where(~late, 1 - FRAME["holiday"])))
        assert (closed["Gatecast"] != honest["Gatecast"]).all()


def test_a_known_column_that_decides_the_target_is_learned():
    rng = np.random.default_rng(0)
    frame = monthly(series=8).assign(sale=lambda f: rng.integers(0, 2, len(f)))
    frame["y"] *= np.where(frame["sale"] == 1, 1.5, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 60)
        blind, told = (
            GlobalForecaster(H, future=columns, without="rival")
            .cross_validation(frame)
            .eval("abs(y - Gatecast) / y")
            .mean()
            for columns in ([], ["sale"])
        )
    assert told < 0.5 * blind


def test_a_saved_model_remembers_its_columns(model, tmp_path):
    again = load(save(model, tmp_path / "panel.gatecast"))
    options = {"futr_df": future(), "level": [80]}
    pd.testing.assert_frame_equal(again.predict(**options), model.predict(**options), check_exact=True)
    new = FRAME[FRAME["unique_id"] == "s1"].assign(unique_id="new")
    facts = pd.DataFrame({"unique_id": ["new"], "kind": ["never seen"], "size": [None]})
    assert len(again.predict(new, futr_df=future(new), static_df=facts)) == H


# -- what is said -----------------------------------------------------------------------------------------------------


def test_what_is_absent_is_named(model):
    with pytest.raises(ForecastError, match="holiday of the 6 rows"):
        model.predict()
    with pytest.raises(DataError, match=r"series 's4': no row at 2018-05-01 \(2 of 6 rows are missing"):
        model.predict(futr_df=future().iloc[:-2])
    with pytest.raises(DataError, match="no rows of series 's1'"):
        model.predict(futr_df=future().query("unique_id != 's1'"))
    gone = future().reset_index(drop=True)
    gone.loc[7, "holiday"] = np.nan
    with pytest.raises(DataError, match=r"series 's1': no column 'holiday' at 2018-02-01"):
        model.predict(futr_df=gone)
    with pytest.raises(DataError, match="no row for series 'new'"):
        new = FRAME[FRAME["unique_id"] == "s1"].assign(unique_id="new")
        model.predict(new, futr_df=future(new))
    with pytest.raises(DataError, match="no column 'wether'"):
        GlobalForecaster(H, past=["wether"]).fit(FRAME)
    with pytest.raises(SpecError, match="past and as future"):
        GlobalForecaster(H, past=["a"], future=["a"])
    with pytest.raises(ForecastError, match="no known-future column"):
        GlobalForecaster(H).covariates.ahead(given(), future(), H)


def test_facts_that_cannot_be_read_are_named():
    with pytest.raises(DataError, match="two rows for series 's0'"):
        GlobalForecaster(H).fit(FRAME, static_df=pd.concat([FACTS, FACTS]))
    with pytest.raises(DataError, match="no row for series 's4'"):
        GlobalForecaster(H).fit(FRAME, static_df=FACTS.iloc[:4])
    many = pd.DataFrame({"unique_id": range(100), "name": [f"n{i}" for i in range(100)]})
    with pytest.raises(DataError, match="100 different words"):
        GlobalForecaster(H).fit(FRAME, static_df=many)


def test_columns_may_have_other_names():
    renamed = FRAME.rename(columns={"unique_id": "store", "ds": "when", "y": "sold"})
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        model = GlobalForecaster(2, id="store", date="when", target="sold").fit(renamed)
    assert list(model.predict(level=80).columns)[:3] == ["store", "when", "Gatecast"]

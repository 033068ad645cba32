"""What a global model is made of: each ingredient switched off by itself, what then no longer reaches the forecast, and
what still must."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from gatecast.data.read import read
from gatecast.edge import container
from gatecast.edge.save import KIND, load, save
from gatecast.errors import SpecError
from gatecast.forecast.panels.baselines import GlobalRidge
from gatecast.forecast.panels.candidates import Job, make_parts
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.rules import INGREDIENTS, candidates_for, ingredients_without, sizes_for
from gatecast.prepare import smooth
from gatecast.prepare.given import bare
from gatecast.train.lockstep import Tick
from panels import monthly, shorten

FRAME, H = monthly(series=3, years=6), 6
PANEL = read(FRAME)
COMBINATIONS = [*((name,) for name in INGREDIENTS), INGREDIENTS]


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    shorten(monkeypatch)


@cache
def fitted(without):
    """Without the rival, unless it is asked about: the direct networks forecast."""
    return GlobalForecaster(H, without=("rival", *without)).fit(FRAME)


def untrained(*without):
    """The networks of every candidate at their start."""
    ingredients, given = ingredients_without(without), bare(PANEL, H)
    sizes, _ = sizes_for(given, H, ingredients)
    return make_parts(given, sizes, candidates_for(PANEL, ingredients)[0], 1, 0)


def same(without, panel):
    """For every group of networks, whether it forecasts the same from these rows, read in the units it knows."""
    pairs = [(part, part.over(bare(panel, H), part.units)) for part in fitted(without).parts_]
    everyone = np.arange(len(panel))
    return [
        bool(np.allclose(a.paths(everyone, group=g), b.paths(everyone, group=g), rtol=1e-6, atol=0))
        for a, b in pairs
        for g in range(len(a.nets))
    ]


@pytest.mark.parametrize("without", COMBINATIONS, ids="-".join)
def test_the_newest_value_moves_every_step_whatever_is_switched_off(without):
    model, moved = fitted(without), PANEL.values.copy()
    moved[PANEL.indptr[1:] - 1] *= 1.1
    for part in model.parts_:
        after = part.over(bare(replace(PANEL, values=moved), H), part.units)
        for group in range(len(part.nets)):
            assert (part.paths(np.arange(3), group=group) != after.paths(np.arange(3), group=group)).all()


@pytest.mark.parametrize("without", COMBINATIONS, ids="-".join)
def test_it_is_told_kept_and_saved(without, tmp_path):
    model = fitted(without)
    off = tuple(name for name in INGREDIENTS if name in ("rival", *without))
    assert f"switched off: {', '.join(off)}" in model.rules_[1] and model.rules_[1] in model.summary()
    assert model.rules().endswith(f"switched off: {', '.join(off)}")
    again = load(save(model, tmp_path / "m.gatecast"))
    pd.testing.assert_frame_equal(again.predict(level=80), model.predict(level=80), check_exact=True)
    assert again.ingredients == again.unfitted().ingredients == model.ingredients
    assert again.choices_ == model.choices_


def test_the_folds_of_a_backtest_are_without_it_too():
    model = GlobalForecaster(H, without=("rival", "linear start"))
    found = model.cross_validation(FRAME)
    alone = model.unfitted().fit(FRAME[FRAME["ds"] <= found["cutoff"].max()]).predict()
    np.testing.assert_array_equal(found["Gatecast"], alone["Gatecast"])
    whole = GlobalForecaster(H, without="rival").cross_validation(FRAME)
    assert not np.array_equal(found["Gatecast"], whole["Gatecast"])


def test_a_file_that_knows_of_no_ingredients_has_them_all(tmp_path):
    model = fitted(())
    tensors, facts = container.read(save(model, tmp_path / "new.gatecast"), KIND)
    del facts["freq"]
    for choice in facts["candidates"]:
        del choice["candidate"]["ingredients"]
    old = load(container.write(tmp_path / "old.gatecast", KIND, tensors, facts))
    assert old.ingredients.off == () and old.freq is None
    pd.testing.assert_frame_equal(old.predict(), model.predict(), check_exact=True)


def test_a_name_that_there_is_not_is_answered_with_the_nearest():
    with pytest.raises(SpecError, match=r"ingredient 'recurrance'\nhint: did you mean 'recurrence'\?"):
        GlobalForecaster(H, without=("smoothers", "recurrance"))
    assert GlobalForecaster(H, without="linear start").ingredients.off == ("linear start",)


# -- each by itself ---------------------------------------------------------------------------------------------------


def test_without_recurrence_nothing_before_the_window_is_read():
    moved = PANEL.values.copy()
    for stop in PANEL.indptr[1:]:
        moved[stop - 50 : stop - 36] *= 3  # before the window of 36 rows, and not the row that others are relative to
    earlier = replace(PANEL, values=moved)
    assert all(same(("recurrence", "smoothers"), earlier))
    assert not any(same(("smoothers",), earlier))
    assert not any("recurrent" in net.state_dict() for part in untrained("recurrence") for net in part.nets)


def test_without_a_linear_start_the_first_forecast_is_the_middle_of_the_targets():
    assert not any(net.skip.any() for part in untrained("linear start") for net in part.nets)
    assert all(net.skip.any() for part in untrained() for net in part.nets)
    targets = []
    for series in PANEL:
        y = np.log(series.values[:, 0])
        for t in range(12, len(y) - H):
            targets.extend(y[t + 1 : t + 1 + H] - y[t - 11 : t + 1].mean())
    middle = np.sort(targets)[(len(targets) - 1) // 2]
    log = untrained("linear start")[1]
    assert log.candidate.name == "log/lstm"
    for net in log.nets:
        np.testing.assert_allclose(net.bias.detach(), middle, rtol=1e-4)


def test_without_smoothers_their_constants_do_not_matter(monkeypatch):
    for without in (("smoothers",), ()):
        fitted(without)
    monkeypatch.setattr(smooth, "SEASONAL", tuple(each._replace(alpha=0.6) for each in smooth.SEASONAL))
    assert all(same(("smoothers",), PANEL)) and not any(same((), PANEL))
    assert untrained("smoothers")[0].crops.sizes.linear == 36


def test_without_a_calendar_the_date_does_not_matter():
    calendar = PANEL.calendar
    later = np.concatenate([calendar.future(series.times[5 - 1], series.rows) for series in PANEL])
    shifted = replace(PANEL, times=later)
    assert all(same(("calendar",), shifted)) and not any(same((), shifted))


@pytest.mark.parametrize("averaging", [True, False])
def test_without_averaging_a_network_has_the_weights_of_its_last_step(averaging):
    part = untrained(*(() if averaging else ("averaging",)))[0]
    for _ in Job(part, 0, 20, (20,), 0).run(Tick()):
        held = {name: weight.clone() for name, weight in part.nets[0].state_dict().items()}
    last = part.nets[0].state_dict()
    assert all(torch.equal(held[name], last[name]) != averaging for name in held)


def test_without_the_logarithm_only_plain_values_compete():
    assert [choice.candidate.name for choice in fitted(("logarithm",)).choices_] == ["scale/gru"]
    assert [choice.candidate.name for choice in fitted(()).choices_] == ["scale/gru", "log/lstm"]


def test_without_the_rival_no_recursive_network_is_tried(monkeypatch):
    monkeypatch.setattr("gatecast.forecast.panels.direct.RIVAL_SHARE", np.inf)
    model = GlobalForecaster(H, without=("rival",)).fit(FRAME)
    assert model.free_ is None and model.parts_ and "recursive" not in model.rules_[2]
    whole = GlobalForecaster(H).fit(FRAME)
    assert whole.free_ is not None and "recursive" in whole.rules_[2]


def test_without_an_ensemble_every_group_is_one_network():
    for without, together in (("ensemble",), None), ((), 8):
        groups = [len(net.skip) for part in fitted(without).parts_ for net in part.nets]
        assert sum(groups) == together if together else groups == [1] * len(groups)


def test_the_ridge_has_the_ingredients_that_it_is_made_of():
    plain, bare_ridge = GlobalRidge(H).fit(FRAME), GlobalRidge(H, without=("smoothers",)).fit(FRAME)
    assert bare_ridge.rules_[1] == "linear; switched off: smoothers" and plain.rules_[1] == "linear"
    assert not np.array_equal(bare_ridge.predict()["global_ridge"], plain.predict()["global_ridge"])

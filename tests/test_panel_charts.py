"""Charts of a backtest: what is drawn, in which numbers, and what is refused."""

import json

import numpy as np
import pytest

from gatecast.data.synthetic import sine
from gatecast.edge.console import print_backtest
from gatecast.edge.exports import backtest_json
from gatecast.errors import GatecastError
from gatecast.forecast.panels.baselines import global_method
from gatecast.judge.backtest import backtest
from gatecast.prepare.split import Origins
from gatecast.show.panel_charts import panel_forecast_chart, score_by_step_chart
from gatecast.show.panel_report import panel_report
from panels import monthly


@pytest.fixture(scope="module")
def found():
    return backtest(global_method("global_ridge", 4), monthly(series=3), Origins(2))


def records(chart):
    return [rows for rows in chart.to_dict()["datasets"].values() if rows]


def test_a_series_is_drawn_with_the_forecast_and_the_bounds_of_every_origin(found):
    own = found.frame[found.frame["unique_id"] == "s1"]
    drawn = records(panel_forecast_chart(found, "s1"))
    table = next(rows for rows in drawn if "origin" in rows[0])
    names = ["y", "global_ridge", *(f"global_ridge-{end}-{level}" for level in (80, 95) for end in ("lo", "hi"))]
    for i, name in enumerate(names):
        np.testing.assert_allclose([row[f"y{i}"] for row in table], own[name], rtol=1e-5)
    assert [row["origin"] for row in table] == [1] * 4 + [2] * 4
    truth = next(rows for rows in drawn if rows[0].get("model") == "observed")
    assert len(truth) == 3 * 4 + 8


def test_scores_by_step_are_those_of_the_table(found):
    drawn = max(records(score_by_step_chart(found, "CRPS")), key=len)
    table = found.scores(["step"]).pivot(index="step", columns="model", values="CRPS")
    for i, name in enumerate(found.models):
        np.testing.assert_allclose([row[f"y{i}"] for row in drawn], table[name], rtol=1e-5)


def test_unknown_names_are_refused_and_the_page_is_whole(found, tmp_path):
    with pytest.raises(GatecastError, match="no series 's9'"):
        panel_forecast_chart(found, "s9")
    with pytest.raises(GatecastError, match="no model 'gru'"):
        panel_forecast_chart(found, "s1", "gru")
    text = panel_report(found, tmp_path / "r.html", "gatecast <backtest>").read_text()
    assert "Gatecast backtest" in text and "gatecast &lt;backtest&gt;" in text and text.count('class="chart"') == 4
    assert all(skill.verdict in text for skill in found.skills())
    assert "# torch: " in text and "What the models did" not in text


def test_the_page_the_text_and_the_document_say_how_sure_a_single_series_coverage_is(tmp_path, capsys):
    one = backtest(global_method("drift", 2), sine(90, period=12), Origins(50, 1), refit=False)
    said = [f"{each.model}: {each.verdict}" for each in one.coverages()]
    assert len(said) == 6
    print_backtest(one)
    assert capsys.readouterr().out.splitlines()[-6:] == said
    page = panel_report(one, tmp_path / "r.html").read_text()
    assert all(each.verdict in page for each in one.coverages())
    kept = json.loads(backtest_json(one))["coverages"]
    assert [(each["level"], each["within"]) for each in kept] == [(c.level, c.within) for c in one.coverages()]

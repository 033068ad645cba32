"""The server in this process: what it answers, what it refuses and how, and what it lets nobody do."""

import json
from threading import Event, Thread
from urllib.parse import quote

import numpy as np
import pytest

from gatecast.data.panel import time_text
from gatecast.edge.serve.schemas import Ask
from gatecast.edge.serve.settings import Limits
from serving import FITTED, as_json, client, live, model, rows_of, whole

HOSTILE = ["a/b", "a/forecast", "<img src=x onerror=alert(1)>", "ü ß 日本", "%2F", "a?b#c&d", " ", "...", "x" * 200]
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server():
    with client() as asked:
        yield asked


def observe(asked, name, rows):
    return asked.post(f"/v1/series/{quote(name, safe='')}/observe", json={"rows": rows})


def forecast(asked, name, **params):
    return asked.get(f"/v1/series/{quote(name, safe='')}/forecast", params=params)


def values(answer):
    assert answer.status_code == 200, answer.text
    return [step["value"] for step in answer.json()["forecast"]]


def refused(answer, status):
    """The error and the hint of an answer that refuses with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error", "hint"} and answer.json()["error"]
    return answer.json()


def test_forecasts_equal_the_model_over_the_same_rows(server):
    for end in (FITTED + 1, FITTED + 7, FITTED + 8):
        name = f"prices {end}"
        assert observe(server, name, as_json(end - 40, end - 3)).json()["created"]
        taken = observe(server, name, as_json(end - 3, end)).json()
        assert [row["outcome"] for row in taken["rows"]] == ["new"] * 3
        expected = model().predict(4, rows_of(0, end))
        for answer in (
            forecast(server, name, h=4),
            server.post(f"/v1/series/{quote(name)}/forecast", json={"h": 4}),
            server.post("/v1/forecast", json={"history": as_json(end - 40, end), "h": 4}),
        ):
            np.testing.assert_allclose(values(answer), expected.mean, rtol=1e-12)
            assert [step["time"] for step in answer.json()["forecast"]] == [time_text(t) for t in expected.times]
            assert answer.json()["last"] == time_text(whole().times[end - 1])


def test_an_observation_tells_what_was_forecast_for_it(server):
    end = FITTED + 5
    observe(server, "told", as_json(end - 30, end))
    ahead = values(forecast(server, "told"))[0]
    (row,) = observe(server, "told", as_json(end, end + 1)).json()["rows"]
    assert row["forecast"] == ahead and row["naive"] == whole().values[end - 1, 0]
    about = server.get("/v1/series/told").json()
    assert about["rows"] == 31 and len(about["recent"]) == 31 and about["last"] == row["time"]
    assert about["recent"][-1] == {
        "value": whole().values[end, 0],
        **{k: row[k] for k in ("time", "forecast", "naive")},
    }


def test_a_row_that_is_known_is_harmless_and_one_that_contradicts_is_refused(server):
    end = FITTED + 9
    observe(server, "twice", as_json(end - 30, end))
    rows = as_json(end, end + 3)
    observe(server, "twice", rows)
    before = values(forecast(server, "twice", h=3))
    assert [row["outcome"] for row in observe(server, "twice", rows).json()["rows"]] == ["known"] * 3
    assert [row["outcome"] for row in observe(server, "twice", rows[1:]).json()["rows"]] == ["known"] * 2
    other = {**rows[-1], "value": {"High": 1.0, "Low": 1.0}}
    refused(observe(server, "twice", [other]), 409)
    refused(observe(server, "twice", as_json(0, 1)), 409)
    assert values(forecast(server, "twice", h=3)) == before


def test_rows_are_taken_in_all_or_none(server):
    end = FITTED + 9
    observe(server, "all", as_json(end - 30, end))
    before = values(forecast(server, "all", h=3))
    far = {"time": "2035-01-01", "value": 1.0}
    refused(observe(server, "all", [*as_json(end, end + 2), far]), 422)
    assert values(forecast(server, "all", h=3)) == before
    assert server.get("/v1/series/all").json()["rows"] == 30


def test_missing_values_and_skipped_rows_are_taken_in(server):
    end = FITTED + 20
    rows = as_json(end - 30, end)
    rows[-1] = {"time": rows[-1]["time"], "value": None}
    observe(server, "gaps", rows[:-3])
    seen = observe(server, "gaps", [rows[-1]]).json()["rows"]
    assert [row["outcome"] for row in seen] == ["missing"]
    assert np.isfinite(values(forecast(server, "gaps", h=2))).all()


def test_the_rows_of_a_new_series_can_be_sent_again(server):
    rows = as_json(10, 60)
    assert observe(server, "again", rows).json()["created"]
    taken = observe(server, "again", rows).json()
    assert not taken["created"] and {row["outcome"] for row in taken["rows"]} == {"known"}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_printable_name_is_told_from_every_other(server, name):
    address = f"/v1/series/{quote(name, safe='')}"
    refused(server.get(address), 404)
    assert observe(server, name, as_json(10, 60)).json()["series"] == name
    assert server.get(address).json()["series"] == forecast(server, name).json()["series"] == name
    assert name in server.get("/v1/series", params={"limit": 1000}).json()["series"]
    assert server.delete(address).json() == {"series": name, "forgotten": True}
    for answer in (server.get(address), forecast(server, name), server.delete(address)):
        refused(answer, 404)


@pytest.mark.parametrize("name", ["x" * 201, "a\nb", "\x00", "\u202e", "%2E%2E"])
def test_a_name_that_cannot_be_shown_is_refused(server, name):
    quoted = name if name.startswith("%") else quote(name, safe="")
    refused(server.post(f"/v1/series/{quoted}/observe", json={"rows": as_json(10, 60)}), 422)
    assert server.get("/v1/series/%FF").status_code == 404


def test_the_list_of_series_comes_in_pages():
    names = sorted(["prices", *(f"s{i}" for i in range(7))])
    with client() as asked:
        for name in names[1:]:
            observe(asked, name, as_json(10, 60))
        found, after = [], ""
        while after is not None:
            page = asked.get("/v1/series", params={"after": after, "limit": 3}).json()
            assert page["count"] == 8 and len(page["series"]) <= 3
            found += page["series"]
            after = page["next"]
        assert found == names


ROW = '{"time": "2021-01-04", "value": 1.0}'
BAD = {
    "NaN": '{"rows": [{"time": "2021-01-04", "value": NaN}]}',
    "infinity": '{"rows": [{"time": "2021-01-04", "value": {"High": -Infinity}}]}',
    "too large": '{"rows": [{"time": "2021-01-04", "value": 1e999}]}',
    "text": '{"rows": [{"time": "2021-01-04", "value": "1"}]}',
    "truth": '{"rows": [{"time": "2021-01-04", "value": true}]}',
    "column": '{"rows": [{"time": "2021-01-04", "value": {"Hihg": 1}}]}',
    "surrogate": '{"rows": [{"time": "2021-01-04", "value": {"\\ud800": 1}}]}',
    "counter": '{"rows": [{"time": 7, "value": 1}]}',
    "no date": '{"rows": [{"time": "now", "value": 1}]}',
    "weekend": '{"rows": [{"time": "2021-01-03", "value": 1}]}',
    "far": '{"rows": [{"time": "9999-12-31", "value": 1}]}',
    "long time": f'{{"rows": [{{"time": {"1" * 4000}, "value": 1}}]}}',
    "order": f'{{"rows": [{ROW}, {ROW}]}}',
    "nothing": '{"rows": []}',
    "no time": '{"rows": [{"value": 1}]}',
    "field": f'{{"rows": [{ROW}], "row": 1}}',
    "list": f"[{ROW}]",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_refused_with_a_reason(server, body):
    for name in ("prices", "unknown"):
        refused(server.post(f"/v1/series/{name}/observe", content=body, headers=JSON), 422)
    assert server.get("/v1/series/unknown").status_code == 404


def test_what_is_wrong_is_told_by_field(server):
    body = {"rows": [{"time": "2021-01-04", "value": {"High": "1"}}, {"time": None, "value": 1}], "row": 1}
    told = refused(server.post("/v1/series/prices/observe", json=body), 422)
    assert "rows.0.value.High: Input should be a valid number" in told["error"]
    assert "rows.1.time: " in told["error"] and "[" not in told["error"]
    assert "openapi" in told["hint"] and "openapi" in refused(server.get("/nowhere"), 404)["hint"]


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, "\xff", '{"rows": ' + "1" * 5000 + "}"])
def test_what_is_no_json_is_refused(server, body):
    answer = server.post("/v1/forecast", content=body.encode("latin-1"), headers=JSON)
    refused(answer, 422 if answer.status_code == 422 else 400)


def test_too_short_a_history_is_refused_with_what_is_needed(server):
    told = refused(observe(server, "short", as_json(10, 13)), 422)
    assert "3" in told["error"]
    refused(server.post("/v1/forecast", json={"history": as_json(10, 13)}), 422)


LIMITS = Limits(body=20_000, rows=50, horizon=5, levels=2, series=2, requests=2, seconds=0.5)


@pytest.fixture(scope="module")
def strict():
    with client(live(limits=LIMITS)) as asked:
        yield asked


def test_every_limit_is_told_with_its_option(strict):
    long = {"history": as_json(10, 61)}
    assert "--max-rows" in refused(strict.post("/v1/forecast", json=long), 422)["hint"]
    assert "--max-rows" in refused(observe(strict, "prices", long["history"]), 422)["hint"]
    few = {"history": as_json(10, 50)}
    for more in ({"h": 6}, {"level": [10, 20, 30]}):
        assert "--max-" in refused(strict.post("/v1/forecast", json=few | more), 422)["hint"]
        assert "--max-" in refused(forecast(strict, "prices", **more), 422)["hint"]
    assert observe(strict, "second", few["history"]).status_code == 200
    assert "--max-series" in refused(observe(strict, "third", few["history"]), 409)["hint"]
    strict.delete("/v1/series/second")
    assert observe(strict, "third", few["history"]).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_before_it_is_read_to_its_end(strict, chunked):
    sent = []

    def parts():
        for _ in range(1000):
            sent.append(1)
            yield b" " * 1000

    content = parts() if chunked else b" " * 1_000_000
    assert "--max-body" in refused(strict.post("/v1/forecast", content=content), 413)["hint"]
    assert refused(strict.post("/v1/forecast", content=b" " * LIMITS.body), 422)


class Blocked:
    """Work that waits until it is let go."""

    def __init__(self, asked, monkeypatch):
        self.go, self.begun, self.asked = Event(), [], asked
        monkeypatch.setattr(asked.app.state.live, "forecast", self.work)

    def work(self, *_):
        self.begun.append(1)
        assert self.go.wait(20)
        return live().forecast("prices", Ask(h=1))


def test_too_many_requests_at_once_are_sent_away_and_a_late_one_is_told(strict, monkeypatch):
    blocked, answers = Blocked(strict, monkeypatch), []
    ask = lambda: answers.append(forecast(strict, "prices"))  # noqa: E731
    threads = [Thread(target=ask) for _ in range(LIMITS.requests)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [refused(answer, 408)["error"] for answer in answers] == ["not done after 0.5 seconds"] * 2
        away = strict.get("/v1/series")
        refused(away, 429)
        assert int(away.headers["retry-after"]) >= 1
        assert strict.get("/health").json() == {"status": "ok"}
    finally:
        blocked.go.set()
    assert eventually(lambda: strict.get("/v1/series").status_code == 200)
    assert len(blocked.begun) == LIMITS.requests


def eventually(condition):
    return any(condition() or Event().wait(0.05) for _ in range(200))


TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def closed():
    with client(token=TOKEN) as asked:
        yield asked


@pytest.mark.parametrize(
    "sent", [None, "", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xfc"]
)
def test_without_its_token_the_server_gives_nothing_away(closed, sent):
    headers = {} if sent is None else {"authorization": sent.encode("latin-1")}
    paths = ("/v1/series", "/v1/series/prices", "/metrics", "/openapi.json", "/nowhere", "/%68ealth")
    for answer in (
        *(closed.get(path, headers=headers) for path in paths),
        closed.post("/v1/forecast", headers=headers),
    ):
        assert "prices" not in str(refused(answer, 401))
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/page.js", "/page.css", "/health", "/ready"):
        assert closed.get(path, headers=headers).status_code == 200


def test_the_description_says_where_a_token_is_needed(closed, server):
    document = closed.get("/openapi.json", headers={"authorization": f"Bearer {TOKEN}"}).json()
    open_to_all = {path for path, ways in document["paths"].items() for way in ways.values() if "security" not in way}
    assert open_to_all == {"/health", "/ready"}
    assert [each["scheme"] for each in document["components"]["securitySchemes"].values()] == ["bearer"]
    assert "securitySchemes" not in server.get("/openapi.json").json()["components"]


def test_with_its_token_the_server_answers_under_any_name(closed):
    for scheme in ("Bearer", "bearer"):
        headers = {"authorization": f"{scheme} {TOKEN}", "host": "forecasts.example.org"}
        assert closed.get("/v1/series", headers=headers).json()["series"] == ["prices"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:8000", "", "[::2]:80", "localhost:[", "[::1]/x"]
)
def test_without_a_token_a_request_for_another_machine_is_refused(server, host):
    refused(server.get("/v1/series", headers={"host": host}), 421)
    for name in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert server.get("/v1/series", headers={"host": name}).status_code == 200


def test_no_other_site_is_let_in(server):
    headers = {"origin": "https://evil.example", "access-control-request-method": "DELETE"}
    refused(server.options("/v1/series/prices", headers=headers), 405)
    answer = server.get("/v1/series", headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    sent = json.dumps({"rows": as_json(FITTED, FITTED + 1)})
    told = refused(server.post("/v1/series/prices/observe", content=sent, headers={"content-type": "text/plain"}), 422)
    assert "application/json" in told["error"]


def test_the_page_may_run_its_own_script_only(server):
    for path in ("/", "/page.js", "/page.css"):
        answer = server.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "innerHTML" not in answer.text


def test_requests_and_rows_are_counted_under_few_names():
    with client() as asked:
        observe(asked, "counted", as_json(10, 60))
        for name in range(5):
            asked.get(f"/v1/series/{name}")
            asked.get(f"/nowhere/{name}")
            asked.request(f"M{name}", "/health")
        text = asked.get("/metrics").text
    assert 'gatecast_rows_total{outcome="new"} 50.0' in text
    assert 'gatecast_requests_total{method="GET",route="/v1/series/{id}",status="404"} 5.0' in text
    assert 'gatecast_requests_total{method="other",route="other",status="404"} 5.0' in text
    assert 'gatecast_requests_total{method="other",route="/health",status="405"} 5.0' in text
    assert "gatecast_series 2.0" in text and "nowhere" not in text


def test_every_request_and_answer_has_an_example_that_its_schema_takes(server):
    from gatecast.edge.serve import schemas

    document = server.get("/openapi.json").json()
    for name, schema in document["components"]["schemas"].items():
        kind = getattr(schemas, name)
        if name not in ("Interval", "Recent"):
            for example in schema["examples"]:
                kind.model_validate(example)
    operations = [(p, m, o) for p, ways in document["paths"].items() for m, o in ways.items()]
    assert len(operations) == 10
    for _, _, operation in operations:
        assert {"401", "422", "429"} <= set(operation["responses"]) and operation["summary"]

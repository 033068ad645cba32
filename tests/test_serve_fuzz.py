"""Requests made up from the server's own description: no answer is a failure within, none is unlike it says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gatecast.edge.serve.app import create_app
from gatecast.edge.serve.settings import Limits
from serving import HERE, as_json, live

pytestmark = pytest.mark.slow
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


SEARCH = settings(
    max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def operations():
    series = live(limits=Limits(rows=100, horizon=50, series=20))
    described = schemathesis.openapi.from_asgi("/openapi.json", create_app(series), headers={"host": "localhost"})
    return [each.ok() for each in described.get_all_operations()]


def tried(operation, change=lambda body: body):
    """Send many requests of an operation, and check every answer."""

    @SEARCH
    @given(case=operation.as_strategy())
    def check(case):
        case.body = change(case.body)
        case.call_and_validate(base_url=HERE, checks=CHECKS)

    check()


def test_every_answer_is_as_described(operations):
    assert len(operations) == 10
    for operation in operations:
        tried(operation)


def test_true_times_with_made_up_values_are_answered_as_described(operations):
    """Bodies that get past the names and the calendar."""

    def real(body):
        for rows in (body.get("rows"), body.get("history")) if isinstance(body, dict) else ():
            for row, made in zip(as_json(10, 50), rows or (), strict=False):
                made["time"] = row["time"]
                if isinstance(made["value"], dict):
                    made["value"] = dict(zip(("High", "Low"), made["value"].values(), strict=False))
        return body

    for operation in operations:
        if operation.method == "post":
            tried(operation, real)

"""Every refusal in one shape: `{"error": ..., "hint": ...}` and a status that says whose move it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gatecast.edge.serve.settings import LimitError
from gatecast.edge.text import plain
from gatecast.errors import ConflictError, GatecastError

KIND = re.compile(r"\[|^(float|int|str|constrained-\w+)$")
"""Where pydantic says which of several kinds of value it tried."""
DESCRIBED = "/openapi.json describes every request"
CONFLICT, UNUSABLE = 409, 422
STATUSES = {
    400: "The request is not one that this server reads.",
    401: "No token, or a wrong one.",
    404: "No such series, or no such address.",
    405: "This address does not take that method.",
    408: "The request took longer than it may.",
    409: "The rows contradict what is known, or no further series may go live.",
    413: "The body is larger than it may be.",
    421: "The Host header names another machine.",
    422: "The values, columns or settings cannot be used.",
    429: "Too many requests at once: ask again after Retry-After seconds.",
    503: "The state cannot be written, or the server is going down.",
}


def problem(status: int, error: str, hint: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """An answer that says what happened and what to do; control characters and lone surrogates are escaped."""
    body = json.dumps({"error": plain(error), "hint": plain(hint)}, ensure_ascii=False)
    return Response(body.encode(), status, headers, "application/json")


def answer_to(error: GatecastError) -> Response:
    """The answer to an error that was raised on purpose."""
    known = CONFLICT if isinstance(error, ConflictError) else UNUSABLE
    return problem(error.status if isinstance(error, LimitError) else known, error.message, error.hint)


def invalid(errors: list[Any]) -> str:
    """What is wrong with a request, by field, from pydantic's list."""
    if any(each["type"] == "model_attributes_type" for each in errors):
        return "the body is not read as JSON: send an object, with Content-Type: application/json"
    told: dict[str, list[str]] = {}
    for each in errors:
        place = ".".join(str(part) for part in each["loc"][1:] if not KIND.search(str(part))) or str(each["loc"][0])
        told.setdefault(place, []).append(each["msg"])
    lines = [f"{place}: {' or '.join(dict.fromkeys(messages))}" for place, messages in told.items()]
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")

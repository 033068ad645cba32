"""Forecast with a window model that `gatecast export` wrote; needs NumPy and onnxruntime alone.

    python onnx_numpy.py model.onnx newest.csv --h 5

The CSV holds the newest rows, oldest first, under the names of the columns that the model reads; other columns are left
out. What is printed is a CSV: the step, and the forecast of every predicted column. A one-step model that predicts all
it reads is fed with its own forecasts for more steps than one.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def facts_of(session):
    """What the file says of itself."""
    return json.loads(session.get_modelmeta().custom_metadata_map["gatecast"])


def read_rows(path, columns):
    """These columns of a CSV file, [T, C]; NaN where a cell is empty."""
    with Path(path).open(newline="") as file:
        return np.array([[float(row[name] or "nan") for name in columns] for row in csv.DictReader(file)])


def without_gaps(rows, facts):
    """The last known value where one is missing; under a logarithm, the last positive one where one is not positive."""
    rows = last_good(rows, np.isfinite(rows))
    return last_good(rows, rows > 0) if facts["positive"] else rows


def last_good(rows, good):
    """In every column, the last value up to each row that is good."""
    places = np.maximum.accumulate(np.where(good, np.arange(len(rows))[:, None], 0), axis=0)
    return np.take_along_axis(rows, places, axis=0)


def forecast(session, rows, steps):
    """The next `steps` rows [steps, P] after `rows` [T, C], in original units."""
    facts = facts_of(session)
    rows, found = without_gaps(rows, facts), []
    if len(rows) < facts["rows"] or not np.isfinite(rows).all():
        sys.exit(f"expected at least {facts['rows']} rows, the first of them without gaps")
    if steps > facts["steps"] and not facts["feeds_back"]:
        sys.exit(f"this model forecasts {facts['steps']} steps and cannot be fed with them")
    while len(found) < steps:
        ahead = session.run(None, {"window": rows[None, -facts["rows"] :]})[0][0]
        found.extend(ahead)
        if facts["feeds_back"]:
            rows = np.concatenate([rows, ahead])
    return np.array(found[:steps])


def main():
    """Read the arguments, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("rows")
    parser.add_argument("--h", type=int, default=1)
    given = parser.parse_args()
    session = onnxruntime.InferenceSession(given.model)
    facts = facts_of(session)
    ahead = forecast(session, read_rows(given.rows, facts["columns"]), given.h)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["step", *facts["predicted"]])
    writer.writerows([step + 1, *row] for step, row in enumerate(ahead.tolist()))


if __name__ == "__main__":
    main()

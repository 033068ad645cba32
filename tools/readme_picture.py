"""Draw the README's picture, docs/forecast.svg: `python tools/readme_picture.py`."""

from pathlib import Path

import gatecast as gc
from gatecast.show.charts import forecast_chart, save_chart

if __name__ == "__main__":
    board = gc.leaderboard(gc.dataset("ibm"), "2012-03-01", ["auto", "lstm:32"]).boards[0]
    chart = forecast_chart(board, ["auto", "naive", "lstm:32"])
    save_chart(chart, Path(__file__).parent.parent / "docs" / "forecast.svg")

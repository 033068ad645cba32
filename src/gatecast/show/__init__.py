"""Stage 8: draws frozen results and computes nothing: charts (Altair) and one self-contained HTML report."""

from gatecast.show.charts import (
    divergence_chart,
    error_by_step_chart,
    forecast_chart,
    free_run_chart,
    loss_chart,
    save_chart,
    split_chart,
)
from gatecast.show.report import report
from gatecast.show.residual_charts import autocorrelation_chart, error_histogram

__all__ = [
    "autocorrelation_chart",
    "divergence_chart",
    "error_by_step_chart",
    "error_histogram",
    "forecast_chart",
    "free_run_chart",
    "loss_chart",
    "report",
    "save_chart",
    "split_chart",
]

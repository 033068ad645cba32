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
from gatecast.show.explain_charts import (
    decay_chart,
    flow_chart,
    gate_chart,
    influence_chart,
    memory_chart,
    runs_chart,
    singular_chart,
)
from gatecast.show.explain_report import explain_report
from gatecast.show.panel_charts import panel_forecast_chart, score_by_step_chart
from gatecast.show.panel_report import panel_report
from gatecast.show.report import report
from gatecast.show.residual_charts import autocorrelation_chart, error_histogram

__all__ = [
    "autocorrelation_chart",
    "decay_chart",
    "divergence_chart",
    "error_by_step_chart",
    "error_histogram",
    "explain_report",
    "flow_chart",
    "forecast_chart",
    "free_run_chart",
    "gate_chart",
    "influence_chart",
    "loss_chart",
    "memory_chart",
    "panel_forecast_chart",
    "panel_report",
    "report",
    "runs_chart",
    "save_chart",
    "score_by_step_chart",
    "singular_chart",
    "split_chart",
]

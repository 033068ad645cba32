"""Stage 7: what a network remembers, uses and does on its own: numbers first, then sentences."""

from gatecast.explain.decay import adding_decay, series_decay
from gatecast.explain.explanation import Explanation, explain
from gatecast.explain.flow import information_flow
from gatecast.explain.flows import model_flow
from gatecast.explain.freeruns import as_differences, free_runs
from gatecast.explain.gates import gates
from gatecast.explain.influence import influence
from gatecast.explain.memory import memory

__all__ = [
    "Explanation",
    "adding_decay",
    "as_differences",
    "explain",
    "free_runs",
    "gates",
    "influence",
    "information_flow",
    "memory",
    "model_flow",
    "series_decay",
]

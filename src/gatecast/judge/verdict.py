"""Verdicts: sentences with a threshold, true to the numbers they stand beside."""

from __future__ import annotations

from gatecast.data.calendar import Calendar
from gatecast.judge.board import Comparison, FreeRunFacts, Run

ALPHA = 0.05
"""A difference with a Holm-adjusted p below this is called one; conventional."""


def one_step_verdict(comparison: Comparison, calendar: Calendar) -> str:
    """Better than naive, not better, or worse."""
    naive = f"repeating {'yesterday' if calendar.alias in ('D', 'B') else 'the last value'}"
    naive += "'s value" if naive.endswith("yesterday") else ""
    skill, p = comparison.skill, comparison.p
    if skill is None:
        return f"no comparison: {naive} makes no error at all here"
    if p is None:
        return f"same as {naive}" if abs(skill) < 1e-9 else f"RMSE {_percent(skill)} than {naive}; test undefined"
    if p >= ALPHA:
        return f"not better than {naive}" + (f": RMSE {_percent(skill)}, which may be chance ({_p(p)})")
    return f"{'better' if skill > 0 else 'worse'} than {naive}, {_p(p)}: RMSE {_percent(skill)}"


def free_run_verdict(run: Run, naive: Run) -> str:
    """One trajectory against the flat line at the last value, and whether it settled or left the data's range."""
    if run.free_scores is None or run.free_facts is None:
        return run.refusal
    facts: FreeRunFacts = run.free_facts
    parts = []
    if naive.free_scores is not None:
        flat, own = naive.free_scores.rmse, run.free_scores.rmse
        near = abs(own - flat) <= 0.01 * flat
        word = "level with" if near else "nearer to the truth than" if own < flat else "further from the truth than"
        parts.append(f"{word} a flat line (RMSE {own:.4g} against {flat:.4g}, one trajectory)")
    if facts.settled_at is not None:
        parts.append(f"settled to a constant from step {facts.settled_at}")
    if facts.left_range_at is not None:
        parts.append(f"left the range of the training data at step {facts.left_range_at}")
    return "; ".join(parts)


def _percent(skill: float) -> str:
    """
    >>> _percent(10.04)
    '10.0 % lower'
    """
    return f"{abs(skill):.1f} % {'lower' if skill >= 0 else 'higher'}"


def _p(p: float) -> str:
    """
    >>> _p(0.0004)
    'p < 0.001'
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"

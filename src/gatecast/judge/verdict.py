"""Verdicts: sentences with a threshold, true to the numbers they stand beside."""

from __future__ import annotations

from collections.abc import Sequence

from gatecast.data.calendar import Calendar
from gatecast.judge.board import Comparison, Run

ALPHA = 0.05
"""A difference with a Holm-adjusted p below this is called one; conventional."""
LEVEL = 0.01
"""Free runs whose RMSE differs less than this share are called level."""


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


def free_run_verdict(runs: Sequence[Run], shown: Run, naive: Run) -> str:
    """Every seed's trajectory against the flat line at the last value; whether the one shown settled or strayed."""
    if shown.free_scores is None or shown.free_facts is None or naive.free_scores is None:
        return shown.refusal
    flat, facts = naive.free_scores.rmse, shown.free_facts
    errors = sorted(run.free_scores.rmse for run in runs if run.free_scores is not None)
    parts = [_one_path(errors[0], flat) if len(errors) == 1 else _paths(errors, flat)]
    if facts.settled_at is not None:
        parts.append(f"settled to a constant from step {facts.settled_at}")
    if facts.left_range_at is not None:
        parts.append(f"left the range of the training data at step {facts.left_range_at}")
    return "; ".join(parts)


def _one_path(own: float, flat: float) -> str:
    """One trajectory, which may be luck."""
    near = abs(own - flat) <= LEVEL * flat
    word = "level with" if near else "nearer to the truth than" if own < flat else "further from the truth than"
    return f"{word} a flat line (RMSE {own:.4g} against {flat:.4g}, one trajectory)"


def _paths(errors: Sequence[float], flat: float) -> str:
    """One trajectory per seed, sorted."""
    nearer = sum(own < flat * (1 - LEVEL) for own in errors)
    return (
        f"nearer to the truth than a flat line with {nearer} of {len(errors)} seeds "
        f"(RMSE {errors[0]:.4g} to {errors[-1]:.4g} against {flat:.4g})"
    )


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
    if p > 0.99:
        return "p > 0.99"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"

"""Facts about errors, beside numpy, scipy and an AR(1) whose autocorrelation is known."""

import numpy as np
import pytest
from scipy import signal, stats

from gatecast.judge.residuals import MOST_BINS, WORST, autocorrelation, residuals


def errors_of(error, scored=None, season=1):
    """Residuals whose truth is random and whose errors are these."""
    truth = np.random.default_rng(1).normal(100, 5, len(error))
    scored = np.full(len(error), True) if scored is None else scored
    return residuals(np.arange(len(error)), truth, truth - error, scored, season)


def test_autocorrelation_is_scipys_full_correlation_over_its_centre():
    values = np.random.default_rng(2).normal(3, 2, 211)
    away = values - values.mean()
    full = signal.correlate(away, away)
    np.testing.assert_allclose(autocorrelation(values, 40), (full / full[210])[211:251], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("phi", [-0.6, 0.3, 0.9])
def test_an_ar1_decays_as_its_closed_form_says(phi):
    n, lag = 100_000, np.arange(1, 11)
    noise = np.random.default_rng(3).normal(size=n)
    found = autocorrelation(signal.lfilter([1], [1, -phi], noise), 10)
    # Bartlett (1946): the variance of a sample autocorrelation of an AR(1)
    variance = (1 + phi**2) * (1 - phi ** (2 * lag)) / (1 - phi**2) - 2 * lag * phi ** (2 * lag)
    assert np.all(np.abs(found - phi**lag) < 4 * np.sqrt(variance / n))


def test_white_noise_stays_inside_the_band_as_often_as_the_band_says():
    rng = np.random.default_rng(4)
    outside = sum(errors_of(rng.normal(size=400)).outside for _ in range(200))
    # r_k has mean -1/n and variance (n - k) / (n (n + 2)) or so: a little narrower than the band assumes
    chance = [2 * stats.norm.sf(1.959964, scale=np.sqrt((400 - k) / 402)) for k in range(1, 31)]
    expected = 200 * sum(chance)
    assert abs(outside - expected) < 4 * np.sqrt(expected)


def test_a_gap_takes_its_pairs_with_it():
    values = np.random.default_rng(5).normal(size=60)
    values[[7, 8, 30]] = np.nan
    away = values - np.nanmean(values)
    pairs = [np.nansum(away[lag:] * away[:-lag]) for lag in (1, 2, 3)]
    np.testing.assert_allclose(autocorrelation(values, 3), np.array(pairs) / np.nansum(away**2), rtol=1e-12)


@pytest.mark.parametrize("draw", [stats.norm, stats.cauchy, stats.uniform], ids=lambda law: law.name)
def test_the_histogram_counts_every_error_once(draw):
    error = draw.rvs(size=500, random_state=6)
    found = errors_of(error)
    error = np.sort(error)
    below = np.searchsorted(error, found.edges[1:-1] - 1e-9 * np.ptp(error))
    assert found.counts.tolist() == np.diff([0, *below, 500]).tolist()
    assert len(found.counts) <= MOST_BINS
    np.testing.assert_allclose(np.diff(found.edges), np.ptp(error) / len(found.counts), rtol=1e-6)


def test_the_bins_are_as_wide_as_numpys_and_errors_that_are_nearly_equal_do_not_make_countless_ones():
    error = np.random.default_rng(9).normal(size=300)
    np.testing.assert_allclose(errors_of(error).edges, np.histogram_bin_edges(error, "fd"), rtol=1e-9, atol=1e-9)
    for far in (5.0, 1e6):
        nearly = np.repeat([0.3, np.nextafter(0.3, 1), far], [45, 45, 10])
        assert residuals(np.arange(100), nearly, np.zeros(100), np.full(100, True)).counts[[0, -1]].tolist() == [90, 10]


def test_the_worst_rows_are_the_largest_errors_and_unscored_rows_do_not_count():
    rng = np.random.default_rng(7)
    error, scored = rng.standard_t(2, 90), rng.random(90) < 0.8
    error[~scored] = 1e6
    found = errors_of(error, scored)
    order = sorted(np.flatnonzero(scored), key=lambda i: -abs(error[i]))[:WORST]
    assert found.worst.times.tolist() == order
    np.testing.assert_allclose(found.worst.error, error[order], rtol=1e-9)
    np.testing.assert_array_equal(found.worst.truth - found.worst.forecast, found.worst.error)
    assert found.mean == pytest.approx(error[scored].mean(), abs=1e-12)
    assert found.counts.sum() == scored.sum()
    assert found.band == pytest.approx(stats.norm.ppf(0.975) / np.sqrt(scored.sum()), rel=1e-6)


def test_few_or_equal_errors_are_described_all_the_same():
    one = errors_of(np.array([2.5]))
    assert (one.mean, len(one.autocorrelation), one.counts.tolist()) == (pytest.approx(2.5), 0, [1])
    for error in (0.0, 0.1):
        same = errors_of(np.full(20, error))
        assert np.isnan(same.autocorrelation).all() and same.outside == 0 and same.counts.sum() == 20


def test_two_seasons_of_lags_are_looked_at():
    error = np.random.default_rng(8).normal(size=1000)
    assert [len(errors_of(error, season=m).autocorrelation) for m in (1, 24, 168)] == [30, 48, 250]

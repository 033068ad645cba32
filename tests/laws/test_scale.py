"""Transforms: inverse(transform(y)) = y to round-off; what is fitted never moves when later rows change."""

import numpy as np
import pytest

from gatecast.errors import DataError, SpecError
from gatecast.prepare.scale import TRANSFORMS, fit_transform


def prices(seed: int, rows: int = 80, columns: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 50 * np.exp(np.cumsum(rng.normal(0, 0.02, rows)))[:, None] * np.exp(rng.normal(0, 0.01, (rows, columns)))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("horizon", [1, 6])
def test_inverse_of_transform_is_the_value(name, horizon):
    values = prices(1)
    transform = fit_transform(name, values[:60])
    z = transform.apply(values)
    origins = np.arange(transform.lost, 80 - horizon)
    steps = origins[:, None] + np.arange(1, horizon + 1)
    back = transform.invert(z[steps], values[origins])
    np.testing.assert_allclose(back, values[steps], rtol=1e-12)
    alone = transform.target_only().invert(z[steps][..., :1], values[origins, :1])
    np.testing.assert_array_equal(alone[..., 0], back[..., 0])
    assert np.isnan(z[: transform.lost]).all()
    assert np.isfinite(z[transform.lost :]).all()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_fitted_numbers_follow_the_declared_equivariance(name):
    values = prices(2)
    follows = {"shift and scale": (3.0, 100.0), "scale": (3.0, 0.0), "none": (1.0, 0.0)}
    size, shift = follows[TRANSFORMS[name][2]]
    plain, moved = fit_transform(name, values), fit_transform(name, values * size + shift)
    rows = slice(plain.lost, None)
    np.testing.assert_allclose(moved.apply(values * size + shift)[rows], plain.apply(values)[rows], atol=1e-9)


@pytest.mark.parametrize("name", ["minmax", "standard"])
def test_scales_on_the_training_rows(name):
    z = fit_transform(name, prices(3)).apply(prices(3))
    low, high = (z.min(axis=0), z.max(axis=0)) if name == "minmax" else (z.mean(axis=0), z.std(axis=0))
    np.testing.assert_allclose(low, 0, atol=1e-12)
    np.testing.assert_allclose(high, 1, atol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_constant_series_stays_finite(name):
    values = np.full((20, 2), 7.0)
    transform = fit_transform(name, values)
    z = transform.apply(values)[transform.lost :]
    assert np.isfinite(z).all()
    np.testing.assert_allclose(transform.invert(z[:, None], values[: len(z)]), 7.0)


def test_a_logarithm_names_the_column_and_row_that_is_not_positive():
    values = prices(4)
    values[7, 1] = 0.0
    with pytest.raises(DataError, match=r"column 'Low' has 0 in row 7"):
        fit_transform("logreturn", values, ("High", "Low", "Open"))
    with pytest.raises(SpecError, match="did you mean 'minmax'"):
        fit_transform("minmx", values)

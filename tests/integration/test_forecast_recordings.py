"""What forecasts are worth on series that nobody made for them, against baselines on the same cutoffs."""

from datetime import UTC, datetime

import numpy as np
import pytest
from support_forecast import HOUR, Floats, prague

from tweeling.domain.forecast import Score
from tweeling.ports.timeseries import Windows
from tweeling.services.forecasting import History, backtest, forecast
from tweeling.services.forecasting.history import on_grid
from tweeling.simulation.history import history as simulate

WEEK_MS = 168 * HOUR
END_MS = int(datetime(2026, 11, 2, 6, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture(scope="module")
def containers() -> dict[str, History]:
    return prague()


@pytest.fixture(scope="module")
def zones() -> dict[str, History]:
    """The demo region's 156 weeks, an hour apart."""
    fills: dict[str, list[tuple[int, float]]] = {}
    for chunk in simulate(2026, END_MS - 156 * WEEK_MS, END_MS, every_ms=HOUR):
        for time_ms, zone, level in chunk.fills:
            fills.setdefault(zone, []).append((time_ms, level))
    return {zone: _history(zone, np.array(rows)) for zone, rows in fills.items()}


def test_on_public_containers_the_model_beats_every_baseline_and_means_its_interval(
    containers: dict[str, History],
) -> None:
    model, persistence, climatology = _mean(containers)
    assert model.crps < 0.85 * climatology.crps
    assert model.crps < 0.75 * persistence.crps
    assert 0.72 < model.coverage80 < 0.88


def test_in_the_demo_region_the_model_beats_every_baseline_and_means_its_interval(zones: dict[str, History]) -> None:
    model, persistence, climatology = _mean(zones)
    assert model.crps < 0.95 * persistence.crps
    assert model.crps < 0.5 * climatology.crps
    assert 0.72 < model.coverage80 < 0.88


def test_every_container_and_zone_has_a_forecast_for_two_weeks(
    containers: dict[str, History], zones: dict[str, History]
) -> None:
    for name, series in {**containers, **zones}.items():
        answer = forecast(series, horizon=336)
        assert answer is not None, name
        assert answer.served in {score.model for score in answer.scores}
        assert all(0 <= low <= high <= 1 for low, high in zip(*_band(answer.quantiles), strict=True))


def _band(quantiles: dict[float, tuple[float, ...]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return quantiles[0.1], quantiles[0.9]


def _history(zone: str, rows: Floats) -> History:
    windows = Windows(rows[:, 0].astype(np.int64) // HOUR * HOUR, rows[:, 1])
    return History.of(f"H/{zone}/fillingLevel", on_grid(windows, end_ms=END_MS), end_ms=END_MS)


def _mean(series: dict[str, History]) -> list[Score]:
    """Each model's mean score over all series that have one of every model."""
    rows = [scores for each in series.values() if len(scores := backtest(each, horizon=336)) == 3]
    assert len(rows) >= 15
    return [
        Score(
            column[0].model,
            crps=float(np.mean([score.crps for score in column])),
            coverage80=float(np.mean([score.coverage80 for score in column])),
            cutoffs=sum(score.cutoffs for score in column),
        )
        for column in zip(*rows, strict=True)
    ]

"""Forecasts: sample paths from a series' own past, judged against baselines before they are served."""

from tweeling.services.forecasting.forecaster import Forecaster
from tweeling.services.forecasting.history import History
from tweeling.services.forecasting.model import forecast
from tweeling.services.forecasting.scoring import backtest

__all__ = ["Forecaster", "History", "backtest", "forecast"]

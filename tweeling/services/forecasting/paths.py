"""Three ways to continue a series, each as sample paths that are bounded and keep their dependence over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tweeling.services.forecasting.history import Floats
from tweeling.services.forecasting.past import MEMORY, Bools, Ints, Past

PATHS = 256

Model = Callable[[Past, Ints, int, np.random.Generator], "Floats | None"]
"""(past, origins, horizon, random) -> values[step, origin, path], each from what was known at its origin.

Origins are steps of the past whose level is known. None where the past is too short.
"""

_WEEK = 168
_YEAR_DAYS = 365.25


class _Rhythm(NamedTuple):
    """How a past is cut: into blocks of so many steps, one every `stride`; how many there must and may be."""

    block: int
    stride: int
    least: int
    most: int
    half_life_weeks: float


_RHYTHMS = (
    _Rhythm(_WEEK, _WEEK, 6, 156, 52),
    _Rhythm(24, 24, 7, 84, 4),
    _Rhythm(24, 1, 12, 336, 2),
    _Rhythm(1, 1, 24, 336, 2),
)
_NEAR = 0.1  # of full: how alike two levels must be for one to tell of the other
_FAR = 1e-3  # an analog from another level: a state never seen before must still go somewhere
_WEEKDAY = 3.0  # weight of the same day of the week, where blocks are days
_SEASON = 120.0  # weight of the same season of an earlier year, if years repeated each other exactly
_SEASON_DAYS = 10.0
_USUAL = 0.03  # how much years resemble each other before a series has shown it …
_USUAL_WEEKS = 20.0  # … which is worth so many weeks of showing it


def analogs(past: Past, origins: Ints, horizon: int, random: np.random.Generator) -> Floats | None:
    """From the level now, relive blocks of past increments of the same hours of the week.

    Each block is drawn by the level that its path has come to, by age, and by season in so far as the years of this
    series resemble each other. That the mean increment is not known exactly, least of all in a short past, is drawn
    once a path.
    """
    rhythm = next((row for row in _RHYTHMS if _enough(past, origins, row)), None)
    if rhythm is None:
        return None
    level = _levels(past, origins)
    season = np.array([_seasonality(past, int(origin)) for origin in origins])
    slope = _slopes(past, origins, rhythm, random)
    out = np.empty((horizon, len(origins), PATHS))
    for begin in range(0, horizon, rhythm.block):
        part = out[begin : begin + rhythm.block]
        starts, known = _blocks(past, origins, len(part), stride=rhythm.stride, most=rhythm.most, ahead=begin)
        weights = known * _relevance(origins[:, None] + begin - starts, rhythm, season[:, None])
        _walk(past, level, _draw(past, level, starts, weights, random), slope, part)
        level = past.settled(part[-MEMORY:])
    return out


def persistence(past: Past, origins: Ints, horizon: int, random: np.random.Generator) -> Floats | None:
    """The level stays; around it the changes over past windows that began at any hour, up or down alike."""
    for block in (horizon, 24, 1):
        starts, known = _blocks(past, origins, block, stride=1, most=52 * _WEEK)
        if known.sum(axis=1).min() >= max(24, block):  # fewer overlap so much that they tell of one time only
            break
    else:
        return None
    level = _levels(past, origins)
    out = np.empty((horizon, len(origins), PATHS))
    for begin in range(0, horizon, block):
        part = out[begin : begin + block]
        share, sign = random.random(PATHS), random.choice([-1.0, 1.0], PATHS)
        drawn = np.stack([row[ok][(share * ok.sum()).astype(int)] for row, ok in zip(starts, known, strict=True)])
        change = past.level[drawn + _steps(len(part))] - past.anchor[drawn]
        np.clip(level + sign * change, 0.0, past.full, out=part)
        level = part[-1]
    return out


def climatology(past: Past, origins: Ints, horizon: int, random: np.random.Generator) -> Floats | None:
    """What was at the same hours of the week in the last half year, whatever the level is now."""
    del random  # every week has its turn
    starts, known = _blocks(past, origins, horizon, stride=_WEEK, most=26)
    if known.sum(axis=1).min() < 4:
        return None
    drawn = np.stack([np.resize(row[ok], PATHS) for row, ok in zip(starts, known, strict=True)])
    return past.level[drawn + _steps(horizon)]


def _levels(past: Past, origins: Ints) -> Floats:
    return np.repeat(past.anchor[origins][:, None], PATHS, axis=1)


def _steps(length: int) -> Ints:
    return np.arange(1, length + 1)[:, None, None]


def _enough(past: Past, origins: Ints, rhythm: _Rhythm) -> bool:
    _, known = _blocks(past, origins, rhythm.block, stride=rhythm.stride, most=rhythm.most)
    return bool(known.sum(axis=1).min() >= rhythm.least)


def _blocks(past: Past, origins: Ints, length: int, *, stride: int, most: int, ahead: int = 0) -> tuple[Ints, Bools]:
    """Where blocks begin that lie whole strides before origin + ahead and end by the origin, the newest first.

    Both results are [origin, block]: a block runs from the step behind its start; known says that nothing is missing.
    """
    newest = -(-(ahead + length) // stride)
    count = max(1, min(most, int(origins.max() + ahead) // stride - newest + 1))
    starts = origins[:, None] + ahead - stride * np.arange(newest, newest + count)
    inside = starts >= 0
    starts = np.where(inside, starts, 0)
    return starts, inside & past.whole(starts, np.minimum(starts + length, origins[:, None]))


def _relevance(age: Ints, rhythm: _Rhythm, season: Floats) -> Floats:
    """How much a block says that lies `age` steps back."""
    weight = 0.5 ** (age / (_WEEK * rhythm.half_life_weeks))
    if rhythm.stride == 24:
        return weight * np.where(age % _WEEK == 0, _WEEKDAY, 1.0)
    if rhythm.stride < 24:
        return weight
    days = age / 24
    off = np.abs((days + _YEAR_DAYS / 2) % _YEAR_DAYS - _YEAR_DAYS / 2)
    again = np.exp(-0.5 * (off / _SEASON_DAYS) ** 2) * 0.5 ** (days / (2 * _YEAR_DAYS))
    return weight + _SEASON * season * np.where(days > _YEAR_DAYS / 2, again, 0.0)


def _seasonality(past: Past, origin: int) -> float:
    """How well a week's change is told by the same week a year earlier: a squared correlation, cautiously.

    Few weeks to compare leave it near what is usual.
    """
    change = np.diff(past.anchor[origin % _WEEK : origin + 1 : _WEEK])
    pairs = np.array([change[52:], change[:-52]])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    count: int = pairs.shape[1]
    if count < 3 or not pairs.std(axis=1).all():
        return _USUAL
    alike = max(0.0, float(np.corrcoef(pairs)[0, 1]) - 1 / math.sqrt(count))
    return (count * alike * alike + _USUAL_WEEKS * _USUAL) / (count + _USUAL_WEEKS)


def _slopes(past: Past, origins: Ints, rhythm: _Rhythm, random: np.random.Generator) -> Floats:
    """Per path an error of the mean increment, [origin, path]: Student's t with as many blocks as were seen."""
    starts, known = _blocks(past, origins, rhythm.block, stride=rhythm.block, most=rhythm.most)
    smooth = np.cumsum(np.where(past.reset | np.isnan(past.change), 0.0, past.change))
    change = np.where(known, smooth[starts + rhythm.block] - smooth[starts], 0.0)
    count = np.maximum(known.sum(axis=1), 1)
    error = np.sqrt((change**2).sum(axis=1)) / count / rhythm.block
    return np.stack([scale * _student(int(seen), random) for scale, seen in zip(error, count, strict=True)])


def _draw(past: Past, level: Floats, starts: Ints, weights: Floats, random: np.random.Generator) -> Ints:
    """Draw a start for each [origin, path] by weight and by likeness of level, spread evenly over the paths."""
    anchor = np.where(weights > 0, past.anchor[starts], 0.0)  # a missing one must not spoil the sum
    apart = (anchor[:, None, :] - level[:, :, None]) / (_NEAR * past.full)
    upto = np.cumsum(weights[:, None, :] * (np.exp(-0.5 * apart**2) + _FAR), axis=2)
    share = (random.permutation(PATHS) + random.random(PATHS)) / PATHS
    pick = (upto < (share * upto[:, :, -1])[:, :, None]).sum(axis=2)
    return np.take_along_axis(starts, pick, axis=1)


def _walk(past: Past, level: Floats, starts: Ints, slope: Floats, out: Floats) -> None:
    """Take the steps behind `starts` from `level`, within bounds at every one; an emptying leaves what it left then."""
    index = starts + _steps(len(out))
    change = past.change[index]
    change[0] = past.level[starts + 1] - past.anchor[starts]
    change += slope
    reset = past.reset[index]
    emptied = reset.any(axis=(1, 2))
    for step, row in enumerate(out):
        np.add(level, change[step], out=row)
        np.clip(row, 0.0, past.full, out=row)
        if emptied[step]:
            np.copyto(row, past.level[index[step]], where=reset[step])
        level = row


def _student(count: int, random: np.random.Generator) -> Floats:
    """Student's t of a mean of `count` values, one for each path; one value tells as little as two."""
    return random.standard_t(max(count - 1, 1), PATHS)

"""What a fill sensor says: the truth, censored at full, with noise that any moment can be asked for alone."""

from __future__ import annotations

from functools import lru_cache

from tweeling.simulation.parameters import NOISE_FAST, NOISE_KNOT_MS, NOISE_SLOW, RESOLUTION

_MASK = (1 << 64) - 1


class Sensor:
    """The level sensor of one zone; the same seed says the same at the same moment, whoever asks and when."""

    def __init__(self, seed: int) -> None:
        self._seed = seed & _MASK
        self._knot = lru_cache(maxsize=64)(self._draw_knot)

    def read(self, level: float, time_ms: int) -> float:
        """The fillingLevel reported for a true level."""
        index, rest = divmod(time_ms, NOISE_KNOT_MS)
        share = rest / NOISE_KNOT_MS
        share = share * share * (3 - 2 * share)
        slow = self._knot(index) * (1 - share) + self._knot(index + 1) * share
        value = level + NOISE_SLOW * slow + NOISE_FAST * _normal(self._seed ^ _MASK, time_ms)
        return round(min(1.0, max(0.0, value)), RESOLUTION)

    def _draw_knot(self, index: int) -> float:
        return _normal(self._seed, index)


def _normal(seed: int, index: int) -> float:
    """Nearly normal, mean 0 and deviation 1, from a hash (splitmix64): four uniforms of 16 bits, summed."""
    bits = (seed + index * 0x9E3779B97F4A7C15) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    bits ^= bits >> 31
    total = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
    return (total / 65536 - 2) * 1.7320508075688772  # sqrt(12 / 4)

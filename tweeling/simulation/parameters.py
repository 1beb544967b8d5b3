"""What the simulated world is like. Forecast and twin never read this: they have to find it out."""

from __future__ import annotations

from typing import NamedTuple


class Handling(NamedTuple):
    """How a material travels: usual net load and tare in kg, the scale's division in grams."""

    net_kg: int
    tare_kg: int
    division_g: int


class Process(NamedTuple):
    """What is done to a material in its zone, and the share that is lost as dust and moisture."""

    step: str
    loss: float


_TRUCK = 20_000  # g, a weighbridge
_FLOOR = 500  # g, a floor scale

HANDLING = {
    "beton_puin": Handling(25_000, 14_500, _TRUCK),
    "straatsteen": Handling(24_000, 14_000, _TRUCK),
    "grond": Handling(26_000, 14_500, _TRUCK),
    "staal": Handling(14_000, 13_500, _TRUCK),
    "hout_ab": Handling(8_000, 13_000, _TRUCK),
    "hout_herbruik": Handling(3_000, 7_500, _TRUCK),
    "gips": Handling(7_000, 11_500, _TRUCK),
    "vlakglas": Handling(6_000, 11_000, _TRUCK),
    "bouwproduct": Handling(1_200, 5_500, _TRUCK),
    "retourverpakking": Handling(700, 5_000, _TRUCK),
    "retour_ecom": Handling(300, 45, _FLOOR),
    "textiel": Handling(600, 90, _FLOOR),
    "aeea": Handling(700, 110, _FLOOR),
    "kunststof": Handling(9_000, 13_000, _TRUCK),
    "matras": Handling(1_800, 9_000, _TRUCK),
}

PROCESSES = {
    ("H1-A", "beton_puin"): Process("crushing", 0.0004),
    ("H2-A", "hout_ab"): Process("sorting", 0.0005),
    ("H4-B", "aeea"): Process("repairing", 0.0002),
    ("H5-A", "kunststof"): Process("baling", 0.0003),
    ("H6-A", "beton_puin"): Process("crushing", 0.0004),
    ("H6-C", "hout_ab"): Process("sorting", 0.0005),
}

LOAD_SPREAD = 0.2  # a load is its usual net weight, more or less this share
TARE_SPREAD = 0.06

OFFTAKE_GAIN = 0.3
"""How strongly off-take follows stock: 1 would empty a surplus in one dwell time; less is smoother, so stock swings."""
OFFTAKE_VARIATION = 0.06

NOISE_SLOW = 0.008  # of a full zone, wandering over hours: temperature, the heap's shape
NOISE_FAST = 0.003  # from one sample to the next
NOISE_KNOT_MS = 6 * 3_600_000
RESOLUTION = 3  # decimals that a sensor reports

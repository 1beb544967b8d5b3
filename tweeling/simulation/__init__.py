"""The demo region and what happens in it: invented, seeded, pure; the same on a gateway and on a hub."""

from tweeling.simulation.faults import Fault, Faults
from tweeling.simulation.faulty import Faulty, Told
from tweeling.simulation.history import Chunk, history
from tweeling.simulation.simulator import Fill, Load, Processing, Simulator, Stock

__all__ = ["Chunk", "Fault", "Faults", "Faulty", "Fill", "Load", "Processing", "Simulator", "Stock", "Told", "history"]

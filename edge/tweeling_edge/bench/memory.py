"""What the whole agent, as a process of its own, takes of a gateway's memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tweeling.errors import TweelingError
from tweeling_edge.clock import system_ms

GOAL_MB = 60.0
_START_MS = 1_700_000_000_000  # of the simulated story
_SPEED = 100_000


def peak_mb(pid: int | str = "self") -> float:
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def of_agent(folder: Path, seconds: float) -> float:
    """Let an agent fill its outbox with a simulated hub, without a broker; return its peak in MB."""
    config = folder / "edge.toml"
    config.write_text(
        'hub = "H1"\nnode = "bench"\n[broker]\nport = 1\n'
        f"[outbox]\npath = {json.dumps(str(folder / 'agent.sqlite3'))}\n"
        f"[clock]\norigin_sim_ms = {_START_MS}\norigin_real_ms = {system_ms()}\nspeed = {_SPEED}\n"
        f'[[drivers]]\nkind = "simulate"\nstart_ms = {_START_MS}\ntick_s = 0.05\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "tweeling_edge", "run", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as agent:
        try:
            agent.wait(max(seconds, 2.0))
        except subprocess.TimeoutExpired:
            mb = peak_mb(agent.pid)
        else:
            said = agent.stderr.read().decode(errors="replace") if agent.stderr else ""
            raise TweelingError(f"the agent ended at once: {said[-500:]}")
        finally:
            agent.terminate()
            agent.communicate()
    return mb

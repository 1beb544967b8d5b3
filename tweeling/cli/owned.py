"""Become a program that ends with whoever started it: `python owned.py PARENT-PID PROGRAM ARGUMENT…`.

A step of its own between fork and program, because a process with threads must not run Python between the two.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for the signal, then be the program."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the kernel knew
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 -- our own command, without a shell


if __name__ == "__main__":
    main()

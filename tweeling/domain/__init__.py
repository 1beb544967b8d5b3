"""Pure values and arithmetic: no clock, no randomness, no socket, no file."""

"""Groups of commands: each parses, calls one service and prints."""

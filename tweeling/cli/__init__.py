"""The command line: parse, build, call one service, map an error to an exit code."""

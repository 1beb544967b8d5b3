"""`tweeling bench`: programs that measure, each beside the machine's own limit in the same run."""

"""Use cases over ports: what Tweeling does with what it is given."""

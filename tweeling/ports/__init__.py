"""What the core needs of the world, in its own words, each with its promise."""

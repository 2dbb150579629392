"""Where a network is quantised, to which grid, and its integers."""

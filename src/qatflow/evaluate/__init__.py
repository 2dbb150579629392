"""Top-1, top-5, confusion, sizes and host latency."""

"""Compression by training: quantisers, strategies, and the loop that calls them."""

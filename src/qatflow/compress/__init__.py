"""Training for int8: the Compressor, its quantisers, strategies and distillers."""

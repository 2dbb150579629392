"""The compression strategies."""

"""Writes a first configuration for a folder of pictures, a model, or both, after looking at them."""

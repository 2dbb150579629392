"""Keras classifiers, and their translation into a graph."""

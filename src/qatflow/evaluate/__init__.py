"""Accuracy, confusion, sizes, host latency, and the accuracy gate."""

"""Prepared pictures through LiteRT, by all cores of a job and with a memory that does not grow with their number."""

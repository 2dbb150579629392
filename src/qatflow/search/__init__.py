"""Searches over networks before training: candidates are proposed in rounds, each is evaluated by a job."""

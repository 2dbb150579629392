"""Searches over networks before training: proposed in rounds, evaluated each by a job, the best kept."""

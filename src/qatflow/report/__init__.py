"""The report of an experiment: tables, pictures and pages."""

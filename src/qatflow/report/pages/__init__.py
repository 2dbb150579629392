"""The page of an experiment: its tables and pictures, and the template that puts them together."""

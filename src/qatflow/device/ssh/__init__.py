"""A board that is reached by ssh."""

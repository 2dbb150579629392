"""Finds what is wrong with a configuration or a recipe, before any job starts."""

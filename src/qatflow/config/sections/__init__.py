"""The configuration's sections as types."""

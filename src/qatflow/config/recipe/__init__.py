"""The compress YAML's sections as types."""

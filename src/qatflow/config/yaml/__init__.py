"""YAML files with line numbers, merged and included."""

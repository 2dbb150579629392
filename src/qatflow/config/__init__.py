"""Configuration: the typed model, its YAML files, and the checks made before any job starts."""

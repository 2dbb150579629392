"""Two results of an experiment compared: settings, figures, layers; as text, JSON and page."""

"""The files that saved models and weights come in."""

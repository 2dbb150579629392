"""Tables and pictures of a finished experiment."""

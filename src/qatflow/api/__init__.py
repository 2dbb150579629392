"""The public functions: few, each in a file of its own."""

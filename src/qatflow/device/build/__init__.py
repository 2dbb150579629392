"""The C++ demo, cross-built and bundled."""

"""Pictures: sources, TFRecord shards, the manifest, and the one definition of preprocessing."""

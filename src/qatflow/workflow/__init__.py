"""What the Snakemake rules ask for: which jobs, with which settings."""

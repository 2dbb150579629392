"""What every stage uses: files, errors, checksums, figures."""

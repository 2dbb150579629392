"""What a run on a device found: report, warnings, gate."""

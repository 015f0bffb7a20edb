"""Image sequences in and out: a changed sample is written back, everything else stays as it was."""

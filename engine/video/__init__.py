"""Video in and out: exact frames, exact times, every other stream untouched."""

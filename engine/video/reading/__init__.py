"""The parts of `reader`: from a file that nobody vouches for to pictures with exact times."""

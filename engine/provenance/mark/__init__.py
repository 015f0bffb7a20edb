"""The imperceptible mark that a swapped face carries: its payload, its pattern, and how it is found again."""

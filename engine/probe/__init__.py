"""What this machine can do: the driver's devices, and each ability, tried in a process of its own."""

"""Our kernels on a lane: what a launch is given, checked, and brought to the device."""

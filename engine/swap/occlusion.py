"""What lies before a face."""

SIZE_PX = 96
INPUT_NAME = "face"
OUTPUT_NAMES = ("visible", "covered")

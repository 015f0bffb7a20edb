"""For tests that compare films byte for byte: two signatures over the same bytes differ."""

from __future__ import annotations

from crossface.engine import Signing

UNSIGNED = Signing(unsigned_because="this test compares bytes")
UNSIGNED_OPTIONS = ("--no-credentials", "this test compares bytes")

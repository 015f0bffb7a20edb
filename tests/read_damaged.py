"""Reads files whose paths come on stdin, one a line, and says on stdout what came out, as JSON.

Run by `test_random_damage` in a process of its own, so that a crash of a decoder is seen.
"""

import hashlib
import json
import sys
from pathlib import Path

from crossface.engine.errors import CrossfaceError
from crossface.engine.video.reader import Reader


def read(path: Path, *, tolerate_damage: bool) -> dict[str, object]:
    frames: list[tuple[float, str]] = []
    try:
        with Reader(path, threads=2, tolerate_damage=tolerate_damage) as reader:
            for frame in reader:
                samples = b"".join(plane.tobytes() for plane in frame.planes)
                frames.append((float(frame.pts * frame.time_base), hashlib.md5(samples).hexdigest()))
            return {"frames": frames, "warnings": reader.warnings}
    except CrossfaceError as error:
        return {"frames": frames, "error": str(error), "exit_code": error.exit_code}
    except Exception as error:
        return {"frames": frames, "untyped": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        source = Path(json.loads(line))
        answer = {
            choice: read(source, tolerate_damage=choice == "tolerant") for choice in ("tolerant", "strict")
        }
        print(json.dumps(answer), flush=True)

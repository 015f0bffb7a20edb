"""Opens a media file and decodes its first pictures; run by `limits` in a process of its own.

Only the standard library and PyAV are imported, so that it starts fast. Whatever libav
says about the file is of no interest here, as whoever reads it next is told the same: what
counts is whether this process gets to its end.
"""

import contextlib
import json
import resource
import sys
from typing import Any

OUT_OF_MEMORY = 3


def main(order: dict[str, Any]) -> int:
    """Try a file.

    Args:
        order: ``url``, ``options``, ``pictures``, ``memory_bytes``, ``cpu_s``, ``path`` to import from.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (order["memory_bytes"], order["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (order["cpu_s"], order["cpu_s"] + 5))
    sys.path[:] = order["path"]
    import av
    import av.error

    try:
        with contextlib.suppress(av.error.InvalidDataError, ValueError):
            container = av.open(order["url"], options=order["options"], metadata_errors="surrogateescape")
            for stream in container.streams.video:
                stream.codec_context.options = {"max_pixels": order["options"]["max_pixels"]}
            frames = 0
            for packet in container.demux(video=0):
                with contextlib.suppress(av.error.InvalidDataError):
                    frames += len(packet.decode())
                if frames >= order["pictures"]:
                    break
    except (MemoryError, av.error.MemoryError):
        return OUT_OF_MEMORY
    except (av.error.FFmpegError, IndexError):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))

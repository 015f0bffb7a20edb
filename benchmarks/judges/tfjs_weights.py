"""Weights as TensorFlow.js stores them: a JSON manifest, and shards of plain bytes.

The manifest is a list of groups. A group's shards, one after another, hold its weights one after another,
without padding, little endian. A weight may be quantised to whole numbers: ``value = min + scale * code``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossface.engine.errors import BadInputError

Weights = dict[str, NDArray[np.float32]]

_CODES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}


def read_weights(manifest: bytes, shards: Mapping[str, bytes]) -> Weights:
    """Reads the weights of one network.

    Args:
        manifest: the JSON file.
        shards: the bytes of each shard, by its path in the manifest.

    Returns:
        Every weight by name, float32, in the shape and axis order of the file (convolutions: height, width,
        in, out).

    Raises:
        BadInputError: no manifest, a shard that is missing, or bytes that do not add up.
    """
    weights: Weights = {}
    try:
        for group in json.loads(manifest):
            content = b"".join(shards[path] for path in group["paths"])
            start = 0
            for entry in group["weights"]:
                values, start = _read(entry, content, start)
                weights[entry["name"]] = values
            if start != len(content):
                raise ValueError(f"{len(content) - start} bytes are left over")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"weights manifest: cannot be read ({error}): fetch the judges again") from error
    return weights


def _read(entry: Mapping[str, Any], content: bytes, start: int) -> tuple[NDArray[np.float32], int]:
    shape = [int(side) for side in entry["shape"]]
    if entry["dtype"] != "float32":
        raise ValueError(f"{entry['name']} is {entry['dtype']}, not float32")
    quantised = entry.get("quantization")
    if quantised is None:
        dtype: np.dtype[Any] = np.dtype("<f4")
        scale, least = 1.0, 0.0
    else:
        dtype = _CODES[quantised["dtype"]]
        scale, least = float(quantised["scale"]), float(quantised["min"])
    end = start + math.prod(shape) * dtype.itemsize
    if end > len(content):
        raise ValueError(f"{entry['name']} is cut short")
    codes = np.frombuffer(content[start:end], dtype).reshape(shape)
    return (codes * scale + least).astype(np.float32), end

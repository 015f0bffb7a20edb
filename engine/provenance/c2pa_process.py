"""Writes or reads content credentials; run by `c2pa_file` in a process of its own, with bounded memory.

Only the standard library and c2pa are imported, so that it starts fast. A JSON object a line, in and out. In:
the order, then an answer ``{"signature": base64}`` to each ``{"to_sign": base64}``. Out at the end: what was
found, or ``{"error": ..., "kind": ...}``. No private key comes here, and nothing goes over the network.
"""

import base64
import io
import json
import os
import resource
import sys
from typing import Any, BinaryIO, TextIO

# Manifests that lie elsewhere are not fetched, nor is anybody asked whether a certificate was revoked.
# Thumbnails would show the source's people.
_SETTINGS: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
    "core": {"backing_store_memory_threshold_in_mb": 16},
}


class _Unchanged(io.RawIOBase):
    """Takes for written what is there already: without embedding, c2pa copies its source to its target."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Any) -> int:
        self._file.seek(len(data), os.SEEK_CUR)
        return len(data)


def _sign(order: dict[str, Any], c2pa: Any, out: TextIO) -> dict[str, Any]:
    """Sign a file.

    Args:
        order: ``source`` and its ``mime``; ``target`` for a signed copy, or ``sidecar`` for the manifest
            alone; ``manifest``; ``ingredient``, see `_add_ingredient`; ``certificates`` and ``algorithm``.
        c2pa: the module.
        out: where signatures are asked for.
    """

    def signature(data: bytes) -> bytes:
        _say(out, {"to_sign": base64.b64encode(data).decode()})
        return base64.b64decode(json.loads(sys.stdin.readline())["signature"])

    context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))
    manifest = order["manifest"]
    ingredient = order["ingredient"]
    carried = None
    if ingredient is not None:
        embedded, carried = _add_ingredient(ingredient, manifest, c2pa, context)
    builder = c2pa.Builder(manifest, context)
    if carried is not None:
        builder.add_resource("source", io.BytesIO(carried))
    if ingredient is not None and embedded:
        with open(ingredient["path"], "rb") as file:
            builder.add_ingredient(json.dumps(ingredient["fields"]), ingredient["mime"], file)
    signer = c2pa.Signer.from_callback(
        signature, c2pa.C2paSigningAlg[order["algorithm"].upper()], order["certificates"]
    )
    with open(order["source"], "rb") as source:
        if order["target"] is not None:
            with open(order["target"], "w+b") as target:
                builder.sign(signer, order["mime"], source, target)
                target.flush()
                os.fsync(target.fileno())
        else:
            builder.set_no_embed()
            with open(order["source"], "rb", buffering=0) as same:
                content = builder.sign(signer, order["mime"], source, _Unchanged(same))
            with open(order["sidecar"], "wb") as sidecar:
                sidecar.write(content)
    return {"signed": True}


def _add_ingredient(
    ingredient: dict[str, Any], manifest: dict[str, Any], c2pa: Any, context: Any
) -> tuple[bool, bytes | None]:
    """Name the source in the manifest; its own credentials are carried on.

    Args:
        ingredient: ``fields`` of the manifest; ``path``, ``mime`` and ``sidecar`` of the file, or None.
        manifest: gets the ingredient, unless c2pa is to read it from the file.
        c2pa: the module.
        context: for it.

    Returns:
        Whether it is to be read from the file, and the content of a sidecar.
    """
    fields, path, mime = ingredient["fields"], ingredient["path"], ingredient["mime"]
    if path is not None:
        try:
            with open(path, "rb") as file:
                c2pa.Reader(mime, file, None, context)
            return True, None
        except c2pa.C2paError:
            pass  # it has none inside, or is of a kind that holds none
    if ingredient["sidecar"] is not None:
        with open(ingredient["sidecar"], "rb") as file:
            content = file.read()
        try:
            with open(path, "rb") as file:
                found = json.loads(c2pa.Reader(mime, file, content, context).json())
            manifest["ingredients"] = [
                {
                    **fields,
                    "active_manifest": found["active_manifest"],
                    "validation_results": found["validation_results"],
                    "manifest_data": {"format": "application/c2pa", "identifier": "source"},
                }
            ]
            return False, content
        except (c2pa.C2paError, KeyError):
            pass  # what lies beside it is none of its
    manifest["ingredients"] = [fields]
    return False, None


def _read(order: dict[str, Any], c2pa: Any, out: TextIO) -> dict[str, Any]:
    """Check a file's credentials.

    Args:
        order: ``file`` and its ``mime``; ``sidecar`` with the manifest, or None; ``anchors``, PEM of roots to
            trust, or None.
        c2pa: the module.
        out: not used.
    """
    settings = dict(_SETTINGS)
    if order["anchors"] is not None:
        settings["trust"] = {"user_anchors": order["anchors"]}
    content = None
    if order["sidecar"] is not None:
        with open(order["sidecar"], "rb") as file:
            content = file.read()
    with open(order["file"], "rb") as file:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
        reader = c2pa.Reader(order["mime"], file, content, context)
        return {"state": reader.get_validation_state(), "found": json.loads(reader.json())}


def _say(out: TextIO, fields: dict[str, Any]) -> None:
    out.write(json.dumps(fields) + "\n")
    out.flush()


def main() -> None:
    order = json.loads(sys.stdin.readline())
    # What libraries print must not come between the lines.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (order["memory_bytes"], order["memory_bytes"]))
    sys.path[:] = order["path"]
    import c2pa

    try:
        done = {"sign": _sign, "read": _read}[order["do"]](order, c2pa, out)
    except Exception as error:
        _say(out, {"error": str(error), "kind": type(error).__name__.removeprefix("_C2pa")})
        return
    _say(out, done)


if __name__ == "__main__":
    main()

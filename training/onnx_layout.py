"""ONNX files whose large weights lie where a runtime can use them in place."""

from __future__ import annotations

import onnx

from ..engine.runtime.onnx_file import (
    DOC_STRING,
    GRAPH,
    INITIALIZER,
    LEAST_WEIGHT_BYTES,
    RAW_DATA,
    WEIGHT_ALIGNMENT_BYTES,
    message,
    message_head,
)


def laid_out(model: onnx.ModelProto) -> bytes:
    """The file's bytes: the model, its graph last, each large weight at a multiple of 64 bytes.

    A protocol buffer has no room between its fields; what is needed is taken by the weights' descriptions,
    which hold as many spaces. The same model gives the same bytes.
    """
    rest, graph = onnx.ModelProto(), onnx.GraphProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    graph.CopyFrom(model.graph)
    graph.ClearField("initializer")
    begin, body = rest.SerializeToString(deterministic=True), graph.SerializeToString(deterministic=True)
    # The graph's length stands before the weights and takes more bytes the more it is.
    head = b""
    while True:
        place = len(begin) + len(head) + len(body)
        weights = []
        for tensor in model.graph.initializer:
            weights.append(_tensor(tensor, place))
            place += len(weights[-1])
        head, before = message_head(GRAPH, len(body) + sum(map(len, weights))), head
        if len(head) == len(before):
            return b"".join([begin, head, body, *weights])


def _tensor(tensor: onnx.TensorProto, place: int) -> bytes:
    """A weight as a field that begins at ``place``."""
    raw: bytes = tensor.raw_data
    if len(raw) < LEAST_WEIGHT_BYTES:
        return message(INITIALIZER, tensor.SerializeToString(deterministic=True))
    described = onnx.TensorProto()
    described.CopyFrom(tensor)
    described.ClearField("raw_data")
    described.ClearField("doc_string")
    before: bytes = described.SerializeToString(deterministic=True)
    for spaces in range(2 * WEIGHT_ALIGNMENT_BYTES):
        start = before + message(DOC_STRING, b" " * spaces) + message_head(RAW_DATA, len(raw))
        head = message_head(INITIALIZER, len(start) + len(raw))
        if (place + len(head) + len(start)) % WEIGHT_ALIGNMENT_BYTES == 0:
            return head + start + raw
    raise AssertionError("one of 64 places in a row is a multiple of 64")

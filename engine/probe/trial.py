"""Tries one ability of this machine; run by `process` in a process of its own.

A driver that crashes or hangs takes only that process with it, and the program that asks stays free of CUDA,
which does not survive a fork. Only the standard library is imported at first, so that it starts fast. Nothing
of this has been executed with a GPU yet, only with stubs of the drivers.

Its order is one JSON object: ``trial``, ``path`` to import from, ``device`` (its index, or null where there
is none) and ``fatbin``. So is its answer: ``works``, ``detail``, and what the trial adds.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Order = dict[str, Any]
Answer = dict[str, Any]


class MissingError(Exception):
    """An ability is not here: why, and what to do."""


# Results of the driver that a user can do something about; cuda.h, CUresult.
_ADVICE = {
    2: "its memory is full: end what else runs there",
    34: "this is the toolkit's stub and no driver: take its folder out of LD_LIBRARY_PATH",
    46: "another process has the device for itself, or it is reserved: wait, or ask who uses it",
    100: "the driver finds no device: check nvidia-smi; a container must be given the GPU",
    209: "the kernels were not built for this GPU: build Crossface with a newer nvcc",
    222: "the driver is older than the kernels: update it",
    802: "the system is not ready: on machines with NVSwitch start nvidia-fabricmanager",
    803: "the driver's kernel module and libraries differ in version: restart the machine",
    804: "its compatibility package does not know this GPU: remove cuda-compat, or update the driver",
    999: "the driver is in disorder: restart the machine, or load the nvidia_uvm module anew",
}
_NO_DEVICE = 100
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76


class Libcuda:
    """libcuda, as far as a trial needs it."""

    def __init__(self) -> None:
        self._library = _load("libcuda.so.1", "no NVIDIA driver: install it, or give the container the GPU")
        self._call("cuInit", 0)

    def version(self) -> tuple[int, int]:
        """The newest CUDA that the driver serves."""
        number = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(number))
        return number.value // 1000, number.value % 1000 // 10

    def devices(self) -> list[dict[str, Any]]:
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if count.value == 0:
            raise MissingError(_no_device())
        return [self._described(index) for index in range(count.value)]

    def make_current(self, index: int) -> None:
        """Makes the primary context of a device current; it ends with the process."""
        device, context = self._device(index), ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxPushCurrent_v2", context)

    def load_module(self, path: Path) -> None:
        module = ctypes.c_void_p()
        self._call("cuModuleLoad", ctypes.byref(module), os.fsencode(path))

    def _device(self, index: int) -> ctypes.c_int:
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), index)
        return device

    def _described(self, index: int) -> dict[str, Any]:
        device = self._device(index)
        name, bus = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
        self._call("cuDeviceGetName", name, len(name), device)
        self._call("cuDeviceGetPCIBusId", bus, len(bus), device)
        memory = ctypes.c_size_t()
        self._call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        uuid = (ctypes.c_ubyte * 16)()
        # The second version, from CUDA 11.4 on, tells the parts of a divided GPU apart.
        self._call(
            "cuDeviceGetUuid_v2" if hasattr(self._library, "cuDeviceGetUuid_v2") else "cuDeviceGetUuid",
            ctypes.byref(uuid),
            device,
        )
        capability = [
            self._attribute(number, device)
            for number in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR)
        ]
        return {
            "index": index,
            "name": name.value.decode(errors="replace"),
            "capability": capability,
            "memory_bytes": memory.value,
            "uuid": _told_uuid(bytes(uuid), name.value),
            "pci_bus": bus.value.decode(),
        }

    def _attribute(self, number: int, device: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            code = getattr(self._library, name)(*arguments)
        except AttributeError:
            raise MissingError(f"the NVIDIA driver has no {name}: update it") from None
        if code == _NO_DEVICE:
            raise MissingError(_no_device())
        if code:
            raise MissingError(
                f"{name} says {self._error_name(code)}: {_ADVICE.get(code, 'update the driver')}"
            )

    def _error_name(self, code: int) -> str:
        name = ctypes.c_char_p()
        known = hasattr(self._library, "cuGetErrorName") and not self._library.cuGetErrorName(
            code, ctypes.byref(name)
        )
        return name.value.decode() if known and name.value else f"error {code}"


def _told_uuid(uuid: bytes, name: bytes) -> str:
    """As CUDA_VISIBLE_DEVICES takes it."""
    # CUDA gives no prefix, and tells a part of a divided GPU by its name, such as "NVIDIA A30 MIG 1g.6gb".
    prefix = "MIG" if re.search(rb" MIG \d+[cg]\.", name) else "GPU"
    return "-".join((prefix, *re.findall("^(.{8})(.{4})(.{4})(.{4})(.{12})$", uuid.hex())[0]))


def _no_device() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f'no CUDA device: CUDA_VISIBLE_DEVICES="{visible}" leaves none: change it, or check nvidia-smi'
    return f"no CUDA device: {_ADVICE[_NO_DEVICE]}"


def _load(library: str, absent: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(library)
    except OSError as error:
        # The loader names what it did not find: the library itself, or another that this one needs.
        here = not str(error).startswith(f"{library}: cannot open")
        raise MissingError(f"{absent} ({error})" if here else absent) from None


def _need_device(order: Order) -> int:
    if order["device"] is None:
        raise MissingError("is here, but there is no CUDA device for it")
    index: int = order["device"]
    return index


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever a foreign library raises when it is loaded
        if isinstance(error, ModuleNotFoundError) and module.startswith(str(error.name)):
            raise MissingError(f'not installed: pip install "crossface[{extra}]"') from None
        raise MissingError(f"installed, but cannot be loaded: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def driver(order: Order) -> Answer:
    cuda = Libcuda()
    version = ".".join(map(str, cuda.version()))
    module = _kernel_module_version()
    detail = f"CUDA {version}" if module is None else f"driver {module}, CUDA {version}"
    return {"detail": detail, "devices": cuda.devices()}


def _kernel_module_version() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return found and found[1]


def kernels(order: Order) -> Answer:
    fatbin = Path(order["fatbin"])
    if not fatbin.is_file():
        raise MissingError("not in this build: install nvcc (CUDA 13), and build Crossface again")
    index = _need_device(order)
    cuda = Libcuda()
    cuda.make_current(index)
    cuda.load_module(fatbin)
    return {"detail": "the driver takes them"}


class _DecoderCapabilities(ctypes.Structure):
    """CUVIDDECODECAPS of cuviddec.h."""

    _fields_ = (
        ("codec", ctypes.c_int),
        ("chroma", ctypes.c_int),
        ("bits_minus_8", ctypes.c_uint),
        ("reserved_1", ctypes.c_uint * 3),
        ("supported", ctypes.c_ubyte),
        ("decoders", ctypes.c_ubyte),
        ("output_formats", ctypes.c_ushort),
        ("max_width", ctypes.c_uint),
        ("max_height", ctypes.c_uint),
        ("max_macroblocks", ctypes.c_uint),
        ("min_width", ctypes.c_ushort),
        ("min_height", ctypes.c_ushort),
        ("histogram", ctypes.c_ubyte),
        ("counter_bits", ctypes.c_ubyte),
        ("max_bins", ctypes.c_ushort),
        ("reserved_3", ctypes.c_uint * 10),
    )


# Of those that libav decodes on the device: cudaVideoCodec, and the depths that our kernels take in 4:2:0.
_CODECS = {
    "mpeg4": (2, (8,)),
    "h264": (4, (8, 10)),
    "hevc": (8, (8, 10)),
    "vp9": (10, (8, 10)),
    "av1": (11, (8, 10)),
}
_CHROMA_420 = 1


def nvdec(order: Order) -> Answer:
    library = _load("libnvcuvid.so.1", _without("libnvcuvid.so.1"))
    index = _need_device(order)
    Libcuda().make_current(index)
    found = [
        f"{name} {bits} bit"
        for name, (number, depths) in _CODECS.items()
        for bits in depths
        if _decodes(library, number, bits)
    ]
    if not found:
        raise MissingError("this GPU decodes no codec that Crossface reads")
    return {"detail": ", ".join(found), "codecs": found}


def _decodes(library: ctypes.CDLL, codec: int, bits: int) -> bool:
    asked = _DecoderCapabilities(codec=codec, chroma=_CHROMA_420, bits_minus_8=bits - 8)
    return library.cuvidGetDecoderCaps(ctypes.byref(asked)) == 0 and bool(asked.supported)


def _without(library: str) -> str:
    return (
        f"no {library}: it comes with the driver; "
        "a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
    )


def nvenc(order: Order) -> Answer:
    _load("libnvidia-encode.so.1", _without("libnvidia-encode.so.1"))
    index = _need_device(order)
    found, complaint = [], ""
    for codec in ("h264", "hevc", "av1"):
        refusal = try_encoder(f"{codec}_nvenc", {"gpu": str(index)})
        if refusal is None:
            found.append(codec)
        complaint = complaint or refusal or ""
    if not found:
        raise MissingError(f"opens no encoder: {complaint}")
    return {"detail": ", ".join(found), "codecs": found}


def try_encoder(name: str, options: dict[str, str]) -> str | None:
    """Encodes a picture; why it cannot, or None."""
    import av
    import av.logging

    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture() as log:
        try:
            encoder: Any = av.CodecContext.create(name, "w")
            encoder.width, encoder.height, encoder.pix_fmt = 256, 256, "yuv420p"
            encoder.framerate, encoder.options = 25, options
            packets = [*encoder.encode(av.VideoFrame(256, 256, "yuv420p")), *encoder.encode(None)]
        except Exception as error:  # libav's, or the binding's own
            # Its log says more than its error codes, such as which driver an encoder needs.
            return "; ".join(message.strip() for _, _, message in log[:2]) or _first_line(error)
    return None if packets else "it gives no packet"


# A convolution in float16: the sum of nine pixels. What most of our networks' work is, and for which ONNX
# Runtime loads cuDNN only when it comes to one. A ModelProto of ONNX, IR 8.
TINY_SHAPE = (1, 1, 3, 3)
TINY_NETWORK = bytes.fromhex(
    "0808"
    "3a71"
    "0a0f 0a0178 0a0177 120179 2204436f6e76"
    "120167"
    "2a21 0801 0801 0803 0803 100a 420177 4a12 003c003c003c003c003c003c003c003c003c"
    "5a1b 0a0178 1216 0a14 080a 1210 0a02 0801 0a02 0801 0a02 0803 0a02 0803"
    "621b 0a0179 1216 0a14 080a 1210 0a02 0801 0a02 0801 0a02 0801 0a02 0801"
    "4204 0a00 100d"
)


def onnxruntime(order: Order) -> Answer:
    # As in runtime/onnx.py: nothing is reported to its maker.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    library = _imported("onnxruntime", "gpu")
    if "CUDAExecutionProvider" not in library.get_available_providers():
        raise MissingError(
            f"onnxruntime {library.__version__} is the one for CPUs: "
            'pip uninstall onnxruntime, then pip install "crossface[gpu]"'
        )
    index = _need_device(order)
    if hasattr(library, "preload_dlls"):
        library.preload_dlls()
    options = library.SessionOptions()
    # As in runtime/onnx_bound.py: the CPU must not step in, neither for a part nor for all of it.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    providers = [("CUDAExecutionProvider", {"device_id": str(index)})]
    try:
        session = library.InferenceSession(TINY_NETWORK, options, providers=providers, enable_fallback=0)
        session.run(None, {"x": importlib.import_module("numpy").zeros((1, 1, 3, 3), "float16")})
    except Exception as error:  # its exceptions share no base of their own
        raise MissingError(
            f"onnxruntime {library.__version__} cannot use CUDA ({_first_line(error)}): "
            'pip install "onnxruntime-gpu[cuda,cudnn]", or update the driver'
        ) from None
    return {"detail": library.__version__}


def tensorrt(order: Order) -> Answer:
    library = _imported("tensorrt", "tensorrt")
    version = tuple(int(part) for part in re.findall(r"\d+", library.__version__)[:2])
    if not (10, 16) <= version < (12,):
        raise MissingError(f"version {library.__version__} is not supported: install 10.16, or 11")
    _need_device(order)
    try:
        library.Runtime(library.Logger(library.Logger.ERROR))
    except TypeError as error:
        # What the bindings make of a null pointer.
        raise MissingError(
            f"version {library.__version__} does not start: does it fit the driver's CUDA?"
        ) from error
    return {"detail": library.__version__}


def pycuda(order: Order) -> Answer:
    if importlib.util.find_spec("pycuda") is not None:
        # Without a driver it does not even load.
        _need_device(order)
    with contextlib.suppress(OSError):
        # See engine/device.py.
        ctypes.CDLL("libcuda.so.1", ctypes.RTLD_GLOBAL)
    library = _imported("pycuda.driver", "cuda")
    version = importlib.import_module("pycuda").VERSION_TEXT
    library.init()
    return {"detail": f"{version}, {library.Device.count()} devices"}


TRIALS: dict[str, Callable[[Order], Answer]] = {
    trial.__name__: trial for trial in (driver, kernels, pycuda, nvdec, nvenc, onnxruntime, tensorrt)
}


def main(order: Order) -> Answer:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path[:] = order["path"]
    try:
        return {"works": True, **TRIALS[order["trial"]](order)}
    except MissingError as missing:
        return {"works": False, "detail": str(missing)}
    except Exception as error:  # of a foreign library
        return {"works": False, "detail": f"fails: {type(error).__name__}: {_first_line(error)}"}


if __name__ == "__main__":
    # What libraries print must not get into the answer.
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    os.write(answer_fd, json.dumps(main(json.loads(sys.argv[1]))).encode())
    # Past the libraries' own endings, which may crash or hang as well.
    os._exit(0)

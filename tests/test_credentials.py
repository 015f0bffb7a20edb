"""Content credentials: what they say, that they change no picture, and that any change of the film shows.

The reader that judges them is the C2PA project's own, which is not ours.
"""

from __future__ import annotations

import datetime
import functools
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from make_clips import make_clip
from make_streams import packets_of
from split_clip import split_clip
from test_convert import QUICK, comment, run
from unsigned import UNSIGNED

from crossface.engine import Identity, ReadingSettings, Signing, convert, verify
from crossface.engine.errors import ConfigurationError, OutputError, UsageError
from crossface.engine.events import Progress
from crossface.engine.jobs.folder import folder_of, open_job
from crossface.engine.jobs.plan import PlannedModel
from crossface.engine.jobs.planning import make_plan
from crossface.engine.jobs.run import do_segments, finish
from crossface.engine.provenance import credentials
from crossface.engine.provenance.c2pa_file import mime_of, read_credentials, sidecar_of
from crossface.engine.provenance.claim import COMPOSITE, Claim
from crossface.engine.provenance.configuration import configuration_folder
from crossface.engine.provenance.consent import Consent
from crossface.engine.provenance.identity import local_identity

SETTINGS = replace(QUICK, segment_s=0.4)
READING = ReadingSettings(end="35")
EVERYTHING = ("video", "audio", "subtitle", "data")
# What faces carry is another matter, and takes seconds to look for.
verified = functools.partial(verify, look_at_faces=False)
BEN = PlannedModel(Path("/nowhere/ben.onnx"), "ab" * 32, "Ben", Consent("form 7", who="Ben Example"), None)


@pytest.fixture(scope="module")
def clip(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A talking head with sound, in three segments as far as it is read."""
    return split_clip(clips / "single_face.mp4", tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def signed(clip: Path, swapper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that was interrupted, and went on."""
    film = tmp_path_factory.mktemp("signed") / "out.mp4"
    with closing(convert(clip, swapper, film, settings=SETTINGS, reading=READING)) as events:
        for event in events:
            if isinstance(event, Progress) and event.stage == "convert" and event.frame > 14:
                break
    assert list(folder_of(film).glob("part-*.json")) and not film.exists()
    run(convert(clip, swapper, film, settings=SETTINGS, reading=READING))
    return film


def small_film(path: Path) -> Path:
    return make_clip(path, durations=(512,) * 4, audio_s=(0.2,))


def claim(source: Path, **changes: Any) -> Claim:
    return replace(Claim(source, "cd" * 32, (BEN,), frames=4, frames_changed=3, faces=5), **changes)


def sign(film: Path, output: Path, said: Claim | None = None, signing: Signing | None = None) -> Path:
    """Signs a film as if it had just been made."""
    seal = (signing or Signing()).signer().seal(output, lambda: said or claim(film))
    if not seal(film, output):
        shutil.copyfile(film, output)
    return output


def found(film: Path) -> dict[str, Any]:
    """The store of manifests, by the reader of the C2PA project."""
    sidecar = sidecar_of(film) if sidecar_of(film).exists() else None
    answer = read_credentials(film, mime=mime_of(film), sidecar=sidecar)
    store: dict[str, Any] = answer["found"]
    return {"state": answer["state"], **store}


def actions(film: Path) -> list[dict[str, Any]]:
    store = found(film)
    (listed,) = (
        each["data"]["actions"]
        for each in store["manifests"][store["active_manifest"]]["assertions"]
        if each["label"].startswith("c2pa.actions")
    )
    done: list[dict[str, Any]] = listed
    return done


def test_a_film_is_the_same_signed_or_not_and_however_it_was_made(
    clip: Path, swapper: Path, signed: Path, tmp_path: Path
) -> None:
    plain, farmed = tmp_path / "plain.mp4", tmp_path / "farmed.mp4"
    for film, signing in ((plain, UNSIGNED), (farmed, Signing())):
        plan = make_plan(clip, {None: swapper}, film, conversion=SETTINGS, reading=READING)
        folder_of(film).mkdir()
        plan.write(folder_of(film) / "plan.json")
        job, folder = open_job(folder_of(film) / "plan.json")
        assert job.id == open_job(folder_of(signed) / "plan.json")[0].id
        assert job.payload is not None, "faces carry it in each of the films"
        for number in range(len(job.segments)):
            list(do_segments(job, folder, [number], "analyze", device="cpu"))
        for number in reversed(range(len(job.segments))):
            list(do_segments(job, folder, [number], "convert", device="cpu"))
        list(finish(job, folder, signing.signer(), overwrite=False))
    packets = packets_of(plain, types=EVERYTHING)
    assert len(packets) == 2 and all(len(payloads) > 20 for _, payloads in packets)
    assert packets_of(signed, types=EVERYTHING) == packets_of(farmed, types=EVERYTHING) == packets
    opened, edited = actions(signed)
    assert edited == actions(farmed)[1]
    assert opened["action"] == "c2pa.opened" and edited["action"] == "c2pa.edited"
    assert edited["digitalSourceType"] == COMPOSITE
    said = edited["parameters"]
    assert said["org.crossface.frames"] == said["org.crossface.frames_changed"] == 36
    assert said["org.crossface.models"] == [
        {"identity": "nobody", "sha256": plan.models[0].sha256, "consent": "nobody is drawn"}
    ]
    assert "AI-generated" in comment(signed) == comment(farmed)
    # What was not signed says why, in the film and in the report.
    report = json.loads((folder_of(plain) / "report.json").read_text())["provenance"]
    assert report["credentials"] == "none" and report["reason"] == UNSIGNED.unsigned_because
    assert comment(plain).endswith(f"without content credentials: {UNSIGNED.unsigned_because}")
    told = json.loads((folder_of(signed) / "report.json").read_text())["provenance"]
    assert told["credentials"] == "in the file" and told["self_signed"]
    assert told["models"][0]["consent"] == {"reference": "nobody is drawn"}
    assert [verified(film).verdict for film in (signed, plain)] == ["marked", "unsigned"]


def test_nothing_but_what_the_user_wrote_is_told(tmp_path: Path) -> None:
    film = sign(small_film(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    content = film.read_bytes()
    for secret in (str(tmp_path), "in.mp4", "out.mp4", "/nowhere", "Ben Example"):
        assert secret.encode() not in content
    assert b"form 7" in content and b"Ben" in content


@pytest.mark.parametrize("name", ["out.mov", "out.mkv"])
def test_any_changed_byte_shows(tmp_path: Path, name: str) -> None:
    """Of the film, and of its credentials wherever they are."""
    film = sign(small_film(tmp_path / "in.mp4"), tmp_path / name)
    assert verified(film).credentials.state == "valid" and found(film)["state"] == "Valid"
    sidecar = sidecar_of(film)
    assert sidecar.exists() == (name == "out.mkv")
    random = np.random.default_rng(len(name) + sum(name.encode()))
    for file in [film, sidecar] if sidecar.exists() else [film]:
        content = file.read_bytes()
        # Not hashed by C2PA: the first box, the head of the manifest's, the place kept for the signature.
        unhashed = [5, 8, 24, 32, 44] if file.suffix == ".mov" else []
        reserved = [] if file == film and sidecar.exists() else [content.index(bytes(2000)) + 1000]
        for place in [*unhashed, *reserved, len(content) - 1, *random.integers(100, len(content), 2)]:
            changed = bytearray(content)
            changed[place] ^= 1 << random.integers(8)
            file.write_bytes(changed)
            assert verified(film).verdict == "tampered", (file.name, place)
        file.write_bytes(content)


def test_a_remux_loses_the_credentials_and_keeps_the_words(signed: Path, tmp_path: Path) -> None:
    target = tmp_path / "remuxed.mp4"
    with av.open(str(signed)) as before, av.open(str(target), "w") as after:
        after.metadata.update(before.metadata)
        streams = [after.add_stream_from_template(stream) for stream in before.streams]
        for packet in before.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                after.mux(packet)
    remuxed = verified(target)
    assert (remuxed.credentials.state, remuxed.verdict, remuxed.exit_code) == ("absent", "unsigned", 4)
    assert remuxed.words is not None and "nobody" in remuxed.words


@pytest.mark.parametrize("names", [("a.mp4", "b.webm"), ("a.mkv", "b.mp4")])
def test_the_credentials_of_the_source_are_carried_on(tmp_path: Path, names: tuple[str, str]) -> None:
    plain = small_film(tmp_path / "in.mp4")
    first, second = tmp_path / names[0], tmp_path / names[1]
    sign(plain, first, claim(plain, faces=17))
    sign(plain, second, claim(first, faces=18))
    store = found(second)
    assert store["state"] == "Valid" and len(store["manifests"]) == 2
    parent = store["manifests"][store["active_manifest"]]["ingredients"][0]
    assert parent["relationship"] == "parentOf"
    assert parent["active_manifest"] == found(first)["active_manifest"]
    assert verified(second).to_json()["credentials"]["carried"] == 1
    # Where the source was changed since it was signed, that is told too.
    content = bytearray(first.read_bytes())
    content[-5] ^= 1
    first.write_bytes(content)
    sign(plain, second, claim(first))
    store = found(second)
    parent = store["manifests"][store["active_manifest"]]["ingredients"][0]
    assert store["state"] == "Valid" and parent["validation_results"]["activeManifest"]["failure"]


def test_where_no_frame_changed_nothing_is_said_of_it(tmp_path: Path) -> None:
    plain = small_film(tmp_path / "in.mp4")
    film = sign(plain, tmp_path / "out.mp4", claim(plain, frames_changed=0, faces=0))
    assert [action["action"] for action in actions(film)] == ["c2pa.opened", "c2pa.transcoded"]
    assert COMPOSITE not in json.dumps(found(film))
    assert (verified(film).credentials.state, verified(film).verdict) == ("valid", "unmarked")


def test_what_is_large_is_signed_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "LARGEST_EMBEDDED_BYTES", 1000)
    plain = small_film(tmp_path / "in.mp4")
    film = sign(plain, tmp_path / "out.mp4")
    assert film.read_bytes() == plain.read_bytes()
    assert found(film)["state"] == "Valid" and verified(film).credentials.where == "out.mp4.c2pa"
    content = bytearray(film.read_bytes())
    content[8] ^= 1
    film.write_bytes(content)
    assert verified(film).verdict == "tampered"


def chain(
    folder: Path, key: Any, *, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION
) -> tuple[Path, Path, Path]:
    """Paths of a signer's certificate, its key, and the root that vouches for it."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: str, public: Any, extensions: list[tuple[Any, bool]]) -> x509.Certificate:
        names = [
            x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]) for name in (subject, "A Root")
        ]
        builder = x509.CertificateBuilder(names[1], names[0], public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(1))
        builder = builder.not_valid_after(now + datetime.timedelta(30))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(root_key, hashes.SHA256())

    vouched = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    for_signing = [index in (5, 6) for index in range(9)], [index == 0 for index in range(9)]
    root = certificate(
        "A Root",
        root_key.public_key(),
        [(x509.BasicConstraints(True, None), True), (x509.KeyUsage(*for_signing[0]), True), (vouched, False)],
    )
    leaf = certificate(
        "A Studio",
        key.public_key(),
        [
            (x509.BasicConstraints(False, None), True),
            (x509.KeyUsage(*for_signing[1]), True),
            (x509.ExtendedKeyUsage([usage]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(vouched), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        ],
    )
    paths = folder / "studio.crt", folder / "studio.key", folder / "root.crt"
    paths[0].write_bytes(leaf.public_bytes(Encoding.PEM))
    paths[1].touch(0o600)
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths[2].write_bytes(root.public_bytes(Encoding.PEM))
    return paths


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ed25519.Ed25519PrivateKey.generate(),
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_a_certificate_of_ones_own(tmp_path: Path, make: Callable[[], Any]) -> None:
    certificate, key, root = chain(tmp_path, make())
    signing = Signing(certificate, key)
    film = sign(small_film(tmp_path / "in.mp4"), tmp_path / "out.mp4", signing=signing)
    assert found(film)["state"] == "Valid"
    trusted = verified(film, anchors=root)
    assert trusted.credentials.state == "trusted"
    assert trusted.to_json()["credentials"]["signer"] == "A Studio"
    assert not trusted.to_json()["credentials"]["self_signed"]


def test_keys_that_are_not_used(tmp_path: Path) -> None:
    certificate, key, _ = chain(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    for mode in (0o640, 0o604, 0o660):
        key.chmod(mode)
        with pytest.raises(ConfigurationError, match="open to others"):
            Signing(certificate, key).signer()
    key.chmod(0o400)
    Signing(certificate, key).signer()
    (tmp_path / "other").mkdir()
    other, _, _ = chain(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigurationError, match="is not the key of"):
        Signing(other, key).signer()
    certificate.chmod(0o600)
    with pytest.raises(ConfigurationError, match="no private key"):
        Signing(certificate, certificate).signer()
    with pytest.raises(ConfigurationError, match="no key that C2PA knows"):
        weak = tmp_path / "weak"
        weak.mkdir()
        Signing(*chain(weak, rsa.generate_private_key(65537, 1024))[:2]).signer()
    with pytest.raises(ConfigurationError, match="cannot sign"):
        wrong = tmp_path / "wrong"
        wrong.mkdir()
        for_servers = chain(
            wrong, ec.generate_private_key(ec.SECP256R1()), usage=ExtendedKeyUsageOID.SERVER_AUTH
        )
        Signing(*for_servers[:2]).signer()
    with pytest.raises(UsageError, match="need each other"):
        Signing(certificate).signer()
    with pytest.raises(UsageError, match="reason"):
        Signing(unsigned_because="  ").signer()


def test_the_local_identity_is_made_once_and_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = local_identity()
    path = configuration_folder() / "identity.pem"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert local_identity().certificates == first.certificates
    assert "self-signed" in first.name and list(path.parent.iterdir()) == [path]
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="open to others"):
        Signing().signer()


def test_a_failed_signing_leaves_an_unsigned_part_and_no_film(
    clip: Path, swapper: Path, signed: Path, tmp_path: Path
) -> None:
    film = tmp_path / "out.mp4"
    mine = local_identity()
    asked = []

    def device(data: bytes) -> bytes:
        if len(asked) == 1:
            raise RuntimeError("the token was pulled out")
        asked.append(data)
        return mine.sign(data)

    signing = Signing(identity=Identity(mine.certificates, mine.algorithm, device, mine.name))
    with pytest.raises(OutputError, match="token was pulled out") as failed:
        run(convert(clip, swapper, film, settings=SETTINGS, reading=READING, signing=signing))
    assert failed.value.exit_code == 74 and not film.exists()
    left = tmp_path / ".out.mp4.unsigned"
    assert {path.name for path in tmp_path.iterdir()} == {left.name, "out.mp4.job"}
    unsigned = left.rename(tmp_path / "unsigned.mp4")
    assert packets_of(unsigned, types=EVERYTHING) == packets_of(signed, types=EVERYTHING)
    assert verified(unsigned).credentials.state == "absent"
    # What was done stays, and another run ends it.
    assert len(list((tmp_path / "out.mp4.job").glob("part-*.json"))) == 3
    run(convert(clip, swapper, film, settings=SETTINGS, reading=READING))
    assert verified(film).verdict == "marked"


def test_nothing_said_of_an_earlier_output_is_left_beside(tmp_path: Path) -> None:
    film = small_film(tmp_path / "in.mkv")
    out = sign(film, tmp_path / "out.mkv")
    assert verified(out).verdict == "marked"
    sign(film, out, signing=Signing(unsigned_because="a test"))
    assert not sidecar_of(out).exists() and verified(out).verdict == "unmarked"


def test_a_copy_of_a_film_without_a_face_takes_its_credentials_along(swapper: Path, tmp_path: Path) -> None:
    film = sign(small_film(tmp_path / "plain.mkv"), tmp_path / "in.mkv")
    out = tmp_path / "out.mkv"
    run(convert(film, swapper, out))
    assert out.read_bytes() == film.read_bytes()
    assert verified(out).verdict == "marked"
    run(convert(tmp_path / "plain.mkv", swapper, out, overwrite=True))
    assert not sidecar_of(out).exists() and verified(out).verdict == "unmarked"

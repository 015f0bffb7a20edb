"""The sheet of the frames that stand out: the right frames, the right faces, and a line that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import VFR_DURATIONS, make_clip, make_interlaced
from numpy.typing import NDArray

from crossface.engine.clip import Clip, ReadingSettings
from crossface.engine.convert import ConversionSettings, convert
from crossface.engine.errors import BadInputError, UsageError
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.review.measure import FaceRecord, FrameRecord, Pictures, Recorder
from crossface.engine.review.png import read_png
from crossface.engine.review.report import build_report
from crossface.engine.review.strip import caption
from crossface.engine.review.text import written
from crossface.engine.review.worst import worst_sheet
from crossface.engine.review.write import write_review
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer
from crossface.engine.video.writing.passthrough import Span

LOSSLESS = {"preset": "ultrafast", "qp": "0"}
Image = NDArray[np.uint8]
AMBER, GREY = (255, 180, 60), (190, 190, 190)


def rows_of(path: Path, count: int) -> list[tuple[Image, Image]]:
    """The sheet's captions and pictures, parted at its black lines."""
    image = read_png(path)
    caption_px = len(caption("", image.shape[1]))
    row_px, rest = divmod(len(image) + 4, count)
    assert rest == 0
    rows = []
    for top in range(0, len(image), row_px):
        for line in (top + caption_px, top + row_px - 4):
            assert not image[line : line + 4].any()
        rows.append((image[top : top + caption_px], image[top + caption_px + 4 : top + row_px - 4]))
    return rows


def shown_in(picture: Image) -> tuple[int, int]:
    """Mean levels of the middle of the left and of the right picture of a row."""
    height, width, _ = picture.shape
    left, right = ((width - 2 * height) // 4, 3 * (width - 2 * height) // 4)
    return tuple(  # type: ignore[return-value]
        round(float(picture[height // 3 : -height // 3, x - 20 : x + 20].mean())) for x in (left, right)
    )


def numbered(source: Path, before: Path, after: Path, span: Span | None = None) -> tuple[Pictures, list[int]]:
    """A clip whose frame n is as bright as n says, and one that starts at ``span`` and is as dark.

    Gives the times of the second one's frames on the first one's clock.
    """
    with (
        Reader(source, trusted=True) as reader,
        Writer(before, reader.info, options=dict(LOSSLESS)) as writer,
    ):
        for frame in reader:
            paint(frame.planes, 20 + 8 * frame.index)
            writer.write(frame)
    times = []
    with (
        Reader(before, trusted=True) as reader,
        Writer(after, reader.info, options=dict(LOSSLESS), span=span) as writer,
    ):
        info = reader.info
        for frame in reader:
            if span is None or frame.pts * frame.time_base >= span.start_s:
                paint(frame.planes, 230 - 8 * frame.index)
                times.append(frame.pts)
                writer.write(frame)
    return Pictures(info.time_base, info.width, info.height), times


def paint(planes: tuple[Any, Any, Any], luma: int) -> None:
    planes[0][:] = luma
    planes[1][:] = planes[2][:] = 128


def level(luma: int) -> int:
    return round((luma - 16) * 255 / 219)


def records(times: list[int], low: set[int], per_shot: int = 3) -> list[FrameRecord]:
    """A face a frame; those of the frames ``low`` are hardly there."""

    def face(n: int) -> FaceRecord:
        presence = 0.6 if n in low else 1.0
        return FaceRecord(0, "swapped", presence, (20, 10, 50, 50), 0.3, (90, 0, 0), (90, 0, 0))

    return [FrameRecord(pts, n // per_shot, (), (face(n),)) for n, pts in enumerate(times)]


@pytest.mark.parametrize(
    ("extension", "start_pts", "first"),
    [(".mp4", 0, 0), (".mkv", 0, 0), (".mp4", 9000, 0), (".mov", 300, 4), (".mkv", 0, 3)],
)
def test_every_row_shows_its_frame(tmp_path: Path, extension: str, start_pts: int, first: int) -> None:
    """Frames of all lengths, times that start late, outputs that start within the clip or round times."""
    clip = make_clip(
        tmp_path / "clip.mp4", width=320, height=180, durations=VFR_DURATIONS, start_pts=start_pts
    )
    pts = start_pts + sum(VFR_DURATIONS[:first])
    span = Span(Fraction(pts, 12800)) if first else None
    pictures, times = numbered(clip, tmp_path / "before.mp4", tmp_path / f"after{extension}", span)
    assert len(times) == len(VFR_DURATIONS) - first
    low = {0, 3, 4, 8, 10}
    report = build_report(records(times, low, per_shot=1), pictures)
    worst_sheet(
        report, tmp_path / "before.mp4", tmp_path / f"after{extension}", tmp_path / "worst.png", width_px=800
    )
    # A short film's sheet has four rows at most, and all of these are equally bad.
    rows = rows_of(tmp_path / "worst.png", 4)
    shown = [shown_in(picture) for _, picture in rows]
    expected = [(level(20 + 8 * (n + first)), level(230 - 8 * (n + first))) for n in sorted(low)[:4]]
    np.testing.assert_allclose(shown, expected, atol=1)


def test_captions_say_which_frame_and_why(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", width=320, height=180, durations=(512,) * 9)
    pictures, times = numbered(clip, tmp_path / "before.mp4", tmp_path / "after.mp4")
    rows = records(times, {4})
    rows[7] = FrameRecord(times[7], 2, (0,), ())
    report = build_report(rows, pictures)
    worst_sheet(report, tmp_path / "before.mp4", tmp_path / "after.mp4", tmp_path / "w.png", width_px=1200)
    lines = [line for line, _ in rows_of(tmp_path / "w.png", 2)]
    texts = [
        "0:00:00.160  frame 4  shot 1  track 0   presence 0.60",
        "0:00:00.280  frame 7  shot 2  track 0   no face for 1 frame",
    ]
    for line, text in zip(lines, texts, strict=True):
        np.testing.assert_array_equal(line, caption(text, 1200, AMBER))


def test_a_good_film_shows_its_worst_frames_in_grey(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", width=320, height=180, durations=(512,) * 8)
    pictures, times = numbered(clip, tmp_path / "before.mp4", tmp_path / "after.mp4")
    rows = records(times, set())
    rows[5] = FrameRecord(times[5], 1, (), (FaceRecord(0, "swapped", 0.9, (20, 10, 50, 50), 0.31,
                                                      (90, 0, 0), (90, 0, 0)),))  # fmt: skip
    report = build_report(rows, pictures)
    worst_sheet(report, tmp_path / "before.mp4", tmp_path / "after.mp4", tmp_path / "w.png", width_px=1200)
    ((line, _),) = rows_of(tmp_path / "w.png", 1)
    text = "0:00:00.200  frame 5  shot 1  track 0   presence 0.90, mask +3%"
    np.testing.assert_array_equal(line, caption(text, 1200, GREY))
    for shots, says in ([], "no face was swapped"), (records(times, set()), "no frame to look at"):
        report = build_report(shots, pictures)
        worst_sheet(report, tmp_path / "before.mp4", tmp_path / "after.mp4", tmp_path / "w.png", width_px=800)
        np.testing.assert_array_equal(read_png(tmp_path / "w.png"), caption(says, 800, GREY))


def test_fields_are_shown_in_their_frames(tmp_path: Path) -> None:
    source = make_interlaced(tmp_path / "clip.mp4", frames=8, width=320, height=180, options=LOSSLESS)
    whole = ReadingSettings(interlaced="as_progressive")
    reading = ReadingSettings(interlaced="fields")
    with Clip(source, whole) as clip, Writer(tmp_path / "out.mp4", clip.source, options=LOSSLESS) as writer:
        for frame in clip:
            writer.write(frame)
    with Clip(source, reading) as clip:
        pictures = Pictures(clip.info.time_base, clip.info.width, clip.info.height)
        times = [frame.pts for frame in clip]
    # The second field of frame 5; the face's box is in rows of a field.
    report = build_report(records(times, {11}), pictures)
    worst_sheet(
        report, source, tmp_path / "out.mp4", tmp_path / "w.png", reading=reading, rows=1, width_px=1600
    )
    ((_, picture),) = rows_of(tmp_path / "w.png", 1)
    height_px, width_px = len(picture), (1600 - 12 - 2 * len(picture)) // 2
    with av.open(str(source)) as container:
        frame = next(frame for n, frame in enumerate(container.decode(video=0)) if n == 5)
        ours = picture[:, :width_px].astype(int)
        theirs = frame.to_ndarray(format="rgb24", width=width_px, height=height_px).astype(int)
    assert np.abs(ours - theirs).mean() < 3
    np.testing.assert_array_equal(picture[:, :width_px], picture[:, width_px + 4 : 2 * width_px + 4])
    # Twice the rows: 80 of them, and a third more, around row 60 and column 35.
    side = 80 * 4 / 3
    face = frame.to_ndarray(format="gray")[round(60 - side / 2) : round(60 + side / 2), : round(side)]
    cell = picture[:, -height_px:].mean(axis=2)
    profile = np.interp(
        np.linspace(0, 1, height_px), np.linspace(0, 1, face.shape[1]), face.mean(axis=0).astype(float)
    )
    assert np.corrcoef(cell.mean(axis=0), profile)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("rotation", "aspect"), [(0, Fraction(2)), (90, None), (180, None), (270, Fraction(1, 2))]
)
def test_pictures_are_shown_as_a_player_shows_them(
    tmp_path: Path, rotation: int, aspect: Fraction | None
) -> None:
    """A bright square, as it is shown, in the top right corner of the coded picture."""
    options: dict[str, Any] = {} if aspect is None else {"sample_aspect_ratio": aspect}
    clip = make_clip(
        tmp_path / "clip.mp4", width=320, height=180, durations=(512,) * 4, rotation=rotation, **options
    )
    across, down = 40, round(40 * (aspect or 1))
    for name in ("before.mp4", "after.mp4"):
        with (
            Reader(clip, trusted=True) as reader,
            Writer(tmp_path / name, reader.info, options=LOSSLESS) as writer,
        ):
            info = reader.info
            for frame in reader:
                paint(frame.planes, 60)
                frame.planes[0][:down, -across:] = 220
                writer.write(frame)
    assert info.rotation % 360 == rotation and (info.sample_aspect_ratio or 1) == (aspect or 1)
    box = (320.0 - across, 0.0, 320.0, float(down))
    faces = [FaceRecord(0, "swapped", 0.6, box, 0.3, (90, 0, 0), (90, 0, 0))]
    report = build_report([FrameRecord(512 * n, 0, (), tuple(faces)) for n in range(4)],
                          Pictures(info.time_base, 320, 180))  # fmt: skip
    worst_sheet(report, tmp_path / "before.mp4", tmp_path / "after.mp4", tmp_path / "w.png", rows=1)
    ((_, picture),) = rows_of(tmp_path / "w.png", 1)
    height_px, width_px = len(picture), (1600 - 12 - 2 * len(picture)) // 2
    shown_size = np.array([320 * float(aspect or 1), 180.0])
    if rotation % 180:
        shown_size = shown_size[::-1]
    assert width_px / height_px == pytest.approx(shown_size[0] / shown_size[1], rel=0.02)
    for cell in (picture[:, :width_px], picture[:, -height_px:]):
        bright = cell[..., 0] > 150
        ys, xs = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        assert np.ptp(xs) == pytest.approx(np.ptp(ys), rel=0.06, abs=2)
        # Turned counter-clockwise, the top right corner goes to the top left.
        corner = {0: (3, -4), 90: (3, 3), 180: (-4, 3), 270: (-4, -4)}[rotation]
        assert bright[corner]


def test_films_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", width=320, height=180, durations=(512,) * 50)
    short = make_clip(tmp_path / "short.mp4", width=320, height=180, durations=(512,) * 5)
    small = make_clip(tmp_path / "small.mp4", durations=(512,) * 50)
    report = build_report(records([512 * n for n in range(50)], {40}), Pictures(Fraction(1, 12800), 320, 180))
    with pytest.raises(BadInputError, match=r"short\.mp4: has no frame at 0:00:01\.600"):
        worst_sheet(report, clip, short, tmp_path / "w.png")
    with pytest.raises(BadInputError, match=r"small\.mp4: has another picture size"):
        worst_sheet(report, clip, small, tmp_path / "w.png")
    with pytest.raises(UsageError):
        worst_sheet(report, clip, short, clip)
    with pytest.raises(UsageError, match="nothing was recorded"):
        write_review(tmp_path, source=clip, output=short, records=[])
    assert not (tmp_path / "w.png").exists()


def test_review_of_a_real_conversion(
    tmp_path: Path, clips: Path, swapper: Path, analysed: Callable[[str], Path]
) -> None:
    """A face is left out of twelve frames and hardly seen in one: both are found, and shown as they are."""
    source, faces, output = clips / "single_face.mp4", tmp_path / "shot.faces", tmp_path / "out.mp4"
    left_out, faint = range(20, 32), 50
    lines = analysed("single_face.mp4").read_text().splitlines()
    for number in (*left_out, faint):
        fields = json.loads(lines[1 + number])
        for face in fields["faces"]:
            face["presence"] = 0.55
        fields["faces"] = fields["faces"] if number == faint else []
        lines[1 + number] = json.dumps(fields)
    faces.write_text("\n".join(lines) + "\n")
    # Without colour matching the inverted face of the model is plain to see.
    quick = ConversionSettings(colour="none", encoder_options={"preset": "ultrafast", "crf": "18"})
    list(convert(source, swapper, output, faces=faces, settings=quick))
    record_by_looking(source, output, faces, tmp_path / "out.records")
    review = write_review(
        tmp_path, source=source, output=output, records=[tmp_path / "out.records"], warnings=["as was said"]
    )
    report = json.loads(review.json.read_text())
    assert (report["frames"], report["faces"], report["faces_missing"]) == (72, 60, 12)
    assert report["faces_low_presence"] == 1
    worst = {fault["reason"]: fault for fault in report["shots"][0]["worst"]}
    assert (worst["no face"]["frame"], worst["low presence"]["frame"]) == (20, faint)
    assert report["warnings"][0] == "as was said" and len(report["warnings"]) >= 3
    changes = []
    shown = {fault.frame for fault in review.report.worst(4, least=4)}
    for line, picture in rows_of(review.sheet, len(shown)):
        height_px = len(picture)
        old, new = picture[:, -2 * height_px - 4 : -height_px - 4], picture[:, -height_px:]
        middle = slice(height_px // 3, -height_px // 3)
        change = float(np.abs(old[middle, middle].astype(int) - new[middle, middle]).mean())
        changes.append((bool((line == AMBER).all(axis=2).any()), change))
    first, second, *_ = changes
    assert first[0] and first[1] < 6, "the face that was left out is the source's"
    assert second[0] and second[1] > 6, "the faint one is changed a little"


def record_by_looking(source: Path, output: Path, faces: Path, path: Path) -> None:
    """Records whose colours are measured in the finished films."""
    with (
        Reader(source, trusted=True) as reader,
        Reader(output, trusted=True) as converted,
        Recorder(path, reader.info) as recorder,
    ):
        for old, new, line in zip(reader, converted, FacesFile(faces), strict=True):
            for face in line.faces:
                x0, y0, x1, y1 = (round(edge) for edge in face.box)
                assert old.source is not None and new.source is not None
                means = [
                    frame.source.to_ndarray(format="rgb24")[y0:y1, x0:x1].mean(axis=(0, 1)) / 255
                    for frame in (old, new)
                ]
                recorder.swapped(
                    old.pts,
                    face,
                    mask_area=0.3,
                    drawn_mean=means[1],
                    source_mean=means[0],
                    colour=np.eye(4)[:3],
                )
            recorder.frame(old.pts, line.shot)


@settings(max_examples=50)
@given(text=st.text(max_size=40))
def test_any_text_can_be_written(text: str) -> None:
    dots = written(text)
    assert dots.shape == (7, 6 * len(text)) and dots.dtype == np.bool_
    assert not dots[:, 5::6].any(), "an empty column parts two letters"
    line = caption(text, 200)
    assert line.shape == (7 + 4, 200, 3)


def test_no_two_letters_look_alike() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-+%/ ?"
    glyphs = {written(letter).tobytes() for letter in alphabet}
    assert len(glyphs) == len(alphabet)
    np.testing.assert_array_equal(written("straße"), written("STRA?E"))

"""DeepFaceLab's "whole face" alignment, by which the networks in DFM files were trained.

DeepFaceLab takes the 68 points of 300-W and fits 33 of them (17 to 48, and 54) to the mean face that dlib
publishes in ``get_face_chip_details``, with a similarity (Umeyama, IEEE PAMI 13(4), 1991). In the mean
face's units the crop is a square around (0.5, 0.43), which is 7 % above the middle, and each of its sides
lies 0.4 sqrt(2) farther out than the unit square's. The least squares of a similarity do not change where the
target is shifted and scaled, so that all of this is a template like our own, and `crop_to_frame` fits it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

# Side of the crop and its middle, in units of the mean face.
WHOLE_FACE_COVERAGE = 1.0 + 0.8 * math.sqrt(2.0)
WHOLE_FACE_CENTRE = (0.5, 0.5 - 0.07)

# Where our own template (`face.align`) lies in it: the height of the mean face, and the place of its centre
# from the crop's, in units of the mean face; the mean of 17 people's near-frontal faces.
FACE_HEIGHT = 1.431
TEMPLATE_CENTRE = (-0.0096, 0.0152)

# A point of 300-W's, its place in dlib's mean face, the landmark of our mesh that is nearest to it, and how
# far to the right and below the point that landmark lies. The last two are means over six people on whose
# pictures the points were marked by hand, the same for both sides of a face: unmoved, the mesh's brows, nose
# and mouth, which are wider and higher, made the crop 3.5 % too large (`benchmarks/bench_whole_face.py`).
_POINTS: tuple[tuple[int, float, float, int, float, float], ...] = (
    (17, 0.000213256, 0.106454, 70, -0.011, -0.008),
    (18, 0.0752622, 0.038915, 63, -0.025, -0.003),
    (19, 0.18113, 0.0187482, 105, -0.037, -0.014),
    (20, 0.29077, 0.0344891, 66, -0.030, -0.024),
    (21, 0.393397, 0.0773906, 107, 0.002, -0.048),
    (22, 0.586856, 0.0773906, 336, -0.002, -0.048),
    (23, 0.689483, 0.0344891, 296, 0.030, -0.024),
    (24, 0.799124, 0.0187482, 334, 0.037, -0.014),
    (25, 0.904991, 0.038915, 293, 0.025, -0.003),
    (26, 0.98004, 0.106454, 300, 0.011, -0.008),
    (27, 0.490127, 0.203352, 168, 0.000, -0.029),
    (28, 0.490127, 0.307009, 197, 0.000, -0.003),
    (29, 0.490127, 0.409805, 5, 0.000, 0.011),
    (30, 0.490127, 0.515625, 4, 0.000, -0.014),
    (31, 0.36688, 0.587326, 98, -0.035, 0.006),
    (32, 0.426036, 0.609345, 97, -0.006, 0.011),
    (33, 0.490127, 0.628106, 2, 0.000, 0.007),
    (34, 0.554217, 0.609345, 326, 0.006, 0.011),
    (35, 0.613373, 0.587326, 327, 0.035, 0.006),
    (36, 0.121737, 0.216423, 33, 0.012, -0.013),
    (37, 0.187122, 0.178758, 160, -0.006, -0.006),
    (38, 0.265825, 0.179852, 158, -0.009, -0.011),
    (39, 0.334606, 0.231733, 133, -0.006, -0.007),
    (40, 0.260918, 0.245099, 153, 0.000, -0.013),
    (41, 0.182743, 0.244077, 144, 0.005, -0.013),
    (42, 0.645647, 0.231733, 362, 0.006, -0.007),
    (43, 0.714428, 0.179852, 385, 0.009, -0.011),
    (44, 0.793132, 0.178758, 387, 0.006, -0.006),
    (45, 0.858516, 0.216423, 263, -0.012, -0.013),
    (46, 0.79751, 0.244077, 373, -0.005, -0.013),
    (47, 0.719335, 0.245099, 380, 0.000, -0.013),
    (48, 0.254149, 0.780233, 61, -0.012, -0.002),
    (54, 0.726104, 0.780233, 291, 0.012, -0.002),
)

# As `ModelMetadata.template`, in units of the mean face from the crop's centre.
WHOLE_FACE: Mapping[int, tuple[float, float]] = {
    landmark: (x + right - WHOLE_FACE_CENTRE[0], y + below - WHOLE_FACE_CENTRE[1])
    for _, x, y, landmark, right, below in _POINTS
}
# Of 300-W's points: their places in the mean face, and which landmarks stand for them.
MEAN_FACE: Mapping[int, tuple[float, float]] = {point: (x, y) for point, x, y, *_ in _POINTS}
LANDMARK_OF: Mapping[int, int] = {point: landmark for point, _, _, landmark, _, _ in _POINTS}

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

# Side of the crop, in units of the mean face.
WHOLE_FACE_COVERAGE = 1.0 + 0.8 * math.sqrt(2.0)
_CENTRE = (0.5, 0.5 - 0.07)

# Where our own template (`face.align`) lies in it: the height of the mean face, and the place of its centre
# from the crop's, in units of the mean face; the mean of 17 people's near-frontal faces.
FACE_HEIGHT = 1.377
TEMPLATE_CENTRE = (-0.0096, 0.0182)

# A point of 300-W's, dlib's mean of it, and the landmark of our mesh that lies there.
_MEAN_FACE: tuple[tuple[int, float, float, int], ...] = (
    (17, 0.000213256, 0.106454, 70),
    (18, 0.0752622, 0.038915, 63),
    (19, 0.18113, 0.0187482, 105),
    (20, 0.29077, 0.0344891, 66),
    (21, 0.393397, 0.0773906, 107),
    (22, 0.586856, 0.0773906, 336),
    (23, 0.689483, 0.0344891, 296),
    (24, 0.799124, 0.0187482, 334),
    (25, 0.904991, 0.038915, 293),
    (26, 0.98004, 0.106454, 300),
    (27, 0.490127, 0.203352, 168),
    (28, 0.490127, 0.307009, 197),
    (29, 0.490127, 0.409805, 5),
    (30, 0.490127, 0.515625, 4),
    (31, 0.36688, 0.587326, 98),
    (32, 0.426036, 0.609345, 97),
    (33, 0.490127, 0.628106, 2),
    (34, 0.554217, 0.609345, 326),
    (35, 0.613373, 0.587326, 327),
    (36, 0.121737, 0.216423, 33),
    (37, 0.187122, 0.178758, 160),
    (38, 0.265825, 0.179852, 158),
    (39, 0.334606, 0.231733, 133),
    (40, 0.260918, 0.245099, 153),
    (41, 0.182743, 0.244077, 144),
    (42, 0.645647, 0.231733, 362),
    (43, 0.714428, 0.179852, 385),
    (44, 0.793132, 0.178758, 387),
    (45, 0.858516, 0.216423, 263),
    (46, 0.79751, 0.244077, 373),
    (47, 0.719335, 0.245099, 380),
    (48, 0.254149, 0.780233, 61),
    (54, 0.726104, 0.780233, 291),
)

# As `ModelMetadata.template`, in units of the mean face from the crop's centre.
WHOLE_FACE: Mapping[int, tuple[float, float]] = {
    landmark: (x - _CENTRE[0], y - _CENTRE[1]) for _, x, y, landmark in _MEAN_FACE
}

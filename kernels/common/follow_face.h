#pragma once

#include <cmath>
#include <cstddef>

#include "affine.h"
#include "jobs.h"
#include "pixel.h"
#include "variant.h"

// Faces followed from frame to frame on the device: what the mesh network found in one crop says where the
// next frame's crop lies. A block a face, in double, for landmarks are kept so.
namespace crossface::CF_VARIANT {

constexpr int kMeshPoints = 468;
constexpr int kFollowThreads = 128;  // of a block; a power of two
constexpr int kAimThreads = 32;

struct FollowRule {
    double display[2][2], undisplay[2][2];  // from luma px to the picture as it is shown, and back
    double margin;                          // side of a crop over that of the face
    double least_presence;                  // of a face that is there
    double least_span;                      // samples that a pixel of a crop spans at least
    int size_px;                            // side of a crop
    int right_eye, left_eye;                // points whose line lies level in a crop
};

// A face on its way. Once it is lost its crop stays where it was.
struct Aim {
    Affine crop_to_luma;
    int lost;
};

// A face in a frame: landmarks in luma px.
struct FoundMesh {
    double landmarks[kMeshPoints][2];
    float presence;
    int lost;  // here or in an earlier frame
};

static_assert(offsetof(FollowRule, margin) == 64 && offsetof(FollowRule, size_px) == 88);
static_assert(sizeof(FollowRule) == 104 && offsetof(Aim, lost) == 48 && sizeof(Aim) == 56);
static_assert(offsetof(FoundMesh, presence) == 7488 && sizeof(FoundMesh) == 7496);

CF_HOST_DEVICE inline Point apply(const double (&linear)[2][2], double x, double y) {
    return {linear[0][0] * x + linear[0][1] * y, linear[1][0] * x + linear[1][1] * y};
}

struct PointBounds {
    double x0, y0, x1, y1;
    bool finite;
};

CF_HOST_DEVICE inline PointBounds no_bounds() { return {HUGE_VAL, HUGE_VAL, -HUGE_VAL, -HUGE_VAL, true}; }

CF_HOST_DEVICE inline void widen(PointBounds& bounds, const PointBounds& other) {
    bounds.x0 = other.x0 < bounds.x0 ? other.x0 : bounds.x0;
    bounds.y0 = other.y0 < bounds.y0 ? other.y0 : bounds.y0;
    bounds.x1 = other.x1 > bounds.x1 ? other.x1 : bounds.x1;
    bounds.y1 = other.y1 > bounds.y1 ? other.y1 : bounds.y1;
    bounds.finite = bounds.finite && other.finite;
}

// Landmarks of a thread's points [kMeshPoints][3] in crop px, and their bounds as they are shown.
CF_HOST_DEVICE inline PointBounds place_points(const FollowRule& rule, const Affine& crop_to_luma,
                                               const float* points, FoundMesh& found, int thread) {
    PointBounds bounds = no_bounds();
    for (int i = thread; i < kMeshPoints; i += kFollowThreads) {
        const float x = points[3 * i], y = points[3 * i + 1];
        const Point luma = apply(crop_to_luma, x, y);
        found.landmarks[i][0] = luma.x;
        found.landmarks[i][1] = luma.y;
        const Point shown = apply(rule.display, luma.x, luma.y);
        widen(bounds, {shown.x, shown.y, shown.x, shown.y, is_finite(x) && is_finite(y)});
    }
    return bounds;
}

// One level of a tree: for distances of half the threads, a quarter, ... 1.
CF_HOST_DEVICE inline void fold_bounds(PointBounds* bounds, int thread, int distance) {
    if (thread < distance) widen(bounds[thread], bounds[thread + distance]);
}

// A square around the bounds with the eyes level.
CF_HOST_DEVICE inline Affine region_of(const FollowRule& rule, const PointBounds& bounds,
                                       const Point& eye_line, double eye_distance) {
    const double width = bounds.x1 - bounds.x0, height = bounds.y1 - bounds.y0;
    const double longer = width > height ? width : height;
    const double scale = rule.margin * (longer > 1.0 ? longer : 1.0) / rule.size_px /
                         (eye_distance > 1e-6 ? eye_distance : 1e-6);
    const double cosine = scale * eye_line.x, sine = scale * eye_line.y, half = rule.size_px / 2.0;
    const double x = (bounds.x0 + bounds.x1) / 2 - (cosine - sine) * half;
    const double y = (bounds.y0 + bounds.y1) / 2 - (sine + cosine) * half;
    const Point columns[3] = {apply(rule.undisplay, cosine, sine), apply(rule.undisplay, -sine, cosine),
                              apply(rule.undisplay, x, y)};
    return {{{columns[0].x, columns[1].x, columns[2].x}, {columns[0].y, columns[1].y, columns[2].y}}};
}

// Where the face is in the next frame, if it is in this one. By one thread, when all points are placed.
CF_HOST_DEVICE inline void follow_face(const FollowRule& rule, const PointBounds& bounds, float presence,
                                       Aim& aim, FoundMesh& found) {
    const double (&left)[2] = found.landmarks[rule.left_eye], (&right)[2] = found.landmarks[rule.right_eye];
    const Point eye_line = apply(rule.display, left[0] - right[0], left[1] - right[1]);
    const double eye_distance = std::sqrt(eye_line.x * eye_line.x + eye_line.y * eye_line.y);
    const bool there = presence >= rule.least_presence && bounds.finite && eye_distance > 0.0;
    if (!there) aim.lost = 1;
    found.presence = presence;
    found.lost = aim.lost;
    if (!aim.lost) aim.crop_to_luma = region_of(rule, bounds, eye_line, eye_distance);
}

// Every how many rows and columns are enough for a crop.
CF_HOST_DEVICE inline int decimation(const Frame& frame, const Affine& crop_to_luma, double least_span) {
    const double across = stretch(crop_to_luma, 0), down = stretch(crop_to_luma, 1);
    int smallest = frame.planes[0].width;
    for (const Plane& plane : frame.planes) {
        smallest = plane.width < smallest ? plane.width : smallest;
        smallest = plane.height < smallest ? plane.height : smallest;
    }
    return static_cast<int>(clamp((across < down ? across : down) / least_span, 1.0, smallest));
}

// The frame and the job of a face's crop, as `quick_crop` has them: every k-th sample from the first on,
// whose centre lies at 0.5 and not in the middle of k. `row_offset`: of the frame, a field.
CF_HOST_DEVICE inline void aim_crop(const DeviceFrame& frame, double row_offset, const FollowRule& rule,
                                    const Aim& aim, int item, DeviceFrame& crop_frame, CropJob& crop) {
    const int k = decimation(frame.frame, aim.crop_to_luma, rule.least_span);
    crop_frame = frame;
    for (Plane& plane : crop_frame.frame.planes) {
        plane.pitch_bytes *= k;
        plane.step *= k;
        plane.width = (plane.width + k - 1) / k;
        plane.height = (plane.height + k - 1) / k;
    }
    const double begin[2] = {0.5 - 0.5 / k, 0.5 - 0.5 / k - row_offset / k};
    for (int axis = 0; axis < 2; ++axis)
        for (int i = 0; i < 3; ++i)
            crop.crop_to_luma.m[axis][i] = aim.crop_to_luma.m[axis][i] / k + (i == 2 ? begin[axis] : 0.0);
    crop.frame = crop.item = item;
}

}  // namespace crossface::CF_VARIANT

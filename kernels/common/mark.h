#pragma once

#include <cmath>
#include <cstddef>

#include "jobs.h"
#include "pixel.h"
#include "texel.h"
#include "variant.h"

// The imperceptible mark of one face: how far the luma of each chip of an aligned square is raised or
// lowered, so that whoever measures the chips of a bit of the code finds it, whatever the face shows there.
//
// What is measured is fine detail over its strength around: a chip's mean luma less that blurred, over the
// RMS of that. The sum over the chips of a bit, each times its sign, is brought to kTarget by moving those
// chips, more where the face is busy; so the face's own share in the sum is cancelled ("informed embedding").
// It is cancelled by more than all, for compression takes away some of what is added, and none of the face.
//
// All steps are loops over chips or bits that may be shared by threads with a barrier between steps; every
// value is computed by one thread in one order, so that threads do not matter.
namespace crossface::CF_VARIANT {

constexpr int kMarkSide = 64, kMarkBits = 96, kMarkChipsABit = 20;
constexpr int kMarkThreads = 256;

// Around the square there is room for blurs to look at.
constexpr int kMarkMargin = 8, kMarkPitch = kMarkSide + 2 * kMarkMargin;
constexpr int kMarkArea = kMarkPitch * kMarkPitch;

constexpr int kMarkRounds = 6;
constexpr float kMarkTarget = 0.33f;     // mean over a bit's chips
constexpr float kMarkOvercancel = 1.0f;  // of the face's share: half of what is added is left at crf 28
constexpr float kMarkStep = 1.2f;        // of the distance that is left, a round
constexpr float kMarkKept = 0.6f;        // of a chip's change that its own mean has, as `blend` lays it
constexpr float kMarkLeastActivity = 2.0f, kMarkMostDetail = 12.0f;  // codes of 8 bits
constexpr float kMarkUsualActivity = 4.0f;
// Of all places that the mask reaches; bilinear between them that is 2.45 codes: 40.3 dB, and 40 within the
// face's outline, which the mask's soft edge and forehead lie about. Faces that ask for less, the smooth
// ones, get as much, but no chip more than `kMarkMostChip`: compression leaves nothing of fainter steps.
constexpr float kMarkRms = 3.68f, kMarkMostScale = 2.5f, kMarkMostChip = 10.0f;

// Gauss, of 0.6 and of 1.5 chips.
struct MarkBlur {
    static constexpr int kDetailRadius = 2, kActivityRadius = 5;
    CF_HOST_DEVICE static float detail(int distance) {
        constexpr float kTaps[] = {0.66381833f, 0.16552457f, 0.00256627f};
        return kTaps[distance < 0 ? -distance : distance];
    }
    CF_HOST_DEVICE static float activity(int distance) {
        constexpr float kTaps[] = {0.26601172f, 0.21300554f, 0.10936069f,
                                   0.03600077f, 0.00759876f, 0.00102838f};
        return kTaps[distance < 0 ? -distance : distance];
    }
};

// Chips are counted along the rows of the square.
struct MarkKey {
    const int* chips;    // [kMarkBits, kMarkChipsABit]
    const float* signs;  // the same, by which the chips of this payload are multiplied
};

// Memory of one face, each [kMarkArea] but `asked` and `missing`.
struct MarkSheet {
    static constexpr int kFloats = 6 * kMarkArea + 2 * kMarkBits;

    CF_HOST_DEVICE explicit MarkSheet(float* memory)
        : detail(memory),
          gain(memory + kMarkArea),
          weight(memory + 2 * kMarkArea),
          along(memory + 3 * kMarkArea),
          seen(memory + 4 * kMarkArea),
          chip(memory + 5 * kMarkArea),
          asked(memory + 6 * kMarkArea),
          missing(asked + kMarkBits) {}

    float *detail, *gain, *weight, *along, *seen, *chip;
    float *asked, *missing;
};

// Of a chip as the key counts it.
CF_HOST_DEVICE inline int mark_place(int chip) {
    return (chip / kMarkSide + kMarkMargin) * kMarkPitch + chip % kMarkSide + kMarkMargin;
}

// Of `value(column, row)` [size, size], continued by its outermost samples.
template <typename Value>
CF_HOST_DEVICE inline float mark_bilinear(int size, float x, float y, Value value) {
    const float left = std::floor(x), top = std::floor(y);
    const float fx = x - left, fy = y - top;
    const int x0 = clamp(static_cast<int>(left), 0, size - 1),
              x1 = clamp(static_cast<int>(left) + 1, 0, size - 1);
    const int y0 = clamp(static_cast<int>(top), 0, size - 1),
              y1 = clamp(static_cast<int>(top) + 1, 0, size - 1);
    return (1.0f - fy) * ((1.0f - fx) * value(x0, y0) + fx * value(x1, y0)) +
           fy * ((1.0f - fx) * value(x0, y1) + fx * value(x1, y1));
}

// Step 1, of place `i`: the mean luma of a chip, from a few points of it, as `detail`; and the face's share.
// `luma(column, row)` is that of the face's pixels.
template <typename Texel, typename Luma>
CF_HOST_DEVICE inline void measure_chip(const MarkJob& job, const Texel* mask, int size,
                                        const MarkSheet& sheet, int i, Luma luma) {
    const float column = static_cast<float>(i % kMarkPitch - kMarkMargin);
    const float row = static_cast<float>(i / kMarkPitch - kMarkMargin);
    float m[2][3];
    for (int axis = 0; axis < 2; ++axis)
        for (int j = 0; j < 3; ++j) m[axis][j] = static_cast<float>(job.mark_to_face.m[axis][j]);
    const float px = std::sqrt(m[0][0] * m[0][0] + m[1][0] * m[1][0]);
    // Each stands for two pixels along each axis, as it lies between them.
    const int points = px > 6.0f ? 4 : px > 4.0f ? 3 : 2;
    // Beyond these the result is an edge's anyway, and numbers stay small enough to be whole.
    const float limit = static_cast<float>(4 * size);
    float sum = 0.0f;
    for (int j = 0; j < points; ++j)
        for (int k = 0; k < points; ++k) {
            const float u = column + (static_cast<float>(k) + 0.5f) / static_cast<float>(points);
            const float v = row + (static_cast<float>(j) + 0.5f) / static_cast<float>(points);
            const float x = clamp(m[0][0] * u + m[0][1] * v + m[0][2] - 0.5f, -limit, limit);
            const float y = clamp(m[1][0] * u + m[1][1] * v + m[1][2] - 0.5f, -limit, limit);
            sum += mark_bilinear(size, x, y, luma);
        }
    const float mean = sum / static_cast<float>(points * points);
    sheet.detail[i] = is_finite(mean) ? mean : 0.0f;
    sheet.chip[i] = 0.0f;
    const float u = column + 0.5f, v = row + 0.5f;
    const float x = m[0][0] * u + m[0][1] * v + m[0][2], y = m[1][0] * u + m[1][1] * v + m[1][2];
    const bool inside =
        x >= 0.0f && y >= 0.0f && x < static_cast<float>(size) && y < static_cast<float>(size);
    const float share =
        inside ? mark_bilinear(size, x - 0.5f, y - 0.5f,
                               [&](int at, int line) {
                                   return read_texel(mask[static_cast<std::ptrdiff_t>(line) * size + at]);
                               })
               : 0.0f;
    sheet.weight[i] = clamp(share, 0.0f, 1.0f);
}

// Steps 2 to 5, of place `i` that is so far from the sheet's edge.
CF_HOST_DEVICE inline void blur_mean_along(const MarkSheet& sheet, int i) {
    float sum = 0.0f;
    for (int k = -MarkBlur::kDetailRadius; k <= MarkBlur::kDetailRadius; ++k)
        sum += MarkBlur::detail(k) * sheet.detail[i + k];
    sheet.along[i] = sum;
}

CF_HOST_DEVICE inline void find_detail(const MarkSheet& sheet, int i) {
    float sum = sheet.detail[i];
    for (int k = -MarkBlur::kDetailRadius; k <= MarkBlur::kDetailRadius; ++k)
        sum -= MarkBlur::detail(k) * sheet.along[i + k * kMarkPitch];
    sheet.seen[i] = sum;
}

CF_HOST_DEVICE inline void blur_power_along(const MarkSheet& sheet, int i) {
    float sum = 0.0f;
    for (int k = -MarkBlur::kActivityRadius; k <= MarkBlur::kActivityRadius; ++k) {
        const float detail = clamp(sheet.seen[i + k], -kMarkMostDetail, kMarkMostDetail);
        sum += MarkBlur::activity(k) * detail * detail;
    }
    sheet.along[i] = sum;
}

CF_HOST_DEVICE inline void find_gain(const MarkSheet& sheet, int i) {
    float power = 0.0f;
    for (int k = -MarkBlur::kActivityRadius; k <= MarkBlur::kActivityRadius; ++k)
        power += MarkBlur::activity(k) * sheet.along[i + k * kMarkPitch];
    sheet.detail[i] = sheet.seen[i];
    sheet.gain[i] = 1.0f / (std::sqrt(power) + kMarkLeastActivity);
}

// Steps of a round.
CF_HOST_DEVICE inline void blur_chips_along(const MarkSheet& sheet, int i) {
    float sum = 0.0f;
    for (int k = -MarkBlur::kDetailRadius; k <= MarkBlur::kDetailRadius; ++k)
        sum += MarkBlur::detail(k) * sheet.chip[i + k] * sheet.weight[i + k];
    sheet.along[i] = sum;
}

CF_HOST_DEVICE inline void see_chip(const MarkSheet& sheet, int i) {
    float added = sheet.chip[i] * sheet.weight[i];
    for (int k = -MarkBlur::kDetailRadius; k <= MarkBlur::kDetailRadius; ++k)
        added -= MarkBlur::detail(k) * sheet.along[i + k * kMarkPitch];
    sheet.seen[i] = sheet.gain[i] * (sheet.detail[i] + kMarkKept * added);
}

// How far bit `bit` is from what it should be.
CF_HOST_DEVICE inline void measure_bit(const MarkSheet& sheet, const MarkKey& key, int bit, int round) {
    float sum = 0.0f;
    for (int k = bit * kMarkChipsABit; k < (bit + 1) * kMarkChipsABit; ++k)
        sum += key.signs[k] * sheet.seen[mark_place(key.chips[k])];
    const float mean = sum / static_cast<float>(kMarkChipsABit);
    if (round == 0) sheet.asked[bit] = kMarkTarget - kMarkOvercancel * mean;
    sheet.missing[bit] = sheet.asked[bit] - mean;
}

// By the root of the activity, for what is seen grows with it and what is read falls. Chips of a smooth face
// may move by 6 codes before all are scaled, those of a busy one by up to 9.
CF_HOST_DEVICE inline void move_chips(const MarkSheet& sheet, const MarkKey& key, int bit) {
    const float step = kMarkStep * sheet.missing[bit];
    for (int k = bit * kMarkChipsABit; k < (bit + 1) * kMarkChipsABit; ++k) {
        const int i = mark_place(key.chips[k]);
        const float activity = 1.0f / sheet.gain[i];
        const float limit = clamp(6.0f + 1.2f * (activity - kMarkLeastActivity), 6.0f, 9.0f);
        const float share = std::sqrt(kMarkUsualActivity * activity) * sheet.weight[i];
        sheet.chip[i] = clamp(sheet.chip[i] + step * key.signs[k] * share, -limit, limit);
    }
}

// Last: what all chips must be multiplied by so as to be as strong in every face, and not seen in any. One
// thread knows.
CF_HOST_DEVICE inline float mark_scale(const MarkSheet& sheet, const MarkKey& key) {
    float power = 0.0f, area = 1e-6f;
    for (int k = 0; k < kMarkBits * kMarkChipsABit; ++k) {
        const int i = mark_place(key.chips[k]);
        const float drawn = sheet.chip[i] * sheet.weight[i];
        power += drawn * drawn;
    }
    for (int chip = 0; chip < kMarkSide * kMarkSide; ++chip)
        area += sheet.weight[mark_place(chip)] > 0.0f ? 1.0f : 0.0f;
    const float rms = std::sqrt(power / area);
    return rms * kMarkMostScale > kMarkRms ? kMarkRms / rms : kMarkMostScale;
}

// All steps in turn, of one face, to `out` [kMarkSide, kMarkSide] in codes of 8 bits. `run` has
//   places(rows, columns, step)  calls step(i) for all places but so many rows and columns at every edge,
//   bits(step)                   calls step(bit) for all bits,
//   once(step)                   calls step(),
// and each returns when all of its calls have.
template <typename Run, typename Texel, typename Luma>
CF_HOST_DEVICE inline void make_mark(const Run& run, const MarkJob& job, const MarkKey& key,
                                     const Texel* mask, int size, const MarkSheet& sheet, Luma luma,
                                     float* out) {
    constexpr int kDetail = MarkBlur::kDetailRadius, kActivity = MarkBlur::kActivityRadius;
    constexpr int kSquare = kMarkMargin, kAround = kMarkMargin - kActivity;
    static_assert(kAround >= kDetail);
    run.places(0, 0, [&](int i) { measure_chip(job, mask, size, sheet, i, luma); });
    run.places(0, kAround, [&](int i) { blur_mean_along(sheet, i); });
    run.places(kAround, kAround, [&](int i) { find_detail(sheet, i); });
    run.places(kAround, kSquare, [&](int i) { blur_power_along(sheet, i); });
    run.places(kSquare, kSquare, [&](int i) { find_gain(sheet, i); });
    for (int round = 0; round < kMarkRounds; ++round) {
        run.places(kSquare - kDetail, kSquare, [&](int i) { blur_chips_along(sheet, i); });
        run.places(kSquare, kSquare, [&](int i) { see_chip(sheet, i); });
        run.bits([&](int bit) { measure_bit(sheet, key, bit, round); });
        run.bits([&](int bit) { move_chips(sheet, key, bit); });
    }
    run.once([&] { sheet.asked[0] = mark_scale(sheet, key); });
    run.places(kSquare, kSquare, [&](int i) {
        const int column = i % kMarkPitch - kMarkMargin, row = i / kMarkPitch - kMarkMargin;
        out[row * kMarkSide + column] = clamp(sheet.asked[0] * sheet.chip[i], -kMarkMostChip, kMarkMostChip);
    });
}

// Of `chips` [kMarkSide, kMarkSide] at position (x, y): bilinear, and zero beyond the outermost centres.
CF_HOST_DEVICE inline float mark_at(const float* chips, float x, float y) {
    x -= 0.5f;
    y -= 0.5f;
    constexpr float kEnd = kMarkSide - 1;
    if (!(x >= 0.0f && y >= 0.0f && x < kEnd && y < kEnd)) return 0.0f;
    const int column = static_cast<int>(x), row = static_cast<int>(y);
    const float fx = x - static_cast<float>(column), fy = y - static_cast<float>(row);
    const float* at = chips + row * kMarkSide + column;
    return (1.0f - fy) * ((1.0f - fx) * at[0] + fx * at[1]) +
           fy * ((1.0f - fx) * at[kMarkSide] + fx * at[kMarkSide + 1]);
}

// Codes of a frame for one of 8 bits.
CF_HOST_DEVICE inline float mark_unit(int bits) {
    return bits == kFloatBits ? 1.0f / 255.0f : static_cast<float>(1 << (bits - 8));
}

}  // namespace crossface::CF_VARIANT

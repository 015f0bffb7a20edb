#pragma once

#include <cstddef>

#include "jobs.h"
#include "pixel.h"
#include "texel.h"
#include "tile.h"
#include "variant.h"

// What a face gives to one luma position of the frame: a weight, and code values.
namespace crossface::CF_VARIANT {

// Of the mask [size, size]: bilinear, and zero outside its picture.
template <typename Texel>
CF_HOST_DEVICE inline float mask_weight(const Texel* mask, int size, const Location& at) {
    float corners[2][2];
    for (int j = 0; j < 2; ++j)
        for (int i = 0; i < 2; ++i) {
            const int x = at.column + i, y = at.row + j;
            const bool inside = x >= 0 && y >= 0 && x < size && y < size;
            corners[j][i] =
                inside ? clamp(read_texel(mask[static_cast<std::ptrdiff_t>(y) * size + x]), 0.0f, 1.0f)
                       : 0.0f;
        }
    const float fx = at.fraction_x, fy = at.fraction_y;
    return (1.0f - fy) * ((1.0f - fx) * corners[0][0] + fx * corners[0][1]) +
           fy * ((1.0f - fx) * corners[1][0] + fx * corners[1][1]);
}

// Whether a tap lies within the curve's positive part; of one that is not stretched, always two do.
CF_HOST_DEVICE inline bool in_middle(const FilterAxis& axis, float distance) {
    return distance > -1.0f && (axis.inverse_widening < 1.0f ? distance < 1.0f : distance <= 1.0f);
}

// Of the face [3, size, size]: Catmull-Rom, limited to the range of the texels within the curve's positive
// part, because it overshoots at edges and that shows as a halo.
template <typename Texel, int kColumns>
CF_HOST_DEVICE inline Rgb filter_face(const Texel* face, int size, const TileMap& map, const Location& at) {
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
    const int first_column = at.column - map.x.reach + 1, first_row = at.row - map.y.reach + 1;
    float total[3] = {}, low[3] = {3.4e38f, 3.4e38f, 3.4e38f}, high[3] = {-3.4e38f, -3.4e38f, -3.4e38f};
    float sum_x = 0.0f, sum_y = 0.0f;
    CF_KEEP_ROLLED
    for (int i = 0; i < 2 * map.x.reach; i += kColumns) {
        float across[kColumns];
        bool middle[kColumns];
        int column[kColumns];
        for (int k = 0; k < kColumns; ++k) {
            const float distance =
                (static_cast<float>(i + k - map.x.reach + 1) - at.fraction_x) * map.x.inverse_widening;
            across[k] = catmull_rom(distance);
            middle[k] = in_middle(map.x, distance);
            sum_x += across[k];
            column[k] = clamp(first_column + i + k, 0, size - 1);
        }
        sum_y = 0.0f;
        CF_KEEP_ROLLED
        for (int j = 0; j < 2 * map.y.reach; ++j) {
            const float distance =
                (static_cast<float>(j - map.y.reach + 1) - at.fraction_y) * map.y.inverse_widening;
            const float down = catmull_rom(distance);
            const bool middle_row = in_middle(map.y, distance);
            sum_y += down;
            const Texel* texels =
                face + static_cast<std::ptrdiff_t>(clamp(first_row + j, 0, size - 1)) * size;
            for (int c = 0; c < 3; ++c) {
                float sum = 0.0f;
                for (int k = 0; k < kColumns; ++k) {
                    const float texel = read_texel(texels[c * plane + column[k]]);
                    sum += across[k] * texel;
                    if (middle_row && middle[k]) {
                        low[c] = texel < low[c] ? texel : low[c];
                        high[c] = texel > high[c] ? texel : high[c];
                    }
                }
                total[c] += down * sum;
            }
        }
    }
    const float normal = 1.0f / (sum_x * sum_y);
    for (int c = 0; c < 3; ++c) {
        total[c] *= normal;
        // Ordered so that NaN survives: it must not be written as if it were a colour.
        total[c] = low[c] > total[c] ? low[c] : total[c];
        total[c] = high[c] < total[c] ? high[c] : total[c];
    }
    return {total[0], total[1], total[2]};
}

// The face's code values, colour matched and encoded, before rounding.
template <typename Texel>
CF_HOST_DEVICE inline Codes face_codes(const DeviceFrame& target, const float (&colour)[3][4],
                                       const Texel* face, int size, const TileMap& map, const Location& at) {
    // The first serves all faces that are not shrunk.
    const Rgb in = map.x.reach % 2 == 0 ? filter_face<Texel, 4>(face, size, map, at)
                                        : filter_face<Texel, 2>(face, size, map, at);
    Rgb out{affine_row(colour[0], in.r, in.g, in.b), affine_row(colour[1], in.r, in.g, in.b),
            affine_row(colour[2], in.r, in.g, in.b)};
    if (target.curve.to_signal)
        out = {to_signal(target.curve, out.r), to_signal(target.curve, out.g),
               to_signal(target.curve, out.b)};
    return to_codes(target.format, out);
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstddef>
#include <cstdint>

#include "jobs.h"
#include "pixel.h"
#include "plane_sample.h"
#include "tile.h"
#include "variant.h"

// One pixel of a resampled frame as a network is shown it: what `crop` and `resize` have in common.
namespace crossface::CF_VARIANT {

// Filtered code values of planes that share one geometry. Weights are computed where they are used: on a
// device that is cheaper than to load them. `kColumns` at a time share the weights of the rows.
template <typename Filter, typename Sample, int kPlanes, int kColumns>
CF_HOST_DEVICE inline void filter_planes(const Plane* planes, int padding_bits, const TileMap& map,
                                         const Location& at, float (&codes)[kPlanes]) {
    const Plane& shape = planes[0];
    const int first_column = at.column - map.x.reach + 1, first_row = at.row - map.y.reach + 1;
    float total[kPlanes] = {}, sum_x = 0.0f, sum_y = 0.0f;
    CF_KEEP_ROLLED
    for (int i = 0; i < 2 * map.x.reach; i += kColumns) {
        float across[kColumns];
        std::ptrdiff_t offset[kColumns];
        for (int k = 0; k < kColumns; ++k) {
            const float distance = static_cast<float>(i + k - map.x.reach + 1) - at.fraction_x;
            across[k] = Filter::weight(distance * map.x.inverse_widening);
            sum_x += across[k];
            offset[k] = clamp(first_column + i + k, 0, shape.width - 1) * shape.step;
        }
        sum_y = 0.0f;
        CF_KEEP_ROLLED
        for (int j = 0; j < 2 * map.y.reach; ++j) {
            const float distance = static_cast<float>(j - map.y.reach + 1) - at.fraction_y;
            const float down = Filter::weight(distance * map.y.inverse_widening);
            sum_y += down;
            const int row = clamp(first_row + j, 0, shape.height - 1);
            for (int plane = 0; plane < kPlanes; ++plane) {
                const Sample* samples = plane_row<const Sample>(planes[plane], row);
                float sum = 0.0f;
                for (int k = 0; k < kColumns; ++k)
                    sum += across[k] * SampleCode<Sample>::read_finite(samples[offset[k]], padding_bits);
                total[plane] += down * sum;
            }
        }
    }
    const float normal = 1.0f / (sum_x * sum_y);
    for (int plane = 0; plane < kPlanes; ++plane) codes[plane] = total[plane] * normal;
}

template <typename Filter, typename Sample, int kPlanes>
CF_HOST_DEVICE inline void filter_planes(const Plane* planes, int padding_bits, const TileMap& map, int dx,
                                         int dy, float (&codes)[kPlanes]) {
    const Location at = locate(map, dx, dy);
    // The first serves all that is not shrunk.
    if (map.x.reach % 2 == 0)
        filter_planes<Filter, Sample, kPlanes, 4>(planes, padding_bits, map, at, codes);
    else
        filter_planes<Filter, Sample, kPlanes, 2>(planes, padding_bits, map, at, codes);
}

// A tile of the result on the two grids of the frame.
struct FrameTile {
    TileMap luma, chroma;
};

template <typename Filter>
CF_HOST_DEVICE inline FrameTile frame_tile(const Colour& colour, const Affine& to_luma, int x, int y) {
    return {tile_map<Filter>(to_luma, x, y), tile_map<Filter>(to_chroma(to_luma, colour), x, y)};
}

template <typename Filter, typename Sample>
CF_HOST_DEVICE inline Rgb frame_pixel(const DeviceFrame& source, const FrameTile& tile, int dx, int dy) {
    const int padding_bits = source.format.padding_bits;
    float luma[1], chroma[2];
    filter_planes<Filter, Sample>(source.frame.planes, padding_bits, tile.luma, dx, dy, luma);
    filter_planes<Filter, Sample>(source.frame.planes + 1, padding_bits, tile.chroma, dx, dy, chroma);
    const Rgb signal = to_rgb(source.format, {luma[0], chroma[0], chroma[1]});
    if (!source.curve.to_display) return signal;
    return {to_display(source.curve, signal.r), to_display(source.curve, signal.g),
            to_display(source.curve, signal.b)};
}

// The same with the sample type of the frame's depth.
template <typename Filter>
CF_HOST_DEVICE inline Rgb frame_pixel(const DeviceFrame& source, const FrameTile& tile, int dx, int dy) {
    const int bits = source.frame.colour.bits;
    if (bits == kFloatBits) return frame_pixel<Filter, float>(source, tile, dx, dy);
    if (bits == 8) return frame_pixel<Filter, std::uint8_t>(source, tile, dx, dy);
    return frame_pixel<Filter, std::uint16_t>(source, tile, dx, dy);
}

}  // namespace crossface::CF_VARIANT

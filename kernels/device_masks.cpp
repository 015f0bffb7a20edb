#include "device_masks.h"

#include <cstddef>

#include "common/outline_tile.h"
#include "common/soften_tile.h"
#include "common/uncover_tile.h"
#include "common/values_part.h"

namespace crossface::device {

namespace {

// The threads of a grid of tiles whose blocks share nothing.
template <int kColumns, int kRows, typename Pixel>
void for_each_pixel(const Grid& grid, Pixel pixel) {
    for (int y = 0; y < grid.y * kRows; ++y)
        for (int x = 0; x < grid.x * kColumns; ++x) pixel(x, y);
}

}  // namespace

template <typename Texel>
void launch_outline(const Grid& grid, const Edge* edges, const OutlineJob* jobs, int size, Texel* masks) {
    for (const OutlineJob* job = jobs; job != jobs + grid.z; ++job)
        for_each_pixel<kOutlineColumns, kOutlineRows>(
            grid, [&](int x, int y) { outline_pixel(edges, *job, x, y, size, masks); });
}

template <typename Texel>
void launch_soften_down(const Grid& grid, const SoftenJob* jobs, const float* taps, int radius, int size,
                        const Texel* masks, float* lines) {
    for (int number = 0; number < grid.z; ++number)
        for_each_pixel<kSoftenColumns, kSoftenRows>(grid, [&](int x, int y) {
            soften_down_pixel(jobs[number], number, x, y, taps, radius, size, masks, lines);
        });
}

template <typename Texel>
void launch_soften_across(const Grid& grid, const SoftenJob* jobs, const float* taps, int radius,
                          float border_px, int size, const float* lines, Texel* out, double* tiles) {
    for (int number = 0; number < grid.z; ++number)
        for (int y = 0; y < grid.y; ++y)
            for (int x = 0; x < grid.x; ++x) {
                const double sum = fold_block<kSoftenThreads, double>(
                    [&](int thread) -> double {
                        return soften_across_pixel(jobs[number], number,
                                                   x * kSoftenColumns + thread % kSoftenColumns,
                                                   y * kSoftenRows + thread / kSoftenColumns, taps, radius,
                                                   border_px, size, lines, out);
                    },
                    fold_areas);
                if (tiles) tiles[(number * grid.y + y) * grid.x + x] = sum;
            }
}

void launch_soften_areas(const Grid& grid, const SoftenJob* jobs, const double* tiles, int count, int pixels,
                         double* areas) {
    for (int number = 0; number < grid.x; ++number) {
        const double* first = tiles + static_cast<std::ptrdiff_t>(number) * count;
        const double sum = fold_block<kAreaThreads, double>(
            [&](int thread) { return sum_tiles(first, count, thread); }, fold_areas);
        areas[jobs[number].item] = sum / pixels;
    }
}

template <typename Texel>
void launch_uncover(const Grid& grid, const int* items, int side, const float* maps, int size, Texel* masks) {
    for (const int* item = items; item != items + grid.z; ++item)
        for_each_pixel<kUncoverColumns, kUncoverRows>(
            grid, [&](int x, int y) { uncover_pixel(*item, x, y, side, maps, size, masks); });
}

template <typename From, typename To>
void launch_prepare(const Grid& grid, const From* from, int count, float scale, float offset, float low,
                    float high, To* to) {
    for (int part = 0; part < grid.x; ++part)
        for (int thread = 0; thread < kValuesThreads; ++thread)
            prepare_values(part, thread, count, scale, offset, low, high, from, to);
}

template <typename Texel>
void launch_finite(const Grid& grid, const Texel* values, int each, int* finite) {
    for (int item = 0; item < grid.y; ++item)
        for (int part = 0; part < grid.x; ++part)
            for (int thread = 0; thread < kValuesThreads; ++thread)
                if (has_no_number(values, item, part, thread, each)) finite[item] = 0;
}

#define CF_FOR_TEXEL(Texel)                                                                               \
    template void launch_outline(const Grid&, const Edge*, const OutlineJob*, int, Texel*);               \
    template void launch_soften_down(const Grid&, const SoftenJob*, const float*, int, int, const Texel*, \
                                     float*);                                                             \
    template void launch_soften_across(const Grid&, const SoftenJob*, const float*, int, float, int,      \
                                       const float*, Texel*, double*);                                    \
    template void launch_uncover(const Grid&, const int*, int, const float*, int, Texel*);                \
    template void launch_prepare(const Grid&, const Texel*, int, float, float, float, float, float*);     \
    template void launch_prepare(const Grid&, const Texel*, int, float, float, float, float, Half*);      \
    template void launch_finite(const Grid&, const Texel*, int, int*);

CF_FOR_TEXEL(float)
CF_FOR_TEXEL(Half)

}  // namespace crossface::device

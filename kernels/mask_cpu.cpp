#include "buffer.h"
#include "common/mask_edge.h"
#include "common/pixel.h"
#include "common/uncover_tile.h"
#include "common/variant.h"
#include "cpu.h"
#include "lanes.h"

namespace crossface::CF_VARIANT {

namespace {

// out[x] = the taps' sum of `in`, whose first sample lies a radius before that of `out`. Sums of some columns
// at a time stay in registers while all taps are added.
void sum_taps(const float* in, std::ptrdiff_t step, const float* taps, int count, int width, float* out) {
    constexpr int kVectors = 4;
    int x = 0;
    for (; x + 8 * kVectors <= width; x += 8 * kVectors) {
        Float8 sums[kVectors] = {};
        for (int tap = 0; tap < count; ++tap)
            for (int v = 0; v < kVectors; ++v)
                sums[v] += splat8(taps[tap]) * load8(in + step * tap + x + 8 * v);
        for (int v = 0; v < kVectors; ++v) store8(out + x + 8 * v, sums[v]);
    }
    for (; x < width; ++x) {
        out[x] = 0.0f;
        for (int tap = 0; tap < count; ++tap) out[x] += taps[tap] * in[step * tap + x];
    }
}

}  // namespace

void fill(const Edge* edges, std::size_t count, int size, float* mask) {
    for (int y = 0; y < size; ++y, mask += size) {
        const float row = static_cast<float>(y) + 0.5f;
        for (int x = 0; x < size; ++x) mask[x] = 1.0f;
        for (std::size_t i = 0; i < count; ++i) {
            const float nx = edges[i].nx, start = edges[i].ny * row - edges[i].offset + 0.5f;
            for (int x = 0; x < size; ++x) {
                const float inside = nx * (static_cast<float>(x) + 0.5f) + start;
                mask[x] = inside < mask[x] ? inside : mask[x];
            }
        }
        for (int x = 0; x < size; ++x) mask[x] = clamp(mask[x], 0.0f, 1.0f);
    }
}

void soften(const float* mask, int size, const float* taps, int radius, float border_px, float* out) {
    const std::size_t width = static_cast<std::size_t>(size), margin = static_cast<std::size_t>(radius);
    Buffer<float> line(width + 2 * margin), border(width);
    line.fill(0.0f);
    for (int x = 0; x < size; ++x) border[static_cast<std::size_t>(x)] = border_fade(x, size, border_px);
    for (int y = 0; y < size; ++y, out += size) {
        // Down the columns first, where neighbours lie side by side; around the picture all is zero.
        const int begin = y < radius ? radius - y : 0;
        const int end = size - y <= radius ? size - y + radius : 2 * radius + 1;
        float* centre = line.data() + margin;
        sum_taps(mask + static_cast<std::ptrdiff_t>(y - radius + begin) * size, size, taps + begin,
                 end - begin, size, centre);
        sum_taps(line.data(), 1, taps, 2 * radius + 1, size, out);
        const float edge = border[static_cast<std::size_t>(y)];
        for (int x = 0; x < size; ++x)
            out[x] = soft_weight(out[x], edge * border[static_cast<std::size_t>(x)]);
    }
}

void uncover(const float* map, int side, float* mask, int size) {
    Buffer<float> line(static_cast<std::size_t>(side));
    Buffer<Between> columns(static_cast<std::size_t>(size));
    for (int x = 0; x < size; ++x) columns[static_cast<std::size_t>(x)] = samples_around(x, size, side);
    for (int y = 0; y < size; ++y, mask += size) {
        const Between row = samples_around(y, size, side);
        const float* above = map + static_cast<std::ptrdiff_t>(row.first) * side;
        const float* below = map + static_cast<std::ptrdiff_t>(row.second) * side;
        float* seen = line.data();
        for (int x = 0; x < side; ++x) seen[x] = mixed(above[x], below[x], row.share);
        for (int x = 0; x < size; ++x) {
            const Between& column = columns[static_cast<std::size_t>(x)];
            mask[x] = uncovered_weight(mask[x], mixed(seen[column.first], seen[column.second], column.share));
        }
    }
}

}  // namespace crossface::CF_VARIANT

#include "buffer.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "cpu.h"

namespace crossface::CF_VARIANT {

namespace {

// What is less cannot move an 8-bit code by half, and would only widen the box that is blended.
constexpr float kLeastWeight = 1.0f / 512.0f;

// out[x] += the taps' sum of `in`, whose first sample lies a radius before that of `out`.
void add_taps(const float* in, std::ptrdiff_t step, const float* taps, int count, int width, float* out) {
    for (int tap = 0; tap < count; ++tap) {
        const float* samples = in + step * tap;
        for (int x = 0; x < width; ++x) out[x] += taps[tap] * samples[x];
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
    for (int x = 0; x < size; ++x) {
        const float left = static_cast<float>(x) - 0.5f, right = static_cast<float>(size - x) - 1.5f;
        border[static_cast<std::size_t>(x)] = clamp((left < right ? left : right) / border_px, 0.0f, 1.0f);
    }
    for (int y = 0; y < size; ++y, out += size) {
        // Down the columns first, where neighbours lie side by side; around the picture all is zero.
        const int begin = y < radius ? radius - y : 0;
        const int end = size - y <= radius ? size - y + radius : 2 * radius + 1;
        float* centre = line.data() + margin;
        for (int x = 0; x < size; ++x) centre[x] = out[x] = 0.0f;
        add_taps(mask + static_cast<std::ptrdiff_t>(y - radius + begin) * size, size, taps + begin,
                 end - begin, size, centre);
        add_taps(line.data(), 1, taps, 2 * radius + 1, size, out);
        const float edge = border[static_cast<std::size_t>(y)];
        for (int x = 0; x < size; ++x) {
            const float ramp = clamp(2.0f * out[x] - 1.0f, 0.0f, 1.0f);
            const float weight =
                ramp * ramp * (3.0f - 2.0f * ramp) * (edge * border[static_cast<std::size_t>(x)]);
            out[x] = weight < kLeastWeight ? 0.0f : weight;
        }
    }
}

}  // namespace crossface::CF_VARIANT

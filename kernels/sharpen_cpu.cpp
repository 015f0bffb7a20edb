#include "buffer.h"
#include "common/pixel.h"
#include "common/sharpen.h"
#include "common/variant.h"
#include "cpu.h"

namespace crossface::CF_VARIANT {

namespace {

// A face's luma, continued beyond its edges by its outermost pixels.
class Luma {
  public:
    Luma(const float* rgb, int size, int margin)
        : size_(size),
          margin_(margin),
          pitch_(size + 2 * margin),
          luma_(static_cast<std::size_t>(pitch_) * static_cast<std::size_t>(pitch_)),
          line_(static_cast<std::size_t>(pitch_)) {
        const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
        for (int y = -margin; y < size + margin; ++y) {
            const float* from = rgb + static_cast<std::ptrdiff_t>(clamp(y, 0, size - 1)) * size;
            float* to = luma_.data() + begin(y);
            for (int x = 0; x < size; ++x) to[x] = luma_of(from[x], from[x + plane], from[x + 2 * plane]);
            for (int x = 1; x <= margin; ++x) {
                to[-x] = to[0];
                to[size - 1 + x] = to[size - 1];
            }
        }
    }

    // Column x's luma is row(y)[x].
    const float* row(int y) const { return luma_.data() + begin(y); }

    // Luma less luma blurred by `taps` [2 radius + 1] along both axes, of row `y`. `radius` is the margin at
    // most.
    void detail(int y, const float* taps, int radius, float* out) {
        float* line = line_.data();
        for (int x = 0; x < pitch_; ++x) line[x] = 0.0f;
        for (int tap = -radius; tap <= radius; ++tap)
            add(row(y + tap) - margin_, taps[tap + radius], pitch_, line);
        const float* own = row(y);
        for (int x = 0; x < size_; ++x) out[x] = own[x];
        for (int tap = -radius; tap <= radius; ++tap)
            add(line + margin_ + tap, -taps[tap + radius], size_, out);
    }

  private:
    static void add(const float* __restrict from, float weight, int count, float* __restrict to) {
        for (int x = 0; x < count; ++x) to[x] += weight * from[x];
    }

    std::ptrdiff_t begin(int y) const { return static_cast<std::ptrdiff_t>(y + margin_) * pitch_ + margin_; }

    int size_, margin_, pitch_;
    Buffer<float> luma_, line_;
};

}  // namespace

void detail(const float* rgb, int size, const float* taps, int radius, float* out) {
    Luma luma(rgb, size, radius);
    for (int y = 0; y < size; ++y) luma.detail(y, taps, radius, out + static_cast<std::ptrdiff_t>(y) * size);
}

void sharpen(const float* rgb, int size, const float* taps, int radius, float amount, float* out) {
    const std::size_t width = static_cast<std::size_t>(size);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
    Luma luma(rgb, size, radius > 1 ? radius : 1);
    Buffer<float> found(width), low(width + 2), high(width + 2);
    for (int y = 0; y < size; ++y) {
        luma.detail(y, taps, radius, found.data());
        const float *above = luma.row(y - 1) - 1, *own = luma.row(y) - 1, *below = luma.row(y + 1) - 1;
        for (std::size_t x = 0; x < width + 2; ++x) {
            const float least = above[x] < own[x] ? above[x] : own[x];
            const float most = above[x] > own[x] ? above[x] : own[x];
            low[x] = below[x] < least ? below[x] : least;
            high[x] = below[x] > most ? below[x] : most;
        }
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(y) * size;
        for (std::size_t x = 0; x < width; ++x) {
            const float least = low[x] < low[x + 1] ? low[x] : low[x + 1];
            const float most = high[x] > high[x + 1] ? high[x] : high[x + 1];
            found[x] = sharpening(own[x + 1], found[x], amount, low[x + 2] < least ? low[x + 2] : least,
                                  high[x + 2] > most ? high[x + 2] : most);
        }
        for (int channel = 0; channel < 3; ++channel) {
            const float* from = rgb + channel * plane + row;
            float* to = out + channel * plane + row;
            for (std::size_t x = 0; x < width; ++x) to[x] = from[x] + found[x];
        }
    }
}

}  // namespace crossface::CF_VARIANT

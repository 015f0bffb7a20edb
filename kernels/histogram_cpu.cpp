#include "buffer.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "cpu.h"

// Histograms of a face's colours in another space, and curves laid over them there.
namespace crossface::CF_VARIANT {

namespace {

// Of what each channel may be, colours out of gamut and differences below zero included.
constexpr float kLeast = -1.0f, kMost = 2.0f;
constexpr int kBins = 1536;

float along(const float (&row)[3], const float* rgb, std::ptrdiff_t plane) {
    return row[0] * rgb[0] + row[1] * rgb[plane] + row[2] * rgb[2 * plane];
}

// Where `share` of the weight lies below, linear within a bin.
class Ranks {
  public:
    explicit Ranks(const double* bins) : bins_(bins) {
        for (int bin = 0; bin < kBins; ++bin) total_ += bins[bin];
    }

    // Of shares in rising order.
    double value(double share) {
        const double wanted = share * total_;
        while (bin_ < kBins - 1 && before_ + bins_[bin_] < wanted) before_ += bins_[bin_++];
        const double inside = bins_[bin_] > 0.0 ? (wanted - before_) / bins_[bin_] : 0.0;
        return kLeast + (bin_ + inside) * (static_cast<double>(kMost - kLeast) / kBins);
    }

  private:
    const double* bins_;
    double total_ = 0.0, before_ = 0.0;
    int bin_ = 0;
};

}  // namespace

void quantiles(const float* rgb, const float* mask, std::size_t pixels, const float (&to_space)[3][3],
               int count, double* out) {
    constexpr float kBinsPerUnit = kBins / (kMost - kLeast);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(pixels);
    Buffer<double> bins(static_cast<std::size_t>(3 * kBins));
    bins.fill(0.0);
    for (std::ptrdiff_t i = 0; i < plane; ++i) {
        if (!(mask[i] > 0.0f)) continue;
        for (int channel = 0; channel < 3; ++channel) {
            const float at = (along(to_space[channel], rgb + i, plane) - kLeast) * kBinsPerUnit;
            const int bin = static_cast<int>(clamp(at, 0.0f, kBins - 1.0f));
            bins[static_cast<std::size_t>(channel * kBins + bin)] += static_cast<double>(mask[i]);
        }
    }
    for (int channel = 0; channel < 3; ++channel) {
        Ranks ranks(bins.data() + channel * kBins);
        for (int i = 0; i < count; ++i) out[channel * count + i] = ranks.value((i + 0.5) / count);
    }
}

void recolour(const float* rgb, std::size_t pixels, const float (&to_space)[3][3],
              const float (&from_space)[3][3], const float* const (&curves)[3], int cells, float low,
              float high, float* out) {
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(pixels);
    const float cells_per_unit = static_cast<float>(cells) / (high - low);
    for (std::ptrdiff_t i = 0; i < plane; ++i) {
        float mapped[3];
        for (int channel = 0; channel < 3; ++channel) {
            const float value = along(to_space[channel], rgb + i, plane);
            const float position = (value - low) * cells_per_unit;
            const float inside = clamp(position, 0.0f, static_cast<float>(cells));
            const int cell = static_cast<int>(clamp(inside, 0.0f, static_cast<float>(cells - 1)));
            const float* curve = curves[channel] + cell;
            // Beyond its ends a curve shifts, as at its ends.
            mapped[channel] = curve[0] + (inside - static_cast<float>(cell)) * (curve[1] - curve[0]) +
                              (position - inside) / cells_per_unit;
        }
        for (int channel = 0; channel < 3; ++channel) {
            const float (&row)[3] = from_space[channel];
            out[i + channel * plane] = row[0] * mapped[0] + row[1] * mapped[1] + row[2] * mapped[2];
        }
    }
}

}  // namespace crossface::CF_VARIANT

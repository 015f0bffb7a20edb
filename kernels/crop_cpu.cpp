#include <cmath>

#include "buffer.h"
#include "common/affine.h"
#include "common/pixel.h"
#include "cpu.h"
#include "filter.h"
#include "float4.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

namespace {

// The part of a plane that a crop needs, as floats with the plane's edges replicated, so that the filter
// below knows neither edges nor sample types nor nv12. Cb and Cr share positions and weights, so one
// object holds both.
class Neighbourhood {
  public:
    // `planes`: `count` planes of one size.
    Neighbourhood(const Plane* planes, int count, int bits, const Affine& crop_to_plane, int size)
        : map_(crop_to_plane),
          filter_x_(stretch(crop_to_plane, 0)),
          filter_y_(stretch(crop_to_plane, 1)),
          // Farther out than this every tap sees the same edge sample.
          low_{-filter_x_.reach() - 1.0, -filter_y_.reach() - 1.0},
          high_{planes->width + filter_x_.reach() + 1.0, planes->height + filter_y_.reach() + 1.0},
          bounds_(bounds(size)),
          pitch_(bounds_.x1 - bounds_.x0),
          count_(count),
          area_(static_cast<std::ptrdiff_t>(pitch_) * (bounds_.y1 - bounds_.y0)),
          samples_(static_cast<std::size_t>(count * area_)) {
        with_sample_type(bits, [&](auto sample) {
            for (int i = 0; i < count; ++i) load<decltype(sample)>(planes[i], samples_.data() + i * area_);
        });
    }

    // Filtered code values at the centres of row `y` of the crop: `size` values for each plane.
    void sample_row(int y, int size, float* out) const {
        // Fixed counts let the loops unroll, here for faces up to 1 and up to 1.5 times the crop's size.
        const int taps = filter_x_.taps();
        if (taps != filter_y_.taps() || taps > 6) return sample_row_with_taps<0>(y, size, out);
        return taps == 4 ? sample_row_with_taps<4>(y, size, out) : sample_row_with_taps<6>(y, size, out);
    }

  private:
    Point position(double x, double y) const {
        const Point p = apply(map_, x, y);
        return {clamp(p.x, low_[0], high_[0]), clamp(p.y, low_[1], high_[1])};
    }

    // An affine takes its extremes at the corners.
    Box bounds(int size) const {
        const double first = 0.5, last = size - 0.5;
        Point low = position(first, first), high = low;
        for (const Point corner : {position(last, first), position(first, last), position(last, last)}) {
            low = {corner.x < low.x ? corner.x : low.x, corner.y < low.y ? corner.y : low.y};
            high = {corner.x > high.x ? corner.x : high.x, corner.y > high.y ? corner.y : high.y};
        }
        // One sample of slack: the corner and the loop may round a position to different sides of a sample.
        return {filter_x_.locate(low.x).first - 1, filter_y_.locate(low.y).first - 1,
                filter_x_.locate(high.x).first + filter_x_.padded_taps() + 1,
                filter_y_.locate(high.y).first + filter_y_.taps() + 1};
    }

    template <typename Sample>
    void load(const Plane& plane, float* target) {
        const int inside_begin = clamp(0, bounds_.x0, bounds_.x1),
                  inside_end = clamp(plane.width, bounds_.x0, bounds_.x1);
        for (int y = bounds_.y0; y < bounds_.y1; ++y) {
            const Sample* source = row<Sample>(plane, clamp(y, 0, plane.height - 1));
            const float left = source[0], right = source[(plane.width - 1) * plane.step];
            for (int x = bounds_.x0; x < inside_begin; ++x) *target++ = left;
            if (plane.step == 1)
                for (int x = inside_begin; x < inside_end; ++x) *target++ = source[x];
            else
                for (int x = inside_begin; x < inside_end; ++x) *target++ = source[x * plane.step];
            for (int x = inside_end; x < bounds_.x1; ++x) *target++ = right;
        }
    }

    // kTaps along both axes, or 0 to ask the filters.
    template <int kTaps>
    void sample_row_with_taps(int y, int size, float* out) const {
        const int columns = kTaps ? (kTaps + 3) / 4 * 4 : filter_x_.padded_taps();
        const int rows = kTaps ? kTaps : filter_y_.taps();
        float weights_x[kMaxPaddedTaps], weights_y[kMaxPaddedTaps];
        for (int x = 0; x < size; ++x) {
            const Point p = position(x + 0.5, y + 0.5);
            const TapPosition at_x = filter_x_.locate(p.x), at_y = filter_y_.locate(p.y);
            filter_x_.weights(at_x.phase, weights_x);
            filter_y_.weights(at_y.phase, weights_y);
            const float* corner = samples_.data() +
                                  static_cast<std::ptrdiff_t>(at_y.first - bounds_.y0) * pitch_ +
                                  (at_x.first - bounds_.x0);
            for (int plane = 0; plane < count_; ++plane, corner += area_) {
                Float4 total = splat(0.0f);
                for (int tap = 0; tap < columns; tap += 4) {
                    Float4 column = splat(0.0f);
                    for (int j = 0; j < rows; ++j)
                        column += splat(weights_y[j]) *
                                  load4(corner + static_cast<std::ptrdiff_t>(j) * pitch_ + tap);
                    total += column * load4(weights_x + tap);
                }
                out[plane * size + x] = sum4(total);
            }
        }
    }

    Affine map_;
    FilterBank filter_x_, filter_y_;
    double low_[2], high_[2];
    Box bounds_;
    int pitch_;
    int count_;
    std::ptrdiff_t area_;
    Buffer<float> samples_;
};

}  // namespace

void crop(const Frame& frame, const Affine& crop_to_luma, int size, float* rgb) {
    const Colour& colour = frame.colour;
    const PixelFormat format = pixel_format(colour);
    const Neighbourhood luma(frame.planes, 1, colour.bits, crop_to_luma, size);
    const Neighbourhood chroma(frame.planes + 1, 2, colour.bits, to_chroma(crop_to_luma, colour), size);

    const std::size_t width = static_cast<std::size_t>(size), plane = width * width;
    Buffer<float> codes(3 * width);
    float *y_codes = codes.data(), *cb_codes = y_codes + width, *cr_codes = cb_codes + width;
    for (int y = 0; y < size; ++y) {
        luma.sample_row(y, size, y_codes);
        chroma.sample_row(y, size, cb_codes);
        float* out = rgb + static_cast<std::size_t>(y) * width;
        for (std::size_t x = 0; x < width; ++x) {
            const Rgb pixel = to_rgb(format, y_codes[x], cb_codes[x], cr_codes[x]);
            out[x] = pixel.r;
            out[x + plane] = pixel.g;
            out[x + 2 * plane] = pixel.b;
        }
    }
}

}  // namespace crossface::CF_VARIANT

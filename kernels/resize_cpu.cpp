#include <cmath>

#include "buffer.h"
#include "common/affine.h"
#include "common/pixel.h"
#include "cpu.h"
#include "float4.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

namespace {

// For every output sample of one axis, which input samples it sums and with which weights: a tent as wide
// as the output sample's footprint, which is all that a detector needs.
class TentAxis {
  public:
    // position(i) = step (i + 0.5) + offset on the input's grid.
    TentAxis(double step, double offset, int outputs)
        : reach_(static_cast<int>(std::ceil(widening(step)))),
          padded_taps_((2 * reach_ + 3) / 4 * 4),
          first_(static_cast<std::size_t>(outputs)),
          weights_(static_cast<std::size_t>(outputs) * static_cast<std::size_t>(padded_taps_)) {
        for (int i = 0; i < outputs; ++i) {
            const double centred = step * (i + 0.5) + offset - 0.5;
            const int first = static_cast<int>(std::floor(centred)) - reach_ + 1;
            float* weights = weights_.data() + static_cast<std::ptrdiff_t>(i) * padded_taps_;
            double sum = 0.0;
            for (int tap = 0; tap < taps(); ++tap) sum += tent(first + tap - centred, step);
            for (int tap = 0; tap < padded_taps_; ++tap)
                weights[tap] =
                    tap < taps() ? static_cast<float>(tent(first + tap - centred, step) / sum) : 0.0f;
            first_[static_cast<std::size_t>(i)] = first;
        }
    }

    int reach() const { return reach_; }
    int taps() const { return 2 * reach_; }
    int padded_taps() const { return padded_taps_; }
    int first(int i) const { return first_[static_cast<std::size_t>(i)]; }
    const float* weights(int i) const {
        return weights_.data() + static_cast<std::ptrdiff_t>(i) * padded_taps_;
    }

  private:
    static double widening(double step) { return step > 1.0 ? step : 1.0; }

    static double tent(double distance, double step) {
        const double height = 1.0 - std::fabs(distance) / widening(step);
        return height > 0.0 ? height : 0.0;
    }

    int reach_;
    int padded_taps_;
    Buffer<int> first_;
    Buffer<float> weights_;
};

// Shrinks one plane row by row: first down the columns, where neighbours lie side by side and vectorise,
// then along the one row that is left.
class PlaneScaler {
  public:
    PlaneScaler(const Plane& plane, int bits, const Affine& output_to_plane, int width, int height)
        : plane_(plane),
          bits_(bits),
          across_(output_to_plane.m[0][0], output_to_plane.m[0][2], width),
          down_(output_to_plane.m[1][1], output_to_plane.m[1][2], height),
          margin_(across_.padded_taps() + 1),
          line_(static_cast<std::size_t>(plane.width + 2 * margin_)) {}

    // Code values of row `y` of the scaled plane.
    void scale_row(int y, int width, float* out) {
        with_sample_type(bits_, [&](auto sample) { sum_rows<decltype(sample)>(y); });
        const float* line = line_.data() + margin_;
        for (int x = 0; x < width; ++x) {
            const float* weights = across_.weights(x);
            const float* samples = line + clamp(across_.first(x), -margin_, plane_.width);
            Float4 total = splat(0.0f);
            for (int tap = 0; tap < across_.padded_taps(); tap += 4)
                total += load4(samples + tap) * load4(weights + tap);
            out[x] = sum4(total);
        }
    }

  private:
    template <typename Sample>
    void sum_rows(int y) {
        line_.fill(0.0f);
        float* line = line_.data() + margin_;
        for (int tap = 0; tap < down_.taps(); ++tap) {
            const float weight = down_.weights(y)[tap];
            const Sample* source = row<Sample>(plane_, clamp(down_.first(y) + tap, 0, plane_.height - 1));
            if (plane_.step == 1)
                for (int x = 0; x < plane_.width; ++x) line[x] += weight * source[x];
            else
                for (int x = 0; x < plane_.width; ++x) line[x] += weight * source[x * plane_.step];
        }
        for (int x = 1; x <= margin_; ++x) {
            line[-x] = line[0];
            line[plane_.width - 1 + x] = line[plane_.width - 1];
        }
    }

    Plane plane_;
    int bits_;
    TentAxis across_, down_;
    int margin_;
    Buffer<float> line_;
};

int scaled(int length, double scale, int limit) {
    return clamp(static_cast<int>(length * scale + 0.5), 1, limit);
}

}  // namespace

void resize(const Frame& frame, double scale, int width, int height, float* rgb) {
    const PixelFormat format = pixel_format(frame.colour);
    const int picture_width = scaled(frame.planes[0].width, scale, width);
    const int picture_height = scaled(frame.planes[0].height, scale, height);
    const Affine output_to_luma{{{1.0 / scale, 0.0, 0.0}, {0.0, 1.0 / scale, 0.0}}};
    const Affine output_to_chroma = to_chroma(output_to_luma, frame.colour);
    const int bits = frame.colour.bits;
    PlaneScaler luma(frame.planes[0], bits, output_to_luma, picture_width, picture_height);
    PlaneScaler blue(frame.planes[1], bits, output_to_chroma, picture_width, picture_height);
    PlaneScaler red(frame.planes[2], bits, output_to_chroma, picture_width, picture_height);

    const std::size_t pitch = static_cast<std::size_t>(width),
                      plane = pitch * static_cast<std::size_t>(height);
    for (std::size_t i = 0; i < 3 * plane; ++i) rgb[i] = 0.0f;
    Buffer<float> codes(3 * pitch);
    float *y_codes = codes.data(), *cb_codes = y_codes + pitch, *cr_codes = cb_codes + pitch;
    for (int y = 0; y < picture_height; ++y) {
        luma.scale_row(y, picture_width, y_codes);
        blue.scale_row(y, picture_width, cb_codes);
        red.scale_row(y, picture_width, cr_codes);
        float* out = rgb + static_cast<std::size_t>(y) * pitch;
        for (int x = 0; x < picture_width; ++x) {
            const Rgb pixel = to_rgb(format, y_codes[x], cb_codes[x], cr_codes[x]);
            out[x] = pixel.r;
            out[plane + static_cast<std::size_t>(x)] = pixel.g;
            out[2 * plane + static_cast<std::size_t>(x)] = pixel.b;
        }
    }
}

}  // namespace crossface::CF_VARIANT

#include <cmath>

#include "buffer.h"
#include "common/affine.h"
#include "common/curve.h"
#include "common/pixel.h"
#include "cpu.h"
#include "curve.h"
#include "lanes.h"
#include "parts.h"
#include "rgb_row.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

namespace {

// For every output sample of one axis, which input samples it sums and with which weights: a tent as wide
// as the output sample's footprint, which is all that a detector needs.
class TentAxis {
  public:
    // position(i) = step (i + 0.5) + offset on the input's grid. Outputs are rounded up to four.
    TentAxis(double step, double offset, int outputs)
        : reach_(static_cast<int>(std::ceil(widening(step)))),
          vectors_((2 * reach_ + 3) / 4),
          first_(static_cast<std::size_t>(outputs + 3)),
          weights_(static_cast<std::size_t>(outputs + 3) * static_cast<std::size_t>(4 * vectors_)) {
        for (int i = 0; i < outputs + 3; ++i) {
            const double centred = step * ((i < outputs ? i : outputs - 1) + 0.5) + offset - 0.5;
            const int first = static_cast<int>(std::floor(centred)) - reach_ + 1;
            float* weights = weights_.data() + static_cast<std::ptrdiff_t>(i) * 4 * vectors_;
            double sum = 0.0;
            for (int tap = 0; tap < taps(); ++tap) sum += tent(first + tap - centred, step);
            for (int tap = 0; tap < 4 * vectors_; ++tap)
                weights[tap] =
                    tap < taps() ? static_cast<float>(tent(first + tap - centred, step) / sum) : 0.0f;
            first_[static_cast<std::size_t>(i)] = first;
        }
    }

    int taps() const { return 2 * reach_; }
    int vectors() const { return vectors_; }  // of Float4 that hold all taps; the rest weighs zero
    int first(int i) const { return first_[static_cast<std::size_t>(i)]; }
    const float* weights(int i) const {
        return weights_.data() + static_cast<std::ptrdiff_t>(i) * 4 * vectors_;
    }

  private:
    static double widening(double step) { return step > 1.0 ? step : 1.0; }

    static double tent(double distance, double step) {
        const double height = 1.0 - std::fabs(distance) / widening(step);
        return height > 0.0 ? height : 0.0;
    }

    int reach_;
    int vectors_;
    Buffer<int> first_;
    Buffer<float> weights_;
};

// line[x] (+)= the weighted sum of kRows rows.
template <int kRows, typename Sample, typename Columns>
void add_rows(const Sample* const* rows, const float* weights, Columns step, int padding_bits, int width,
              bool first, float* line) {
    const Sample* source[kRows];
    float weight[kRows];
    for (int i = 0; i < kRows; ++i) {
        source[i] = rows[i];
        weight[i] = weights[i];
    }
    for (int x = 0; x < width; ++x) {
        float sum = weight[0] * SampleCode<Sample>::read_finite(source[0][x * step], padding_bits);
        for (int i = 1; i < kRows; ++i)
            sum += weight[i] * SampleCode<Sample>::read_finite(source[i][x * step], padding_bits);
        line[x] = first ? sum : line[x] + sum;
    }
}

// Shrinks one plane row by row: first down the columns, where neighbours lie side by side and vectorise,
// then along the one row that is left.
class PlaneScaler {
  public:
    PlaneScaler(const Plane& plane, const Colour& colour, const Affine& output_to_plane, int width,
                int height)
        : plane_(plane),
          bits_(colour.bits),
          padding_bits_(colour.padding_bits),
          width_(width),
          across_(output_to_plane.m[0][0], output_to_plane.m[0][2], width),
          down_(output_to_plane.m[1][1], output_to_plane.m[1][2], height),
          margin_(4 * across_.vectors() + 1) {}

    // Floats of scratch memory that scale_row needs.
    std::size_t line_floats() const { return static_cast<std::size_t>(plane_.width + 2 * margin_); }

    // Code values of row `y` of the scaled plane; up to three more than its width.
    void scale_row(int y, float* scratch, float* out) const {
        float* line = scratch + margin_;
        with_sample_type(bits_, [&](auto sample) {
            with_step(plane_.step, [&](auto step) { sum_rows<decltype(sample)>(y, step, line); });
        });
        for (int x = 1; x <= margin_; ++x) {
            line[-x] = line[0];
            line[plane_.width - 1 + x] = line[plane_.width - 1];
        }
        switch (across_.vectors()) {
            case 1:
                return sum_columns<1>(line, out);
            case 2:
                return sum_columns<2>(line, out);
            case 3:
                return sum_columns<3>(line, out);
            default:
                return sum_columns<0>(line, out);
        }
    }

  private:
    template <typename Sample, typename Columns>
    void sum_rows(int y, Columns step, float* line) const {
        const float* weights = down_.weights(y);
        int tap = 0, end = down_.taps();
        while (end > 1 && weights[end - 1] == 0.0f) --end;
        for (bool first = true; tap < end; first = false) {
            const int count = smaller(end - tap, 4);
            const Sample* rows[4];
            for (int i = 0; i < count; ++i)
                rows[i] = row<Sample>(plane_, clamp(down_.first(y) + tap + i, 0, plane_.height - 1));
            const auto add = [&](auto rows_at_once) {
                add_rows<decltype(rows_at_once)::kRows>(rows, weights + tap, step, padding_bits_,
                                                        plane_.width, first, line);
            };
            if (count == 4) add(Rows<4>{});
            if (count == 3) add(Rows<3>{});
            if (count == 2) add(Rows<2>{});
            if (count == 1) add(Rows<1>{});
            tap += count;
        }
    }
    template <int kCount>
    struct Rows {
        static constexpr int kRows = kCount;
    };

    // kVectors of taps, or 0 to ask the axis.
    template <int kVectors>
    void sum_columns(const float* line, float* out) const {
        const int vectors = kVectors ? kVectors : across_.vectors();
        const float* weights = across_.weights(0);
        for (int x = 0; x < width_; x += 4) {
            Float4 sums[4];
            for (int k = 0; k < 4; ++k, weights += 4 * vectors) {
                const float* samples = line + clamp(across_.first(x + k), -margin_, plane_.width);
                sums[k] = load4(samples) * load4(weights);
                for (int v = 1; v < vectors; ++v) sums[k] += load4(samples + 4 * v) * load4(weights + 4 * v);
            }
            store4(out + x, sum_lanes(sums[0], sums[1], sums[2], sums[3]));
        }
    }

    Plane plane_;
    int bits_, padding_bits_, width_;
    TentAxis across_, down_;
    int margin_;
};

int scaled(int length, double scale, int limit) {
    return clamp(static_cast<int>(length * scale + 0.5), 1, limit);
}

}  // namespace

void resize(const Frame& frame, const Scale& scale, int width, int height, float* rgb, int threads) {
    const PixelFormat format = pixel_format(frame.colour);
    const Curve curve = curve_of(frame.colour.transfer);
    const int picture_width = scaled(frame.planes[0].width, scale.x, width);
    const int picture_height = scaled(frame.planes[0].height, scale.y, height);
    const Affine output_to_luma{{{1.0 / scale.x, 0.0, 0.0}, {0.0, 1.0 / scale.y, 0.0}}};
    const Affine output_to_chroma = to_chroma(output_to_luma, frame.colour);
    const PlaneScaler first(frame.planes[0], frame.colour, output_to_luma, picture_width, picture_height);
    const PlaneScaler second(frame.planes[1], frame.colour, output_to_chroma, picture_width, picture_height);
    const PlaneScaler third(frame.planes[2], frame.colour, output_to_chroma, picture_width, picture_height);

    const std::size_t pitch = static_cast<std::size_t>(width),
                      plane = pitch * static_cast<std::size_t>(height);
    const auto scale_rows = [&](Span rows) {
        Buffer<float> scratch(first.line_floats() + second.line_floats());  // either may be the longer
        const std::size_t padded = static_cast<std::size_t>(picture_width) + 3;
        Buffer<float> codes(4 * padded);
        float *a = codes.data(), *b = a + padded, *c = b + padded, *spare = c + padded;
        for (int y = rows.begin; y < rows.end; ++y) {
            float* out = rgb + static_cast<std::size_t>(y) * pitch;
            float* const channels[3] = {out, out + plane, out + 2 * plane};
            const int end = y < picture_height ? picture_width : 0;
            if (end > 0) {
                first.scale_row(y, scratch.data(), a);
                second.scale_row(y, scratch.data(), b);
                third.scale_row(y, scratch.data(), c);
            }
            convert_row(format, curve, {a, b, c}, end, spare, channels);
            for (float* channel : channels)
                for (int x = end; x < width; ++x) channel[x] = 0.0f;
        }
    };
    for_row_parts(height, width + frame.planes[0].width, 65536, threads, scale_rows);
}

}  // namespace crossface::CF_VARIANT

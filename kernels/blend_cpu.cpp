#include <cmath>

#include "buffer.h"
#include "chroma_footprint.h"
#include "common/affine.h"
#include "common/pixel.h"
#include "cpu.h"
#include "face_texture.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

namespace {

// What a row of the frame takes from the face: a weight and three values for each column begin..end-1,
// first R'G'B', then code values. Columns that the mask does not reach have weight zero.
class FaceRow {
  public:
    FaceRow(int begin, int end)
        : begin_(begin), count_(static_cast<std::size_t>(end - begin)), values_(4 * count_) {}

    std::size_t index(int column) const { return static_cast<std::size_t>(column - begin_); }
    float* weight() { return values_.data(); }
    float* channel(int i) { return values_.data() + static_cast<std::size_t>(i + 1) * count_; }
    std::size_t count() const { return count_; }
    void clear() { values_.fill(0.0f); }

  private:
    int begin_;
    std::size_t count_;
    Buffer<float> values_;
};

// The columns of one frame row that may have weight, half open.
struct Span {
    int begin, end;
};

// Narrows `span` to where low < slope (x + 0.5) + offset < high, give or take a column.
Span narrow(Span span, double slope, double offset, double low, double high) {
    if (std::fabs(slope) < 1e-12) return offset > low && offset < high ? span : Span{0, 0};
    double from = (low - offset) / slope - 0.5, to = (high - offset) / slope - 0.5;
    if (slope < 0.0) {
        const double swapped = from;
        from = to;
        to = swapped;
    }
    const double first = clamp(std::floor(from), span.begin, span.end);
    const double last = clamp(std::ceil(to) + 1.0, first, span.end);
    return {static_cast<int>(first), static_cast<int>(last)};
}

// Fills weight and filtered R'G'B' of frame row `y` and returns the bounds of weight > 0 (empty if none).
Span sample_face(const FaceTexture& texture, const Affine& luma_to_face, int y, Span span, FaceRow& out) {
    const Extent& extent = texture.extent();
    const Point start = apply(luma_to_face, 0.0, y + 0.5);
    span = narrow(span, luma_to_face.m[0][0], start.x, extent.x0, extent.x1);
    span = narrow(span, luma_to_face.m[1][0], start.y, extent.y0, extent.y1);
    float *weight = out.weight(), *r = out.channel(0), *g = out.channel(1), *b = out.channel(2);
    Span touched{span.end, span.begin};
    for (int x = span.begin; x < span.end; ++x) {
        const Point p = apply(luma_to_face, x + 0.5, y + 0.5);
        if (!(p.x > extent.x0 && p.x < extent.x1 && p.y > extent.y0 && p.y < extent.y1)) continue;
        const float w = texture.weight(p);
        if (!(w > 0.0f)) continue;
        const std::size_t i = out.index(x);
        const Rgb face = texture.sample(p);
        weight[i] = w;
        r[i] = face.r;
        g[i] = face.g;
        b[i] = face.b;
        if (x < touched.begin) touched.begin = x;
        touched.end = x + 1;
    }
    return touched.begin < touched.end ? touched : Span{0, 0};
}

// R'G'B' to the code values of this stream, after the colour transform. In place.
void encode_row(const PixelFormat& format, const float (&colour)[3][4], FaceRow& values) {
    float *first = values.channel(0), *second = values.channel(1), *third = values.channel(2);
    for (std::size_t i = 0; i < values.count(); ++i) {
        const float in[3] = {first[i], second[i], third[i]};
        float matched[3];
        for (int c = 0; c < 3; ++c)
            matched[c] =
                clamp(colour[c][0] * in[0] + colour[c][1] * in[1] + colour[c][2] * in[2] + colour[c][3], 0.0f,
                      1.0f);
        const Ycc code = to_ycc(format, {matched[0], matched[1], matched[2]});
        first[i] = code.y;
        second[i] = code.cb;
        third[i] = code.cr;
    }
}

template <typename Sample>
void mix_luma(const Plane& plane, const PixelFormat& format, int y, Span span, FaceRow& values) {
    Sample* target = row<Sample>(plane, y);
    const float *weight = values.weight(), *face = values.channel(0);
    for (int x = span.begin; x < span.end; ++x) {
        const std::size_t i = values.index(x);
        if (!(weight[i] > 0.0f)) continue;
        const float old = target[x * plane.step];
        target[x * plane.step] = quantise<Sample>(format, old + weight[i] * (face[i] - old));
    }
}

template <typename Sample>
void mix_chroma(const Plane& plane, const PixelFormat& format, const ChromaSums& sums, int channel) {
    const Box& box = sums.box();
    for (int y = box.y0; y < box.y1; ++y) {
        Sample* target = row<Sample>(plane, y);
        for (int x = box.x0; x < box.x1; ++x) {
            const float weight = sums.weight(x, y);
            if (!(weight > 0.0f)) continue;
            const float old = target[x * plane.step];
            target[x * plane.step] =
                quantise<Sample>(format, old * (1.0f - weight) + sums.face(channel, x, y));
        }
    }
}

// Where the face's extent lands in the frame, cut to the frame.
Box reach_in_frame(const FaceTexture& texture, const Affine& face_to_luma, const Plane& luma) {
    double low[2] = {HUGE_VAL, HUGE_VAL}, high[2] = {-HUGE_VAL, -HUGE_VAL};
    texture.for_each_outline_point([&](double x, double y) {
        const Point p = apply(face_to_luma, x, y);
        const double at[2] = {p.x, p.y};
        for (int axis = 0; axis < 2; ++axis) {
            low[axis] = at[axis] < low[axis] ? at[axis] : low[axis];
            high[axis] = at[axis] > high[axis] ? at[axis] : high[axis];
        }
    });
    const auto whole = [](double value, int limit) { return static_cast<int>(clamp(value, 0.0, limit)); };
    return {whole(std::floor(low[0]), luma.width), whole(std::floor(low[1]), luma.height),
            whole(std::ceil(high[0]), luma.width), whole(std::ceil(high[1]), luma.height)};
}

template <typename Sample>
Box blend_samples(const Frame& frame, const Affine& face_to_luma, const FaceTexture& texture,
                  const float (&colour)[3][4]) {
    const Plane& luma = frame.planes[0];
    const Box reach = reach_in_frame(texture, face_to_luma, luma);
    if (reach.x0 >= reach.x1 || reach.y0 >= reach.y1) return {};
    const PixelFormat format = pixel_format(frame.colour);
    const Affine luma_to_face = invert(face_to_luma);
    ChromaSums sums(frame, reach);
    FaceRow values(sums.first_column(), sums.end_column());

    Box touched{reach.x1, reach.y1, reach.x0, reach.y0};
    for (int y = reach.y0; y < reach.y1; ++y) {
        values.clear();
        const Span span = sample_face(texture, luma_to_face, y, {reach.x0, reach.x1}, values);
        if (span.begin == span.end) continue;
        encode_row(format, colour, values);
        mix_luma<Sample>(luma, format, y, span, values);
        sums.add_row(y, values.weight(), values.channel(1), values.channel(2));
        touched = {span.begin < touched.x0 ? span.begin : touched.x0, y < touched.y0 ? y : touched.y0,
                   span.end > touched.x1 ? span.end : touched.x1, y + 1};
    }
    if (touched.x0 >= touched.x1) return {};
    for (int channel = 0; channel < 2; ++channel)
        mix_chroma<Sample>(frame.planes[1 + channel], format, sums, channel);
    return touched;
}

}  // namespace

Box blend(const Frame& frame, const Affine& crop_to_luma, int size, const float* face, const float* mask,
          const float (&colour)[3][4]) {
    const Affine luma_to_crop = invert(crop_to_luma);
    const FaceTexture texture(face, mask, size, stretch(luma_to_crop, 0), stretch(luma_to_crop, 1));
    return with_sample_type(frame.colour.bits, [&](auto sample) {
        return blend_samples<decltype(sample)>(frame, crop_to_luma, texture, colour);
    });
}

}  // namespace crossface::CF_VARIANT

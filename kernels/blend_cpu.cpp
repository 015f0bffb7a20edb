#include <cmath>

#include "buffer.h"
#include "chroma_rows.h"
#include "common/affine.h"
#include "common/curve.h"
#include "common/pixel.h"
#include "cpu.h"
#include "curve.h"
#include "face_mask.h"
#include "face_texture.h"
#include "grain_rows.h"
#include "mark_rows.h"
#include "parts.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

namespace {

// Everything about one call that its threads share.
struct Job {
    const Frame& frame;
    const Affine luma_to_face;
    const float* face;
    const int size;
    const float (&colour)[3][4];
    const Grain grain;
    const Mark mark;
    const PixelFormat format;
    const Curve curve;
};

// Where the mask's outline lands in the frame, cut to the frame.
Box reach_in_frame(const FaceMask& mask, const Affine& face_to_luma, const Plane& luma) {
    double low[2] = {HUGE_VAL, HUGE_VAL}, high[2] = {-HUGE_VAL, -HUGE_VAL};
    mask.for_each_outline_point([&](double x, double y) {
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

// The face's share of every luma sample of a box. All of them are known before a sample is written, for
// the highlights' share depends on what the source was.
class LumaWeights {
  public:
    LumaWeights(const Box& box)
        : box_(box),
          spans_(static_cast<std::size_t>(box.y1 - box.y0)),
          weights_(static_cast<std::size_t>(box.y1 - box.y0) * static_cast<std::size_t>(box.x1 - box.x0)) {}

    void fill(const Job& job, const FaceMask& mask, int threads) {
        const auto fill_rows = [&](Span rows) {
            for (int y = box_.y0 + rows.begin; y < box_.y0 + rows.end; ++y) {
                spans_[index(y)] = mask.weigh(y, {box_.x0, box_.x1}, line(y));
                if (job.curve.to_signal) fade_highlights(job, y);
            }
        };
        for_row_parts(box_.y1 - box_.y0, box_.x1 - box_.x0, 65536, threads, fill_rows);
    }

    const Box& box() const { return box_; }
    bool holds(int y) const { return y >= box_.y0 && y < box_.y1; }
    // Column x's weight is of_row(y)[x].
    const float* of_row(int y) const {
        return weights_.data() + index(y) * static_cast<std::size_t>(box_.x1 - box_.x0) - box_.x0;
    }

    // The columns of row `y` where the mask is above zero.
    Span span(int y) const { return holds(y) ? spans_[index(y)] : Span{0, 0}; }

    // Those of rows `rows`.
    Span span(Span rows) const {
        Span all{box_.x1, box_.x0};
        for (int y = larger(rows.begin, box_.y0); y < smaller(rows.end, box_.y1); ++y) {
            const Span one = span(y);
            if (one.begin == one.end) continue;
            all = {smaller(all.begin, one.begin), larger(all.end, one.end)};
        }
        return all.begin < all.end ? all : Span{0, 0};
    }

    // The bounds of the samples where the mask is above zero; empty if there are none.
    Box touched() const {
        Box box{box_.x1, box_.y1, box_.x0, box_.y0};
        for (int y = box_.y0; y < box_.y1; ++y) {
            const Span one = span(y);
            if (one.begin == one.end) continue;
            box = {smaller(box.x0, one.begin), smaller(box.y0, y), larger(box.x1, one.end), y + 1};
        }
        return box.x0 < box.x1 ? box : Box{};
    }

  private:
    std::size_t index(int y) const { return static_cast<std::size_t>(y - box_.y0); }
    float* line(int y) { return weights_.data() + index(y) * static_cast<std::size_t>(box_.x1 - box_.x0); }

    void fade_highlights(const Job& job, int y) {
        const Span one = span(y);
        float* weights = line(y) - box_.x0;
        const float* luma = job.format.luma;
        with_sample_type(job.frame.colour.bits, [&](auto sample) {
            using Code = SampleCode<decltype(sample)>;
            const Plane* planes = job.frame.planes;
            const auto code = [&](int plane, int x) {
                return Code::read(row<decltype(sample)>(planes[plane], y)[x * planes[plane].step],
                                  job.format.padding_bits);
            };
            // Only RGB takes its luma from three planes.
            const bool rgb = job.frame.colour.matrix == Matrix::kRgb;
            for (int x = one.begin; x < one.end; ++x) {
                const float others = rgb ? luma[1] * code(1, x) + luma[2] * code(2, x) : 0.0f;
                weights[x] *= highlight_fade(job.curve, luma[0] * code(0, x) + others + luma[3]);
            }
        });
    }

    Box box_;
    Buffer<Span> spans_;
    Buffer<float> weights_;
};

// Code values of the face along a row of luma positions, a row of floats for each plane of the frame.
class FaceRow {
  public:
    // `columns`: all that any row may ask for.
    FaceRow(const Job& job, Span columns)
        : job_(job),
          begin_(columns.begin),
          length_(static_cast<std::size_t>(columns.end - columns.begin) + kSlack),
          rgb_(3 * length_),
          codes_(3 * length_) {
        // The colour transform and the matrix in one, unless a curve lies between the two.
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 4; ++j) {
                const float (&to_codes)[4] = job.format.to_codes[i];
                first_[i][j] = job.colour[i][j];
                if (!job.curve.to_signal)
                    first_[i][j] = to_codes[0] * job.colour[0][j] + to_codes[1] * job.colour[1][j] +
                                   to_codes[2] * job.colour[2][j] + (j == 3 ? to_codes[3] : 0.0f);
            }
        codes_.fill(0.0f);
    }

    void sample(const FaceTexture& texture, int y, Span columns) {
        float* const rgb[3] = {rgb_.data(), rgb_.data() + length_, rgb_.data() + 2 * length_};
        texture.sample_row(y, columns, rgb);
        // Whole vectors, for what is left over would go one by one.
        const int count = (columns.end - columns.begin + 15) / 16 * 16;
        const std::size_t at = static_cast<std::size_t>(columns.begin - begin_);
        float* codes[3];
        for (int plane = 0; plane < 3; ++plane) {
            float* __restrict out = codes[plane] =
                codes_.data() + static_cast<std::size_t>(plane) * length_ + at;
            for (int i = 0; i < count; ++i)
                out[i] = affine_row(first_[plane], rgb[0][i], rgb[1][i], rgb[2][i]);
        }
        if (!job_.curve.to_signal) return;
        for (float* channel : codes)
            interpolate(job_.curve.to_signal, job_.curve.cells_per_display, channel, count, channel);
        for (int i = 0; i < count; ++i) {
            const Codes encoded = to_codes(job_.format, {codes[0][i], codes[1][i], codes[2][i]});
            codes[0][i] = encoded.first;
            codes[1][i] = encoded.second;
            codes[2][i] = encoded.third;
        }
    }

    // The code of column x is codes(plane)[x].
    float* codes(int plane) { return codes_.data() + static_cast<std::size_t>(plane) * length_ - begin_; }

    // Readers and writers of whole vectors may run this far past the end.
    static constexpr std::size_t kSlack = 128;

  private:
    const Job& job_;
    int begin_;
    std::size_t length_;
    float first_[3][4];
    Buffer<float> rgb_, codes_;
};

// The innermost loop. Bytes may alias anything, so it knows nothing but values and promised pointers.
template <int kCount, typename Sample, typename Columns>
void mix_columns(const PixelFormat format, Sample* __restrict target, Columns step,
                 const float* __restrict face, const float* __restrict weights) {
    for (int x = 0; x < kCount; ++x)
        target[x * step] = mix_sample(format, target[x * step], face[x], weights[x]);
}

// Mixes `face` into row `y`; column x's values are face[x] and weights[x]. `face` is read to the end of a
// block.
void mix_row(const Job& job, const Plane& plane, int y, Span columns, const float* face,
             const float* weights) {
    constexpr int kBlock = 32;
    with_sample_type(job.frame.colour.bits, [&](auto sample) {
        using Sample = decltype(sample);
        with_step(plane.step, [&](auto step) {
            Sample* target = row<Sample>(plane, y);
            int x = columns.begin;
            for (; x + kBlock <= columns.end; x += kBlock)
                mix_columns<kBlock>(job.format, target + x * step, step, face + x, weights + x);
            // What is left goes through a copy, for one by one it would take as long as all the others.
            Sample rest[kBlock] = {};
            float weights_left[kBlock] = {};
            const int left = columns.end - x;
            for (int i = 0; i < left; ++i) {
                rest[i] = target[(x + i) * step];
                weights_left[i] = weights[x + i];
            }
            mix_columns<kBlock>(job.format, rest, Step<1>{}, face + x, weights_left);
            for (int i = 0; i < left; ++i) target[(x + i) * step] = rest[i];
        });
    });
}

// Asks for a row's samples before the face's are made: the frame was decoded long ago, and left the caches.
void fetch_row(const Job& job, const Plane& plane, int y, Span columns) {
    const int bits = job.frame.colour.bits;
    const std::ptrdiff_t column_bytes = plane.step * (bits == kFloatBits ? 4 : bits == 8 ? 1 : 2);
    const auto* line = row<const char>(plane, y);
    for (std::ptrdiff_t at = columns.begin * column_bytes; at < columns.end * column_bytes; at += 64)
        __builtin_prefetch(line + at, 1);
}

// What a band of the frame may show of the face: where its luma samples land, within the mask and `reach`
// luma samples around it.
Extent band_extent(const Affine& luma_to_face, const Extent& mask, Span columns, Span rows,
                   const int (&reach)[2]) {
    Extent extent{HUGE_VAL, HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    for (const double x : {columns.begin + 0.5, columns.end - 0.5})
        for (const double y : {rows.begin + 0.5, rows.end - 0.5}) {
            const Point p = apply(luma_to_face, x, y);
            extent = {p.x < extent.x0 ? p.x : extent.x0, p.y < extent.y0 ? p.y : extent.y0,
                      p.x > extent.x1 ? p.x : extent.x1, p.y > extent.y1 ? p.y : extent.y1};
        }
    const auto spread = [&](int axis) {
        return 1.0 + std::fabs(luma_to_face.m[axis][0]) * reach[0] +
               std::fabs(luma_to_face.m[axis][1]) * reach[1];
    };
    const double x0 = clamp(extent.x0 - 1.0, mask.x0 - spread(0), mask.x1 + spread(0));
    const double y0 = clamp(extent.y0 - 1.0, mask.y0 - spread(1), mask.y1 + spread(1));
    return {x0, y0, clamp(extent.x1 + 1.0, x0, mask.x1 + spread(0)),
            clamp(extent.y1 + 1.0, y0, mask.y1 + spread(1))};
}

// 4:4:4 and RGB: every plane is as luma.
void blend_full(const Job& job, const FaceMask& mask, const LumaWeights& weights, Span rows) {
    const Box& box = weights.box();
    const Span columns{box.x0, box.x1};
    const FaceTexture texture(job.face, job.size, job.luma_to_face,
                              band_extent(job.luma_to_face, mask.extent(), columns, rows, {0, 0}));
    FaceRow face(job, columns);
    GrainRows grain(job.grain, columns);
    const MarkRows mark(job.mark, job.frame.colour.bits);
    const int grained = job.frame.colour.matrix == Matrix::kRgb ? 3 : 1;
    for (int y = rows.begin; y < rows.end; ++y) {
        const Span span = weights.span(y);
        if (span.begin == span.end) continue;
        for (const Plane& plane : job.frame.planes) fetch_row(job, plane, y, span);
        face.sample(texture, y, span);
        for (int plane = 0; plane < grained; ++plane)
            grain.add(y, span, weights.of_row(y), face.codes(plane));
        for (int plane = 0; plane < grained; ++plane) mark.add(y, span, face.codes(plane));
        for (int plane = 0; plane < 3; ++plane)
            mix_row(job, job.frame.planes[plane], y, span, face.codes(plane), weights.of_row(y));
    }
}

// Chroma rows `rows`, and the luma rows that they cover.
void blend_subsampled(const Job& job, const FaceMask& mask, const LumaWeights& weights,
                      const ChromaRange& across, const ChromaRange& down, Span rows) {
    const Plane* planes = job.frame.planes;
    const Span columns = across.filtered(across.chroma), needed = down.filtered(rows);
    const Span own{rows.begin << down.axis.shift, rows.end << down.axis.shift};
    const FaceTexture texture(
        job.face, job.size, job.luma_to_face,
        band_extent(job.luma_to_face, mask.extent(), columns, needed, {across.reach(), down.reach()}));
    FaceRow face(job, columns);
    ChromaRows chroma(across, down);
    GrainRows grain(job.grain, {weights.box().x0, weights.box().x1});
    const MarkRows mark(job.mark, job.frame.colour.bits);
    const std::size_t width = static_cast<std::size_t>(columns.end - columns.begin) + FaceRow::kSlack;
    Buffer<float> around(width);  // the weights of a row, with zeros on both sides
    Buffer<float> sums(3 * chroma.row_floats());
    float *share = sums.data(), *cb = share + chroma.row_floats(), *cr = cb + chroma.row_floats();
    around.fill(0.0f);

    for (int y = needed.begin; y < needed.end; ++y) {
        // All columns that a chroma sample may need whose filter or footprint holds this row.
        const Span near = weights.span(Span{y - down.reach(), y + down.reach() + 1});
        if (near.begin < near.end) {
            const Span wanted = across.over(near, planes[1].width);
            const Span span = weights.span(y);
            fetch_row(job, planes[0], y, span);
            for (const int plane : {1, 2})
                if (y % down.ratio() == 0)
                    fetch_row(job, planes[plane], y >> down.axis.shift, across.over(span, planes[1].width));
            face.sample(texture, y, across.filtered(wanted));
            if (y >= own.begin && y < own.end && span.begin < span.end) {
                grain.add(y, span, weights.of_row(y), face.codes(0));
                mark.add(y, span, face.codes(0));
                mix_row(job, planes[0], y, span, face.codes(0), weights.of_row(y));
            }
            const bool weighs = span.begin < span.end;
            if (weighs) {
                const float* row = weights.of_row(y);
                float* out = around.data() - columns.begin;
                for (int x = weights.box().x0; x < weights.box().x1; ++x) out[x] = row[x];
            }
            chroma.add(y, wanted, weighs ? around.data() : nullptr, face.codes(1) + columns.begin,
                       face.codes(2) + columns.begin);
        }
        // The chroma row whose last luma row this was.
        const int last = y - down.filter.first - down.filter.taps + 1;
        if (last < rows.begin << down.axis.shift || last % down.ratio() != 0) continue;
        const int row = last >> down.axis.shift;
        const ChromaFootprint footprint = chroma_footprint(down.axis, row);
        const Span span = across.over(weights.span(Span{footprint.begin, footprint.end}), planes[1].width);
        if (span.begin == span.end) continue;
        chroma.sum(row, span, share, cb, cr);
        const int shift = across.chroma.begin;
        mix_row(job, planes[1], row, span, cb - shift, share - shift);
        mix_row(job, planes[2], row, span, cr - shift, share - shift);
    }
}

}  // namespace

Box blend(const Frame& frame, const Affine& crop_to_luma, int size, const float* face, const float* mask,
          const float (&colour)[3][4], const Grain& grain, const Mark& mark, int threads) {
    const Job job{frame,
                  invert(crop_to_luma),
                  face,
                  size,
                  colour,
                  grain,
                  mark,
                  pixel_format(frame.colour),
                  curve_of(frame.colour.transfer)};
    const FaceMask face_mask(mask, size, job.luma_to_face);
    const Box reach = reach_in_frame(face_mask, crop_to_luma, frame.planes[0]);
    if (reach.x0 >= reach.x1 || reach.y0 >= reach.y1) return {};
    LumaWeights weights(reach);
    weights.fill(job, face_mask, threads);

    constexpr int kLeastPixels = 16384;
    if (frame.colour.chroma_shift_x == 0 && frame.colour.chroma_shift_y == 0) {
        for_row_parts(reach.y1 - reach.y0, reach.x1 - reach.x0, kLeastPixels, threads, [&](Span rows) {
            blend_full(job, face_mask, weights, {reach.y0 + rows.begin, reach.y0 + rows.end});
        });
    } else {
        const ChromaRange across(chroma_axis_x(frame), {reach.x0, reach.x1}, frame.planes[1].width);
        const ChromaRange down(chroma_axis_y(frame), {reach.y0, reach.y1}, frame.planes[1].height);
        const int first = down.chroma.begin;
        for_row_parts(down.chroma.end - first, (reach.x1 - reach.x0) * down.ratio(), kLeastPixels, threads,
                      [&](Span rows) {
                          blend_subsampled(job, face_mask, weights, across, down,
                                           {first + rows.begin, first + rows.end});
                      });
    }
    return weights.touched();
}

}  // namespace crossface::CF_VARIANT

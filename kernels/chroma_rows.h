#pragma once

#include <cstddef>

#include "buffer.h"
#include "common/chroma.h"
#include "common/frame.h"
#include "common/variant.h"
#include "lanes.h"
#include "parts.h"

namespace crossface::CF_VARIANT {

// One axis of the chroma grid over a range of luma samples.
struct ChromaRange {
    ChromaAxis axis;
    ChromaFilter filter;
    Span chroma;  // the chroma samples whose footprint may hold one of the luma samples

    ChromaRange(const ChromaAxis& axis_, Span luma, int chroma_length)
        : axis(axis_), filter(chroma_filter(axis.shift, axis.cosited)), chroma(over(luma, chroma_length)) {}

    int ratio() const { return 1 << axis.shift; }

    // The chroma samples whose footprint holds one of `luma`.
    Span over(Span luma, int chroma_length) const {
        if (luma.begin >= luma.end) return {0, 0};
        const int past = ((luma.end - 1) >> axis.shift) + (axis.cosited && axis.shift > 0 ? 2 : 1);
        return {luma.begin >> axis.shift, smaller(past, chroma_length)};
    }

    // The luma samples that the filter reads for `samples`; they may lie outside the frame.
    Span filtered(Span samples) const {
        return {(samples.begin << axis.shift) + filter.first,
                ((samples.end - 1) << axis.shift) + filter.first + filter.taps};
    }

    // How far from a luma sample of weight the filter may read.
    int reach() const { return ratio() - 1 - filter.first; }
};

// Brings rows of luma resolution to chroma resolution, and keeps as many as a chroma sample's filter spans
// down the columns.
class ChromaRows {
  public:
    ChromaRows(const ChromaRange& across, const ChromaRange& down)
        : across_(across),
          down_(down),
          columns_(static_cast<std::size_t>(across.chroma.end - across.chroma.begin) + 32),
          mask_begin_(chroma_footprint(across.axis, across.chroma.begin).begin -
                      across.filtered(across.chroma).begin),
          mask_taps_(across.axis.cosited ? 2 * across.ratio() - 1 : across.ratio()),
          mask_weights_(columns_ * static_cast<std::size_t>(mask_taps_)),
          phases_((columns_ + ChromaFilter::kMaxTaps) * static_cast<std::size_t>(across.ratio())),
          kept_(3 * columns_ * static_cast<std::size_t>(down.filter.taps)) {
        mask_weights_.fill(0.0f);
        for (int x = across.chroma.begin; x < across.chroma.end; ++x) {
            const int first = chroma_footprint(across.axis, x).begin;
            for (int tap = 0; tap < mask_taps_; ++tap)
                if (first + tap >= 0 && first + tap < across.axis.luma_length)
                    mask_weights_[static_cast<std::size_t>(tap) * columns_ + column(x)] =
                        chroma_mask_weight(across.axis, x, first + tap);
        }
    }

    // Takes luma row `y`: weights (null: all zero) and chroma codes, from column filtered(chroma).begin on.
    // Only chroma columns `span` are needed.
    void add(int y, Span span, const float* weight, const float* cb, const float* cr) {
        filter_across(cb, span, kept(1, y));
        filter_across(cr, span, kept(2, y));
        if (weight)
            weigh_across(weight, span, kept(0, y));
        else
            clear(span, kept(0, y));
    }

    // Weights and chroma codes of chroma row `y` at columns `span`, to index column - chroma.begin of rows of
    // row_floats().
    void sum(int y, Span span, float* weight, float* cb, float* cr) const {
        const int first = (y << down_.axis.shift) + down_.filter.first;
        const ChromaFootprint footprint = chroma_footprint(down_.axis, y);
        Taps taps;
        for (int luma = larger(footprint.begin, 0); luma < smaller(footprint.end, down_.axis.luma_length);
             ++luma)
            taps.add(kept(0, luma), chroma_mask_weight(down_.axis, y, luma));
        taps.sum(column(span.begin), column(span.end), weight);
        sum_filtered(1, first, span, cb);
        sum_filtered(2, first, span, cr);
    }

    // With room for whole vectors at the end.
    std::size_t row_floats() const { return columns_; }

  private:
    std::size_t column(int x) const { return static_cast<std::size_t>(x - across_.chroma.begin); }

    const float* kept(int which, int y) const {
        const int taps = down_.filter.taps;
        const std::size_t slot = static_cast<std::size_t>(((y % taps) + taps) % taps);
        return kept_.data() + (3 * slot + static_cast<std::size_t>(which)) * columns_;
    }
    float* kept(int which, int y) {
        return const_cast<float*>(static_cast<const ChromaRows*>(this)->kept(which, y));
    }

    void clear(Span span, float* out) const {
        for (std::size_t i = column(span.begin); i < column(span.end); ++i) out[i] = 0.0f;
    }

    // Rows of floats and their weights, of which those of weight zero are left out.
    struct Taps {
        const float* rows[ChromaFilter::kMaxTaps];
        float weights[ChromaFilter::kMaxTaps];
        int count = 0;

        void add(const float* row, float weight) {
            if (weight == 0.0f) return;
            rows[count] = row;
            weights[count++] = weight;
        }

        // Rounds the end up to whole vectors.
        void sum(std::size_t begin, std::size_t end, float* out) const {
            for (std::size_t i = begin; i < end; i += 8) {
                Float8 total = splat8(weights[0]) * load8(rows[0] + i);
                for (int tap = 1; tap < count; ++tap) total += splat8(weights[tap]) * load8(rows[tap] + i);
                store8(out + i, total);
            }
        }
    };

    void sum_filtered(int which, int first, Span span, float* out) const {
        Taps taps;
        for (int tap = 0; tap < down_.filter.taps; ++tap)
            taps.add(kept(which, first + tap), down_.filter.weights[tap]);
        taps.sum(column(span.begin), column(span.end), out);
    }

    // Sample i * ratio + p of `line` to phase p, index i, so that taps load neighbours. `begin` and `end`
    // count samples of a phase.
    template <int kRatio>
    void split(const float* line, std::size_t begin, std::size_t end) {
        const std::size_t length = phase_length();
        float* out = phases_.data();
        for (std::size_t i = begin; i < end; ++i)
            for (std::size_t p = 0; p < kRatio; ++p) out[p * length + i] = line[i * kRatio + p];
    }
    void split(const float* line, std::size_t begin, std::size_t end) {
        if (across_.ratio() == 1) return split<1>(line, begin, end);
        return across_.ratio() == 2 ? split<2>(line, begin, end) : split<4>(line, begin, end);
    }
    std::size_t phase_length() const { return columns_ + ChromaFilter::kMaxTaps; }
    const float* phase(int tap) const {
        const std::size_t ratio = static_cast<std::size_t>(across_.ratio()),
                          at = static_cast<std::size_t>(tap);
        return phases_.data() + at % ratio * phase_length() + at / ratio;
    }

    void filter_across(const float* line, Span span, float* out) {
        const std::size_t begin = column(span.begin), end = column(span.end);
        split(line, begin,
              end + static_cast<std::size_t>((across_.filter.taps - 1) >> across_.axis.shift) + 1);
        Taps taps;
        for (int tap = 0; tap < across_.filter.taps; ++tap) taps.add(phase(tap), across_.filter.weights[tap]);
        taps.sum(begin, end, out);
    }

    void weigh_across(const float* line, Span span, float* out) {
        const std::size_t begin = column(span.begin), end = column(span.end);
        split(line, begin,
              end + static_cast<std::size_t>((mask_begin_ + mask_taps_ - 1) >> across_.axis.shift) + 1);
        clear(span, out);
        for (int tap = 0; tap < mask_taps_; ++tap) {
            const float* from = phase(mask_begin_ + tap);
            const float* weights = mask_weights_.data() + static_cast<std::size_t>(tap) * columns_;
            for (std::size_t i = begin; i < end; ++i) out[i] += weights[i] * from[i];
        }
    }

    ChromaRange across_, down_;
    std::size_t columns_;
    int mask_begin_, mask_taps_;
    Buffer<float> mask_weights_, phases_, kept_;
};

}  // namespace crossface::CF_VARIANT

#include <cstdint>

#include "common/affine.h"
#include "common/curve.h"
#include "common/pixel.h"
#include "cpu.h"
#include "curve.h"
#include "parts.h"
#include "patch.h"
#include "rgb_row.h"
#include "short_patch.h"

namespace crossface::CF_VARIANT {

namespace {

// Columns done from top to bottom before the next: of a turned face, what a few of them see stays in the
// nearest cache, and what a whole row sees does not.
constexpr int kStrip = Positions::kSamples;

template <template <int> typename Samples, typename Value>
void crop_rows(const Frame& frame, const Affine& crop_to_luma, int size, Span rows, Value* rgb) {
    const PixelFormat format = pixel_format(frame.colour);
    const Curve curve = curve_of(frame.colour.transfer);
    const Samples<1> luma(frame.planes, frame.colour, crop_to_luma, size, rows);
    const Samples<2> chroma(frame.planes + 1, frame.colour, to_chroma(crop_to_luma, frame.colour), size,
                            rows);

    const std::size_t width = static_cast<std::size_t>(size), plane = width * width;
    float codes[3][kStrip], scratch[kStrip];
    for (int x = 0; x < size; x += kStrip) {
        const Span columns{x, smaller(x + kStrip, size)};
        for (int y = rows.begin; y < rows.end; ++y) {
            luma.sample_row(y, columns, {codes[0]});
            chroma.sample_row(y, columns, {codes[1], codes[2]});
            Value* out = rgb + static_cast<std::size_t>(y) * width + x;
            convert_row(format, curve, {codes[0], codes[1], codes[2]}, columns.end - x, scratch,
                        {out, out + plane, out + 2 * plane});
        }
    }
}

template <typename Value>
void crop_values(const Frame& frame, const Affine& crop_to_luma, int size, Value* rgb, int threads) {
    const bool narrow = ShortPatch<1>::serves(frame.colour, crop_to_luma) &&
                        ShortPatch<2>::serves(frame.colour, to_chroma(crop_to_luma, frame.colour));
    for_row_parts(size, size, 8192, threads, [&](Span rows) {
        if (narrow)
            crop_rows<ShortPatch>(frame, crop_to_luma, size, rows, rgb);
        else
            crop_rows<Patch>(frame, crop_to_luma, size, rows, rgb);
    });
}

}  // namespace

void crop(const Frame& frame, const Affine& crop_to_luma, int size, float* rgb, int threads) {
    crop_values(frame, crop_to_luma, size, rgb, threads);
}

void crop_half(const Frame& frame, const Affine& crop_to_luma, int size, std::uint16_t* rgb, int threads) {
    crop_values(frame, crop_to_luma, size, rgb, threads);
}

}  // namespace crossface::CF_VARIANT

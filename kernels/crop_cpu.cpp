#include <cstdint>

#include "buffer.h"
#include "common/affine.h"
#include "common/curve.h"
#include "common/pixel.h"
#include "cpu.h"
#include "curve.h"
#include "parts.h"
#include "patch.h"
#include "rgb_row.h"

namespace crossface::CF_VARIANT {

namespace {

template <typename Value>
void crop_rows(const Frame& frame, const Affine& crop_to_luma, int size, Span rows, Value* rgb) {
    const PixelFormat format = pixel_format(frame.colour);
    const Curve curve = curve_of(frame.colour.transfer);
    const Patch<1> luma(frame.planes, frame.colour, crop_to_luma, size, rows);
    const Patch<2> chroma(frame.planes + 1, frame.colour, to_chroma(crop_to_luma, frame.colour), size, rows);

    const std::size_t width = static_cast<std::size_t>(size), plane = width * width;
    const std::size_t padded = (width / TapBlock::kSamples + 1) * TapBlock::kSamples;
    Buffer<float> buffer(4 * padded);
    float* const codes[3] = {buffer.data(), buffer.data() + padded, buffer.data() + 2 * padded};
    for (int y = rows.begin; y < rows.end; ++y) {
        luma.sample_row(y, {codes[0]});
        chroma.sample_row(y, {codes[1], codes[2]});
        Value* out = rgb + static_cast<std::size_t>(y) * width;
        convert_row(format, curve, {codes[0], codes[1], codes[2]}, size, buffer.data() + 3 * padded,
                    {out, out + plane, out + 2 * plane});
    }
}

template <typename Value>
void crop_values(const Frame& frame, const Affine& crop_to_luma, int size, Value* rgb, int threads) {
    for_row_parts(size, size, 8192, threads,
                  [&](Span rows) { crop_rows(frame, crop_to_luma, size, rows, rgb); });
}

}  // namespace

void crop(const Frame& frame, const Affine& crop_to_luma, int size, float* rgb, int threads) {
    crop_values(frame, crop_to_luma, size, rgb, threads);
}

void crop_half(const Frame& frame, const Affine& crop_to_luma, int size, std::uint16_t* rgb, int threads) {
    crop_values(frame, crop_to_luma, size, rgb, threads);
}

}  // namespace crossface::CF_VARIANT

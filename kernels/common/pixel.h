#pragma once

#include "frame.h"
#include "variant.h"

// Y'CbCr code values to R'G'B' in 0..1 and back (ITU-T H.273 section 8.3; BT.601, BT.709, BT.2020).
namespace crossface::CF_VARIANT {

// Keeps the bounds out of type deduction: the value alone says in which type to compare.
template <typename T>
struct Same {
    using Type = T;
};

// The comparisons are ordered so that NaN becomes `low`.
template <typename T>
CF_HOST_DEVICE inline T clamp(T value, typename Same<T>::Type low, typename Same<T>::Type high) {
    return value > low ? (value < high ? value : high) : low;
}

// Everything about one colour description that pixel loops need.
// code = offset + scale * value, with luma in 0..1 and chroma in -0.5..0.5.
struct PixelFormat {
    float luma_scale, luma_offset;
    float chroma_scale, chroma_offset;
    float max_code;
    float kr, kg, kb;
};

CF_HOST_DEVICE constexpr PixelFormat pixel_format(const Colour& colour) {
    const double kr = colour.matrix == Matrix::kBt709   ? 0.2126
                      : colour.matrix == Matrix::kBt601 ? 0.299
                                                        : 0.2627;
    const double kb = colour.matrix == Matrix::kBt709   ? 0.0722
                      : colour.matrix == Matrix::kBt601 ? 0.114
                                                        : 0.0593;
    const int max_code = (1 << colour.bits) - 1;
    const int unit = 1 << (colour.bits - 8);
    PixelFormat format{};
    format.luma_scale = static_cast<float>(colour.full_range ? max_code : 219 * unit);
    format.luma_offset = static_cast<float>(colour.full_range ? 0 : 16 * unit);
    format.chroma_scale = static_cast<float>(colour.full_range ? max_code : 224 * unit);
    format.chroma_offset = static_cast<float>(128 * unit);
    format.max_code = static_cast<float>(max_code);
    format.kr = static_cast<float>(kr);
    format.kg = static_cast<float>(1.0 - kr - kb);
    format.kb = static_cast<float>(kb);
    return format;
}

struct Rgb {
    float r, g, b;
};

struct Ycc {
    float y, cb, cr;
};

// Code values in, R'G'B' clamped to 0..1 out.
CF_HOST_DEVICE inline Rgb to_rgb(const PixelFormat& f, float y_code, float cb_code, float cr_code) {
    const float y = (y_code - f.luma_offset) * (1.0f / f.luma_scale);
    const float cb = (cb_code - f.chroma_offset) * (1.0f / f.chroma_scale);
    const float cr = (cr_code - f.chroma_offset) * (1.0f / f.chroma_scale);
    const float red_minus_y = 2.0f * (1.0f - f.kr) * cr;
    const float blue_minus_y = 2.0f * (1.0f - f.kb) * cb;
    const float g = y - (f.kr * red_minus_y + f.kb * blue_minus_y) * (1.0f / f.kg);
    return {clamp(y + red_minus_y, 0.0f, 1.0f), clamp(g, 0.0f, 1.0f), clamp(y + blue_minus_y, 0.0f, 1.0f)};
}

// R'G'B' in 0..1 in, unrounded code values out.
CF_HOST_DEVICE inline Ycc to_ycc(const PixelFormat& f, const Rgb& c) {
    const float y = f.kr * c.r + f.kg * c.g + f.kb * c.b;
    const float cb = (c.b - y) * (0.5f / (1.0f - f.kb));
    const float cr = (c.r - y) * (0.5f / (1.0f - f.kr));
    return {f.luma_offset + f.luma_scale * y, f.chroma_offset + f.chroma_scale * cb,
            f.chroma_offset + f.chroma_scale * cr};
}

// The nearest code value that the depth can hold.
template <typename Sample>
CF_HOST_DEVICE inline Sample quantise(const PixelFormat& f, float code) {
    return static_cast<Sample>(clamp(code, 0.0f, f.max_code) + 0.5f);
}

}  // namespace crossface::CF_VARIANT

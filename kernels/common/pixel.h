#pragma once

#include "frame.h"
#include "variant.h"

// Code values to R'G'B' and back (ITU-T H.273 section 8.3; BT.601, BT.709, BT.2020), and the mixing of
// codes. R'G'B' is 0..1 from black to white; codes beyond the nominal range give values beyond it, so that
// every code triple survives the way there and back.
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

CF_HOST_DEVICE inline bool is_finite(float value) { return value - value == 0.0f; }

struct Rgb {
    float r, g, b;
};

// Code values of one pixel in the order of the planes: Y, Cb, Cr, or G, B, R.
struct Codes {
    float first, second, third;
};

// Everything about one colour description that pixel loops need. Both ways are affine maps, so that a
// colour transform of the face can be folded into the second.
struct PixelFormat {
    float to_rgb[3][4];    // R'G'B' = to_rgb (codes, 1)
    float to_codes[3][4];  // codes = to_codes (R'G'B', 1)
    float luma[4];         // Y' in 0..1 = luma (codes, 1)
    float max_code;        // float samples have no bounds
    int padding_bits;
};

CF_HOST_DEVICE constexpr PixelFormat pixel_format(const Colour& colour) {
    const bool floats = colour.bits == kFloatBits;
    const double max_code = floats ? 1.0 : (1 << colour.bits) - 1;
    const double unit = floats ? 0.0 : 1 << (colour.bits - 8);
    const bool whole = floats || colour.full_range;
    const double luma_scale = whole ? max_code : 219 * unit, luma_offset = whole ? 0 : 16 * unit;
    const double chroma_scale = whole ? max_code : 224 * unit, chroma_offset = 128 * unit;
    // RGB has no coefficients of its own; its luma is only asked for with the primaries of BT.2020.
    const double kr = colour.matrix == Matrix::kBt709   ? 0.2126
                      : colour.matrix == Matrix::kBt601 ? 0.299
                                                        : 0.2627;
    const double kb = colour.matrix == Matrix::kBt709   ? 0.0722
                      : colour.matrix == Matrix::kBt601 ? 0.114
                                                        : 0.0593;
    const double kg = 1.0 - kr - kb, red = 2.0 * (1.0 - kr), blue = 2.0 * (1.0 - kb);
    const bool rgb = colour.matrix == Matrix::kRgb;

    // Of Y', Cb, Cr in 0..1 and -0.5..0.5; or of G', B', R', which only trade places.
    const double from_ycc[3][3] = {{1.0, 0.0, red}, {1.0, -kb * blue / kg, -kr * red / kg}, {1.0, blue, 0.0}};
    const double to_ycc[3][3] = {
        {kr, kg, kb}, {-kr / blue, -kg / blue, (1.0 - kb) / blue}, {(1.0 - kr) / red, -kg / red, -kb / red}};
    const double from_gbr[3][3] = {{0.0, 0.0, 1.0}, {1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}};
    const double to_gbr[3][3] = {{0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}, {1.0, 0.0, 0.0}};
    const auto& forward = rgb ? from_gbr : from_ycc;
    const auto& backward = rgb ? to_gbr : to_ycc;
    const double scale[3] = {luma_scale, rgb ? luma_scale : chroma_scale, rgb ? luma_scale : chroma_scale};
    const double offset[3] = {luma_offset, rgb ? luma_offset : chroma_offset,
                              rgb ? luma_offset : chroma_offset};
    const double luma[3] = {rgb ? kg : 1.0, rgb ? kb : 0.0, rgb ? kr : 0.0};

    PixelFormat format{};
    double luma_constant = 0.0;
    for (int i = 0; i < 3; ++i) {
        double constant = 0.0;
        for (int j = 0; j < 3; ++j) {
            format.to_rgb[i][j] = static_cast<float>(forward[i][j] / scale[j]);
            constant -= forward[i][j] * offset[j] / scale[j];
            format.to_codes[i][j] = static_cast<float>(backward[i][j] * scale[i]);
        }
        format.to_rgb[i][3] = static_cast<float>(constant);
        format.to_codes[i][3] = static_cast<float>(offset[i]);
        format.luma[i] = static_cast<float>(luma[i] / scale[i]);
        luma_constant -= luma[i] * offset[i] / scale[i];
    }
    format.luma[3] = static_cast<float>(luma_constant);
    format.max_code = floats ? 3.4e38f : static_cast<float>(max_code);
    format.padding_bits = colour.padding_bits;
    return format;
}

CF_HOST_DEVICE inline float affine_row(const float (&row)[4], float a, float b, float c) {
    return row[0] * a + row[1] * b + row[2] * c + row[3];
}

CF_HOST_DEVICE inline Rgb to_rgb(const PixelFormat& f, const Codes& c) {
    return {affine_row(f.to_rgb[0], c.first, c.second, c.third),
            affine_row(f.to_rgb[1], c.first, c.second, c.third),
            affine_row(f.to_rgb[2], c.first, c.second, c.third)};
}

// Unrounded, and as far out of range as the colour is.
CF_HOST_DEVICE inline Codes to_codes(const PixelFormat& f, const Rgb& c) {
    return {affine_row(f.to_codes[0], c.r, c.g, c.b), affine_row(f.to_codes[1], c.r, c.g, c.b),
            affine_row(f.to_codes[2], c.r, c.g, c.b)};
}

// How one kind of sample turns into a code value and back.
template <typename Sample>
struct SampleCode {
    CF_HOST_DEVICE static float read(Sample sample, int padding_bits) {
        return static_cast<float>(sample >> padding_bits);
    }
    // For a filter, where one sample that is no number would spoil its whole neighbourhood.
    CF_HOST_DEVICE static float read_finite(Sample sample, int padding_bits) {
        return read(sample, padding_bits);
    }
    // The nearest code that the depth can hold.
    CF_HOST_DEVICE static Sample write(const PixelFormat& f, float code) {
        return static_cast<Sample>(static_cast<int>(clamp(code, 0.0f, f.max_code) + 0.5f) << f.padding_bits);
    }
};

template <>
struct SampleCode<float> {
    CF_HOST_DEVICE static float read(float sample, int) { return sample; }
    // The bounds are those of fp16, in which a network may run.
    CF_HOST_DEVICE static float read_finite(float sample, int) {
        return sample == sample ? clamp(sample, -65504.0f, 65504.0f) : 0.0f;
    }
    CF_HOST_DEVICE static float write(const PixelFormat&, float code) { return code; }
};

// A sample of `weight` parts face. What the face does not change, or would make no number, keeps its bits:
// padding and NaN included.
template <typename Sample>
CF_HOST_DEVICE inline Sample mix_sample(const PixelFormat& f, Sample sample, float face, float weight) {
    const float old = SampleCode<Sample>::read(sample, f.padding_bits);
    const float mixed = weight < 1.0f ? old + weight * (face - old) : face;
    return weight > 0.0f && is_finite(mixed) ? SampleCode<Sample>::write(f, mixed) : sample;
}

}  // namespace crossface::CF_VARIANT

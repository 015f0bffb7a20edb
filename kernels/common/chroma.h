#pragma once

#include "frame.h"
#include "variant.h"

// What luma-resolution values give to a chroma sample, along one axis: the mask its weight, the face its
// value. The two differ because a mask must stay within 0..1 and a face must survive the way there and
// back.
namespace crossface::CF_VARIANT {

// One axis of a chroma grid.
struct ChromaAxis {
    int shift;
    bool cosited;  // with a luma sample; else midway between the luma samples that it stands for
    int luma_length;
};

CF_HOST_DEVICE inline ChromaAxis chroma_axis_x(const Frame& frame) {
    return {frame.colour.chroma_shift_x, frame.colour.siting != Siting::kCentre, frame.planes[0].width};
}

CF_HOST_DEVICE inline ChromaAxis chroma_axis_y(const Frame& frame) {
    return {frame.colour.chroma_shift_y, frame.colour.siting == Siting::kTopLeft, frame.planes[0].height};
}

// The luma samples that a chroma sample stands for, half open, and how much the mask counts at each: all
// alike where chroma lies between them, a tent about its own position where it is co-sited with one.
// What lies outside the frame counts nothing.
struct ChromaFootprint {
    int begin, end;
};

CF_HOST_DEVICE inline ChromaFootprint chroma_footprint(const ChromaAxis& axis, int chroma) {
    const int ratio = 1 << axis.shift;
    return {chroma * ratio - (axis.cosited ? ratio - 1 : 0), (chroma + 1) * ratio};
}

CF_HOST_DEVICE inline float chroma_mask_weight(const ChromaAxis& axis, int chroma, int luma) {
    const int ratio = 1 << axis.shift;
    const ChromaFootprint footprint = chroma_footprint(axis, chroma);
    int mine = 0, sum = 0;
    for (int i = footprint.begin; i < footprint.end; ++i) {
        if (i < 0 || i >= axis.luma_length) continue;
        const int distance = i < chroma * ratio ? chroma * ratio - i : i - chroma * ratio;
        const int count = axis.cosited ? ratio - distance : 1;
        sum += count;
        if (i == luma) mine = count;
    }
    return static_cast<float>(mine) / static_cast<float>(sum);
}

// Low-pass filters from luma to chroma resolution that undo Catmull-Rom interpolation from chroma to luma
// resolution: what `crop` read as chroma, `blend` writes back. A plain mean would take up to half of the
// finest chroma detail. Each is the mean (tent where co-sited) plus the least change, in squares, that
// makes it so; for co-sited 2:1 that is close to the low pass of the Deslauriers-Dubuc (9,7) wavelet, which
// stands here because it is exact. Centred 2:1 has no exact filter of finite length: 7e-6 is left.
struct ChromaFilter {
    static constexpr int kMaxTaps = 17;

    int first;  // the first luma sample for chroma sample 0; for sample c it is first + (c << shift)
    int taps;
    float weights[kMaxTaps];
};

CF_HOST_DEVICE constexpr ChromaFilter chroma_filter(int shift, bool cosited) {
    if (shift == 0) return {0, 1, {1.0f}};
    if (shift == 1 && cosited)
        return {
            -4,
            9,
            {1 / 64.0f, 0.0f, -8 / 64.0f, 16 / 64.0f, 46 / 64.0f, 16 / 64.0f, -8 / 64.0f, 0.0f, 1 / 64.0f}};
    if (shift == 1)
        return {-6,
                14,
                {0.000134181489f, -0.00803621048f, 0.0254163793f, 0.00626713155f, -0.0654839538f,
                 -0.0402549843f, 0.581957456f, 0.581957456f, -0.0402549843f, -0.0654839538f, 0.00626713155f,
                 0.0254163793f, -0.00803621048f, 0.000134181489f}};
    if (cosited)
        return {-8,
                17,
                {0.0108666164f, 0.0287372223f, -0.00970317474f, -0.0603365342f, -0.0790448156f, 0.019181837f,
                 0.14473212f, 0.267292336f, 0.356548785f, 0.267292336f, 0.14473212f, 0.019181837f,
                 -0.0790448156f, -0.0603365342f, -0.00970317474f, 0.0287372223f, 0.0108666164f}};
    return {-6,
            16,
            {0.0241233939f, 0.00351921525f, -0.025122711f, -0.0450664927f, -0.0399392221f, -0.00859457678f,
             0.281066106f, 0.310014288f, 0.310014288f, 0.281066106f, -0.00859457678f, -0.0399392221f,
             -0.0450664927f, -0.025122711f, 0.00351921525f, 0.0241233939f}};
}

}  // namespace crossface::CF_VARIANT

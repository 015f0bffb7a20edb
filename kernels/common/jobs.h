#pragma once

#include <cstddef>

#include "curve.h"
#include "frame.h"
#include "pixel.h"
#include "variant.h"

// What the device's kernels are told, as arrays in device memory: one launch serves many faces of many
// frames. The structs are plain and of fixed layout, so that the host may fill them from any language:
//
//   DeviceFrame, 280 bytes                            CropJob, 56 bytes
//       0  3 planes of 32 bytes:                          0  f64[2][3] crop_to_luma
//            0 u64 base   8 i64 pitch_bytes              48  i32 frame    52  i32 item
//           16 i64 step  24 i32 width  28 i32 height
//      96  i32 matrix    100  u8 full_range           ResizeJob, 24 bytes
//     104  i32 siting    108  i32 bits                    0  f64 scale.x    8  f64 scale.y
//     112  i32 chroma_shift_x  116 i32 chroma_shift_y    16  i32 frame    20  i32 item
//     120  i32 padding_bits    124 i32 transfer
//     128  f32[3][4] to_rgb    176 f32[3][4] to_codes BlendJob, 184 bytes
//     224  f32[4] luma                                    0  f64[2][3] luma_to_face
//     240  f32 max_code        244 i32 padding_bits      48  f32[3][4] colour
//     248  u64 to_display      256 u64 to_signal         96  i32 x0  100 i32 y0  104 i32 x1  108 i32 y1
//     264  f32 cells_per_display                        112  i32 frame   116  i32 item
//     268  f32 fade_begin      272 f32 fade_end           120  f32 grain.sigma   124  f32 grain.centre
//                                                       128  f32 grain.side    132  u32 grain.seed
//   SoftenJob, 8 bytes                                  136  f64[2][3] luma_to_mark
//       0  f32 share    4  i32 item
//                                                  OutlineJob, 12 bytes
//   MarkJob, 72 bytes                                     0  i32 first    4  i32 count    8  i32 item
//       0  f64[2][3] mark_to_face
//      48  f32[4] luma 64  i32 item
//   SharpenJob, 48 bytes
//       0  f32 amount   4  i32 radius   8  i32 item  12  f32[9] taps
namespace crossface::CF_VARIANT {

struct DeviceFrame {
    Frame frame;
    PixelFormat format;  // pixel_format(frame.colour)
    Curve curve;         // null tables for SDR
};

// `frame` counts in the array of frames, `item` in the batch of face tensors.
struct ResizeJob {
    Scale scale;
    int frame, item;
};

struct CropJob {
    Affine crop_to_luma;
    int frame, item;
};

struct BlendJob {
    Affine luma_to_face;
    float colour[3][4];  // a face pixel becomes colour (r, g, b, 1)
    Box box;             // luma samples of the frame that the mask may reach; more costs time, no more
    int frame, item;
    Grain grain;
    Affine luma_to_mark;
};

// A convex polygon: some of an array of edges. Without any, nothing is inside.
struct OutlineJob {
    int first, count;
    int item;
};

struct SoftenJob {
    float share;  // that the mask is multiplied by in the end
    int item;
};

// Of a face's mark: see mark.h.
struct MarkJob {
    Affine mark_to_face;  // chips to px of the face
    float luma[4];        // codes of 8 bits = luma (r, g, b, 1), of a face pixel before its colour match
    int item;
};

// Blurs by taps[0] in the middle to taps[radius] on both sides.
struct SharpenJob {
    static constexpr int kMostRadius = 8;

    float amount;  // of detail that is added
    int radius, item;
    float taps[kMostRadius + 1];
};

static_assert(sizeof(void*) == 8 && sizeof(Plane) == 32 && offsetof(Plane, width) == 24);
static_assert(offsetof(Frame, colour) == 96 && offsetof(Colour, siting) == 8 && sizeof(Frame) == 128);
static_assert(offsetof(PixelFormat, luma) == 96 && sizeof(PixelFormat) == 120 && sizeof(Curve) == 32);
static_assert(offsetof(DeviceFrame, format) == 128 && offsetof(DeviceFrame, curve) == 248);
static_assert(sizeof(DeviceFrame) == 280 && sizeof(ResizeJob) == 24);
static_assert(offsetof(CropJob, frame) == 48 && sizeof(CropJob) == 56);
static_assert(offsetof(BlendJob, colour) == 48 && offsetof(BlendJob, box) == 96 && sizeof(BlendJob) == 184);
static_assert(offsetof(BlendJob, grain) == 120 && offsetof(BlendJob, luma_to_mark) == 136);
static_assert(offsetof(MarkJob, luma) == 48 && sizeof(MarkJob) == 72 && sizeof(SharpenJob) == 48);
static_assert(sizeof(OutlineJob) == 12 && sizeof(SoftenJob) == 8 && sizeof(Edge) == 12);

}  // namespace crossface::CF_VARIANT

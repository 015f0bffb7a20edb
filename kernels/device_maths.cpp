#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/affine.h"
#include "cpu.h"
#include "curve.h"
#include "device_launch.h"

// The CUDA kernels' maths behind the CPU kernels' interface, one face of one frame at a time.
namespace crossface::device {

namespace {

DeviceFrame device_frame(const Frame& frame) {
    return {frame, pixel_format(frame.colour), curve_of(frame.colour.transfer)};
}

void resize(const Frame& frame, const Scale& scale, int width, int height, float* rgb, int) {
    const DeviceFrame source = device_frame(frame);
    const ResizeJob job{scale, 0, 0};
    launch_resize(&source, &job, 1, width, height, rgb);
}

void crop(const Frame& frame, const Affine& crop_to_luma, int size, float* rgb, int) {
    const DeviceFrame source = device_frame(frame);
    const CropJob job{crop_to_luma, 0, 0};
    launch_crop(&source, &job, 1, size, rgb);
}

void crop_half(const Frame& frame, const Affine& crop_to_luma, int size, std::uint16_t* rgb, int) {
    const DeviceFrame source = device_frame(frame);
    const CropJob job{crop_to_luma, 0, 0};
    std::vector<Half> halves(3 * static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
    launch_crop(&source, &job, 1, size, halves.data());
    for (const Half half : halves) *rgb++ = half.bits;
}

Statistics stats(const float* rgb, const float* mask, std::size_t pixels) {
    Statistics statistics{};
    launch_stats(rgb, mask, 1, static_cast<int>(pixels), &statistics);
    return statistics;
}

// The luma samples that a mask of `size` may reach.
Box mask_box(const Affine& crop_to_luma, int size, const Plane& luma) {
    double low[2] = {HUGE_VAL, HUGE_VAL}, high[2] = {-HUGE_VAL, -HUGE_VAL};
    for (const double x : {-0.5, size + 0.5})
        for (const double y : {-0.5, size + 0.5}) {
            const Point p = apply(crop_to_luma, x, y);
            const double at[2] = {p.x, p.y};
            for (int axis = 0; axis < 2; ++axis) {
                low[axis] = at[axis] < low[axis] ? at[axis] : low[axis];
                high[axis] = at[axis] > high[axis] ? at[axis] : high[axis];
            }
        }
    const auto whole = [](double value, int limit) { return static_cast<int>(clamp(value, 0.0, limit)); };
    return {whole(std::floor(low[0]), luma.width), whole(std::floor(low[1]), luma.height),
            whole(std::ceil(high[0]), luma.width), whole(std::ceil(high[1]), luma.height)};
}

Box blend(const Frame& frame, const Affine& crop_to_luma, int size, const float* face, const float* mask,
          const float (&colour)[3][4], int) {
    const DeviceFrame target = device_frame(frame);
    BlendJob job{invert(crop_to_luma), {}, mask_box(crop_to_luma, size, frame.planes[0]), 0, 0};
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 4; ++j) job.colour[i][j] = colour[i][j];
    if (job.box.x0 >= job.box.x1 || job.box.y0 >= job.box.y1) return {};
    Box touched{frame.planes[0].width, frame.planes[0].height, 0, 0};
    const int both = kBlendLuma | kBlendChroma, launches = blend_launches(frame.colour);
    launch_blend(&target, &job, 1, face, mask, size, launches == 1 ? both : kBlendChroma, false, &touched);
    if (launches == 2) launch_blend(&target, &job, 1, face, mask, size, kBlendLuma, false, &touched);
    return touched.x0 < touched.x1 ? touched : Box{};
}

}  // namespace

// Masks are shaped on the CPU alone.
CpuKernels maths() { return {"device", resize, crop, crop_half, stats, blend, v2::fill, v2::soften}; }

}  // namespace crossface::device

namespace crossface {

CpuKernels device_maths() { return device::maths(); }

}  // namespace crossface

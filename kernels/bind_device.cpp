#include "bind_device.h"

#include <nanobind/stl/array.h>

#include <cstddef>

#include "common/crop_tile.h"
#include "common/resize_tile.h"
#include "curve.h"
#include "device_arguments.h"
#include "device_launch.h"

// What the host must know to launch the CUDA kernels; and, for tests on machines without a GPU, the kernels
// themselves, run by the CPU under their names in *.cu. Those take grid, block and arguments as a driver
// does, with addresses of host memory, and like a driver they cannot check them.
namespace nb = nanobind;

namespace crossface {

namespace {

constexpr Dimensions kResizeBlock{device::kResizeColumns, device::kResizeRows, 1};
constexpr Dimensions kCropBlock{device::kCropColumns, device::kCropRows, 1};
constexpr Dimensions kStatsPartsBlock{device::kStatsThreads, 1, 1};
constexpr Dimensions kStatsTotalsBlock{device::kStatsTotalThreads, 1, 1};
constexpr Dimensions kBlendBlock{device::kBlendThreads, 1, 1};

nb::bytes pixel_format_bytes(const Colour& colour) {
    const device::PixelFormat format = device::pixel_format(colour);
    return nb::bytes(&format, sizeof format);
}

nb::object curve_of(int transfer) {
    const device::Curve curve = device::curve_of(static_cast<Transfer>(transfer));
    if (!curve.to_display) return nb::none();
    const std::size_t table_bytes = sizeof(CurveTables::to_display);
    return nb::make_tuple(nb::bytes(curve.to_display, table_bytes), nb::bytes(curve.to_signal, table_bytes),
                          curve.cells_per_display, curve.fade_begin, curve.fade_end);
}

template <typename Texel>
void resize(const Dimensions& grid, const Dimensions& block, Address frames, Address jobs, int width,
            int height, Address rgb) {
    device::launch_resize(checked(grid, block, kResizeBlock), at<const device::DeviceFrame>(frames),
                          at<const device::ResizeJob>(jobs), width, height, at<Texel>(rgb));
}

template <typename Texel>
void crop(const Dimensions& grid, const Dimensions& block, Address frames, Address jobs, int size,
          Address rgb) {
    device::launch_crop(checked(grid, block, kCropBlock), at<const device::DeviceFrame>(frames),
                        at<const device::CropJob>(jobs), size, at<Texel>(rgb));
}

template <typename Texel>
void stats_parts(const Dimensions& grid, const Dimensions& block, Address rgb, Address mask, int pixels,
                 Address parts) {
    device::launch_stats_parts(checked(grid, block, kStatsPartsBlock), at<const Texel>(rgb),
                               at<const Texel>(mask), pixels, at<device::ColourSums>(parts));
}

void stats_totals(const Dimensions& grid, const Dimensions& block, Address parts, int count,
                  Address statistics) {
    device::launch_stats_totals(checked(grid, block, kStatsTotalsBlock), at<const device::ColourSums>(parts),
                                count, at<Statistics>(statistics));
}

template <typename Texel>
void blend(const Dimensions& grid, const Dimensions& block, Address frames, Address jobs, Address faces,
           Address masks, Address marks, int size, int planes, Address touched, bool backwards) {
    device::launch_blend(checked(grid, block, kBlendBlock), at<const device::DeviceFrame>(frames),
                         at<const device::BlendJob>(jobs), at<const Texel>(faces), at<const Texel>(masks),
                         at<const float>(marks), size, planes, at<int>(touched), backwards);
}

}  // namespace

void bind_device(nb::module_& m) {
    m.def("pixel_format", &pixel_format_bytes, nb::arg("colour"));
    m.def("curve", &curve_of, nb::arg("transfer"));
    m.def("blend_tiles", &device::blend_tiles, nb::arg("box_begin"), nb::arg("box_end"));
    m.def("blend_launches", &device::blend_launches, nb::arg("colour"));
    m.def("stats_parts", &device::stats_parts, nb::arg("pixels"));
    m.attr("RESIZE_BLOCK") = tuple_of(kResizeBlock);
    m.attr("CROP_BLOCK") = tuple_of(kCropBlock);
    m.attr("STATS_PARTS_BLOCK") = tuple_of(kStatsPartsBlock);
    m.attr("STATS_TOTALS_BLOCK") = tuple_of(kStatsTotalsBlock);
    m.attr("BLEND_BLOCK") = tuple_of(kBlendBlock);
    m.attr("BLEND_HALO_PX") = device::kBlendHalo;
    m.attr("BLEND_LUMA") = device::kBlendLuma;
    m.attr("BLEND_CHROMA") = device::kBlendChroma;
    m.attr("COLOUR_SUMS_BYTES") = sizeof(device::ColourSums);

    m.def("resize_f32", &resize<float>);
    m.def("resize_f16", &resize<device::Half>);
    m.def("crop_f32", &crop<float>);
    m.def("crop_f16", &crop<device::Half>);
    m.def("stats_parts_f32", &stats_parts<float>);
    m.def("stats_parts_f16", &stats_parts<device::Half>);
    m.def("stats_totals", &stats_totals);
    for (const bool half : {false, true}) {
        const auto function = half ? &blend<device::Half> : &blend<float>;
        m.def(half ? "blend_f16" : "blend_f32", function, nb::arg("grid"), nb::arg("block"),
              nb::arg("frames"), nb::arg("jobs"), nb::arg("faces"), nb::arg("masks"), nb::arg("marks"),
              nb::arg("size"), nb::arg("planes"), nb::arg("touched"), nb::arg("backwards") = false);
    }
}

}  // namespace crossface

#include <nanobind/stl/array.h>

#include "bind_device.h"
#include "common/outline_tile.h"
#include "common/soften_tile.h"
#include "common/uncover_tile.h"
#include "common/values_part.h"
#include "device_arguments.h"
#include "device_masks.h"

namespace nb = nanobind;

namespace crossface {

namespace {

constexpr Dimensions kOutlineBlock{device::kOutlineColumns, device::kOutlineRows, 1};
constexpr Dimensions kSoftenBlock{device::kSoftenColumns, device::kSoftenRows, 1};
constexpr Dimensions kSoftenAreasBlock{device::kAreaThreads, 1, 1};
constexpr Dimensions kUncoverBlock{device::kUncoverColumns, device::kUncoverRows, 1};
constexpr Dimensions kValuesBlock{device::kValuesThreads, 1, 1};

template <typename Texel>
void outline(const Dimensions& grid, const Dimensions& block, Address edges, Address jobs, int size,
             Address masks) {
    device::launch_outline(checked(grid, block, kOutlineBlock), at<const Edge>(edges),
                           at<const device::OutlineJob>(jobs), size, at<Texel>(masks));
}

template <typename Texel>
void soften_down(const Dimensions& grid, const Dimensions& block, Address jobs, Address taps, int radius,
                 int size, Address masks, Address lines) {
    device::launch_soften_down(checked(grid, block, kSoftenBlock), at<const device::SoftenJob>(jobs),
                               at<const float>(taps), radius, size, at<const Texel>(masks), at<float>(lines));
}

template <typename Texel>
void soften_across(const Dimensions& grid, const Dimensions& block, Address jobs, Address taps, int radius,
                   float border_px, int size, Address lines, Address out, Address tiles) {
    device::launch_soften_across(checked(grid, block, kSoftenBlock), at<const device::SoftenJob>(jobs),
                                 at<const float>(taps), radius, border_px, size, at<const float>(lines),
                                 at<Texel>(out), at<double>(tiles));
}

void soften_areas(const Dimensions& grid, const Dimensions& block, Address jobs, Address tiles, int count,
                  int pixels, Address areas) {
    device::launch_soften_areas(checked(grid, block, kSoftenAreasBlock), at<const device::SoftenJob>(jobs),
                                at<const double>(tiles), count, pixels, at<double>(areas));
}

template <typename Texel>
void uncover(const Dimensions& grid, const Dimensions& block, Address items, int side, Address maps, int size,
             Address masks) {
    device::launch_uncover(checked(grid, block, kUncoverBlock), at<const int>(items), side,
                           at<const float>(maps), size, at<Texel>(masks));
}

template <typename From, typename To>
void prepare(const Dimensions& grid, const Dimensions& block, Address from, int count, float scale,
             float offset, float low, float high, Address to) {
    device::launch_prepare(checked(grid, block, kValuesBlock), at<const From>(from), count, scale, offset,
                           low, high, at<To>(to));
}

template <typename Texel>
void finite(const Dimensions& grid, const Dimensions& block, Address values, int each, Address flags) {
    device::launch_finite(checked(grid, block, kValuesBlock), at<const Texel>(values), each, at<int>(flags));
}

}  // namespace

void bind_device_masks(nb::module_& m) {
    m.attr("OUTLINE_BLOCK") = tuple_of(kOutlineBlock);
    m.attr("SOFTEN_BLOCK") = tuple_of(kSoftenBlock);
    m.attr("SOFTEN_AREAS_BLOCK") = tuple_of(kSoftenAreasBlock);
    m.attr("UNCOVER_BLOCK") = tuple_of(kUncoverBlock);
    m.attr("VALUES_BLOCK") = tuple_of(kValuesBlock);
    m.def("values_parts", &device::values_parts, nb::arg("count"));

    m.def("outline_f32", &outline<float>);
    m.def("outline_f16", &outline<device::Half>);
    m.def("soften_down_f32", &soften_down<float>);
    m.def("soften_down_f16", &soften_down<device::Half>);
    m.def("soften_across_f32", &soften_across<float>);
    m.def("soften_across_f16", &soften_across<device::Half>);
    m.def("soften_areas", &soften_areas);
    m.def("uncover_f32", &uncover<float>);
    m.def("uncover_f16", &uncover<device::Half>);
    m.def("prepare_f32_f32", &prepare<float, float>);
    m.def("prepare_f32_f16", &prepare<float, device::Half>);
    m.def("prepare_f16_f32", &prepare<device::Half, float>);
    m.def("prepare_f16_f16", &prepare<device::Half, device::Half>);
    m.def("finite_f32", &finite<float>);
    m.def("finite_f16", &finite<device::Half>);
}

}  // namespace crossface

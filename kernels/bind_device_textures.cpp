#include <nanobind/stl/array.h>

#include "bind_device.h"
#include "device_arguments.h"
#include "device_textures.h"

// As bind_device.cpp, for textures.cu, noise.cu and mark.cu.
namespace nb = nanobind;

namespace crossface {

namespace {

constexpr Dimensions kTextureBlock{device::kTextureColumns, device::kTextureRows, 1};
constexpr Dimensions kSkinBlock{device::kTextureThreads, 1, 1};
constexpr Dimensions kNoiseBlock{device::kNoiseThreads, 1, 1};
constexpr Dimensions kNoiseTotalsBlock{device::kNoiseSteps, 1, 1};
constexpr Dimensions kMarkBlock{device::kMarkThreads, 1, 1};

void skin(const Dimensions& grid, const Dimensions& block, Address drawn, Address source, Address masks,
          Address of_drawn, Address of_source, double spread, int size, int row_step, Address out) {
    device::launch_skin(checked(grid, block, kSkinBlock), at<const float>(drawn), at<const float>(source),
                        at<const float>(masks), at<const Statistics>(of_drawn),
                        at<const Statistics>(of_source), spread, size, row_step, at<float>(out));
}

void details(const Dimensions& grid, const Dimensions& block, Address jobs, Address drawn, Address source,
             int size, Address out) {
    device::launch_details(checked(grid, block, kTextureBlock), at<const device::SharpenJob>(jobs),
                           at<const float>(drawn), at<const float>(source), size, at<float>(out));
}

void sharpen(const Dimensions& grid, const Dimensions& block, Address jobs, Address faces, int size,
             Address out) {
    device::launch_sharpen(checked(grid, block, kTextureBlock), at<const device::SharpenJob>(jobs),
                           at<const float>(faces), size, at<float>(out));
}

void noise_counts(const Dimensions& grid, const Dimensions& block, Address frames, Address jobs, Address skin,
                  int size, Address counts) {
    device::launch_noise_counts(checked(grid, block, kNoiseBlock), at<const device::DeviceFrame>(frames),
                                at<const device::CropJob>(jobs), at<const float>(skin), size,
                                at<std::uint32_t>(counts));
}

void noise_totals(const Dimensions& grid, const Dimensions& block, Address jobs, Address counts,
                  Address deviations) {
    device::launch_noise_totals(checked(grid, block, kNoiseTotalsBlock), at<const device::CropJob>(jobs),
                                at<const std::uint32_t>(counts), at<double>(deviations));
}

void mark(const Dimensions& grid, const Dimensions& block, Address jobs, Address chips, Address signs,
          Address faces, Address masks, int size, Address memory, Address marks, bool backwards) {
    device::launch_mark(checked(grid, block, kMarkBlock), at<const device::MarkJob>(jobs),
                        at<const int>(chips), at<const float>(signs), at<const float>(faces),
                        at<const float>(masks), size, at<float>(memory), at<float>(marks), backwards);
}

}  // namespace

void bind_device_textures(nb::module_& m) {
    m.attr("TEXTURE_BLOCK") = tuple_of(kTextureBlock);
    m.attr("SKIN_BLOCK") = tuple_of(kSkinBlock);
    m.attr("NOISE_BLOCK") = tuple_of(kNoiseBlock);
    m.attr("NOISE_TOTALS_BLOCK") = tuple_of(kNoiseTotalsBlock);
    m.attr("NOISE_COUNTS_BYTES") = sizeof(std::uint32_t) * device::kNoiseSteps * device::kNoiseBins;
    m.attr("MARK_BLOCK") = tuple_of(kMarkBlock);
    m.attr("MARK_MEMORY_BYTES") = sizeof(float) * device::MarkSheet::kFloats;
    m.attr("MOST_SHARPEN_RADIUS") = device::SharpenJob::kMostRadius;
    m.def("noise_blocks", &device::noise_blocks, nb::arg("width"));
    m.def("skin", &skin);
    m.def("details", &details);
    m.def("sharpen", &sharpen);
    m.def("noise_counts", &noise_counts);
    m.def("noise_totals", &noise_totals);
    m.def("mark", &mark, nb::arg("grid"), nb::arg("block"), nb::arg("jobs"), nb::arg("chips"),
          nb::arg("signs"), nb::arg("faces"), nb::arg("masks"), nb::arg("size"), nb::arg("memory"),
          nb::arg("marks"), nb::arg("backwards") = false);
}

}  // namespace crossface

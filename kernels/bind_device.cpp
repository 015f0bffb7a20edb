#include "bind_device.h"

#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "curve.h"
#include "device_launch.h"

// For tests on machines without a GPU: launches of the CUDA kernels, run by the CPU. Jobs come as the bytes
// that a device would be given, whose addresses are then those of the host; sizes are checked, addresses and
// indices cannot be.
namespace nb = nanobind;

namespace crossface {

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <int kDimensions>
using Tensor = nb::ndarray<nb::ndim<kDimensions>, nb::c_contig, nb::device::cpu>;

void require(bool condition, const char* complaint) {
    if (!condition) throw std::invalid_argument(complaint);
}

// A C++ struct for each record of `bytes`.
template <typename Struct>
const Struct* records(const Bytes& bytes, int& count) {
    require(bytes.size() % sizeof(Struct) == 0,
            "jobs, frames: must be whole records; see kernels/common/jobs.h");
    require(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(Struct) == 0,
            "jobs, frames: must be aligned");
    count = static_cast<int>(bytes.size() / sizeof(Struct));
    return reinterpret_cast<const Struct*>(bytes.data());
}

// Calls body with a null pointer to the tensor's type.
template <typename Array, typename Body>
void with_texel_type(const Array& tensor, Body body) {
    const nb::dlpack::dtype half{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
    if (tensor.dtype() == half) return body(static_cast<device::Half*>(nullptr));
    require(tensor.dtype() == nb::dtype<float>(), "tensors: must be float32 or float16");
    body(static_cast<float*>(nullptr));
}

template <typename Array, typename Texel>
Texel* texels(const Array& tensor, Texel*) {
    return static_cast<Texel*>(tensor.data());
}

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

void launch_resize(const Bytes& frames, const Bytes& jobs, const Tensor<4>& out) {
    int frame_count = 0, count = 0;
    const auto* sources = records<device::DeviceFrame>(frames, frame_count);
    const auto* work = records<device::ResizeJob>(jobs, count);
    with_texel_type(out, [&](auto* type) {
        device::launch_resize(sources, work, count, static_cast<int>(out.shape(3)),
                              static_cast<int>(out.shape(2)), texels(out, type));
    });
}

void launch_crop(const Bytes& frames, const Bytes& jobs, const Tensor<4>& out) {
    int frame_count = 0, count = 0;
    const auto* sources = records<device::DeviceFrame>(frames, frame_count);
    const auto* work = records<device::CropJob>(jobs, count);
    with_texel_type(out, [&](auto* type) {
        device::launch_crop(sources, work, count, static_cast<int>(out.shape(3)), texels(out, type));
    });
}

void launch_stats(const Tensor<4>& rgb, const Tensor<3>& mask, const Tensor<2>& out) {
    require(rgb.dtype() == mask.dtype(), "mask: must have the type of the faces");
    require(out.dtype() == nb::dtype<double>() && out.shape(0) == rgb.shape(0) &&
                out.shape(1) * sizeof(double) == sizeof(Statistics),
            "out: must be float64 [faces, 13]");
    with_texel_type(rgb, [&](auto* type) {
        device::launch_stats(texels(rgb, type), texels(mask, type), static_cast<int>(rgb.shape(0)),
                             static_cast<int>(rgb.shape(2) * rgb.shape(3)),
                             static_cast<Statistics*>(out.data()));
    });
}

void launch_blend(const Bytes& frames, const Bytes& jobs, const Tensor<4>& faces, const Tensor<3>& masks,
                  int planes, bool backwards, const Tensor<2>& touched) {
    int frame_count = 0, count = 0;
    const auto* targets = records<device::DeviceFrame>(frames, frame_count);
    const auto* work = records<device::BlendJob>(jobs, count);
    require(faces.dtype() == masks.dtype(), "masks: must have the type of the faces");
    require(touched.dtype() == nb::dtype<int>() && touched.size() == 4 * static_cast<std::size_t>(count),
            "touched: must be int32 [jobs, 4]");
    with_texel_type(faces, [&](auto* type) {
        device::launch_blend(targets, work, count, texels(faces, type), texels(masks, type),
                             static_cast<int>(faces.shape(3)), planes, backwards,
                             static_cast<Box*>(touched.data()));
    });
}

}  // namespace

void bind_device(nb::module_& m) {
    m.def("pixel_format", &pixel_format_bytes, nb::arg("colour"));
    m.def("curve", &curve_of, nb::arg("transfer"));
    m.def("launch_resize", &launch_resize, nb::arg("frames"), nb::arg("jobs"), nb::arg("out").noconvert());
    m.def("launch_crop", &launch_crop, nb::arg("frames"), nb::arg("jobs"), nb::arg("out").noconvert());
    m.def("launch_stats", &launch_stats, nb::arg("rgb").noconvert(), nb::arg("mask").noconvert(),
          nb::arg("out").noconvert());
    m.def("launch_blend", &launch_blend, nb::arg("frames"), nb::arg("jobs"), nb::arg("faces").noconvert(),
          nb::arg("masks").noconvert(), nb::arg("planes"), nb::arg("backwards"),
          nb::arg("touched").noconvert());
}

}  // namespace crossface

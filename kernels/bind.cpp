#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "bind_arguments.h"
#include "bind_device.h"
#include "bind_textures.h"
#include "cpu.h"
#include "threads.h"

// The Python face of the kernels: checks every shape, type and number, lets go of the GIL, and calls.
namespace nb = nanobind;

namespace crossface {

namespace {

using ReadPlane = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;
using WritePlane = nb::ndarray<nb::ndim<2>, nb::device::cpu>;
template <int kDimensions>
using AnyArray = nb::ndarray<nb::ndim<kDimensions>, nb::c_contig, nb::device::cpu>;
using IntBox = std::tuple<int, int, int, int>;
using GrainNumbers = std::tuple<float, float, float, std::uint32_t>;  // of Grain

Colour make_colour(int matrix, bool full_range, int siting, int bits, int shift_x, int shift_y,
                   int padding_bits, int transfer) {
    require(matrix == 0 || matrix == 1 || matrix == 6 || matrix == 9,
            "matrix: must be 0 (RGB), 1 (BT.709), 6 (BT.601) or 9 (BT.2020)");
    require(siting >= 1 && siting <= 3, "siting: must be 1 (left), 2 (centre) or 3 (top left)");
    require((bits >= 8 && bits <= 16) || bits == kFloatBits, "bits: must be 8 to 16, or 32 for float");
    require(shift_x >= 0 && shift_x <= 2 && shift_y >= 0 && shift_y <= 2, "chroma shift: must be 0, 1 or 2");
    require(matrix != 0 || (shift_x == 0 && shift_y == 0), "chroma shift: must be 0 for RGB");
    require(padding_bits >= 0 && (padding_bits == 0 || (bits > 8 && bits + padding_bits <= 16)),
            "padding_bits: must leave room for the bits in a 16-bit word");
    require(transfer == 1 || transfer == 16 || transfer == 18,
            "transfer: must be 1 (SDR), 16 (PQ) or 18 (HLG)");
    return {static_cast<Matrix>(matrix),
            full_range,
            static_cast<Siting>(siting),
            bits,
            shift_x,
            shift_y,
            padding_bits,
            static_cast<Transfer>(transfer)};
}

template <typename PlaneArray>
Plane make_plane(const PlaneArray& array, const Colour& colour, std::size_t width, std::size_t height) {
    const nb::dlpack::dtype type = colour.bits == 8            ? nb::dtype<std::uint8_t>()
                                   : colour.bits == kFloatBits ? nb::dtype<float>()
                                                               : nb::dtype<std::uint16_t>();
    require(array.dtype() == type, "planes: must be uint8 for 8 bits, float32 for 32, and uint16 between");
    require(array.shape(0) == height && array.shape(1) == width,
            "planes: chroma must have the luma's size divided by the subsampling, rounded up");
    require(array.stride(1) >= 1, "planes: columns must run forward");
    const std::ptrdiff_t sample_bytes = type.bits / 8;
    return {const_cast<std::byte*>(static_cast<const std::byte*>(array.data())),
            array.stride(0) * sample_bytes, array.stride(1), static_cast<int>(width),
            static_cast<int>(height)};
}

template <typename PlaneArray>
Frame make_frame(const PlaneArray& y, const PlaneArray& u, const PlaneArray& v, const Colour& colour) {
    constexpr std::size_t kLongestSide = 1 << 16;
    const std::size_t width = y.shape(1), height = y.shape(0);
    require(width > 0 && height > 0 && width <= kLongestSide && height <= kLongestSide,
            "planes: width and height must be 1 to 65536");
    const auto subsampled = [](std::size_t length, int shift) {
        return (length + (std::size_t{1} << shift) - 1) >> shift;
    };
    const std::size_t chroma_width = subsampled(width, colour.chroma_shift_x);
    const std::size_t chroma_height = subsampled(height, colour.chroma_shift_y);
    return {{make_plane(y, colour, width, height), make_plane(u, colour, chroma_width, chroma_height),
             make_plane(v, colour, chroma_width, chroma_height)},
            colour};
}

Affine make_affine(const double* m) {
    for (int i = 0; i < 6; ++i) require(std::isfinite(m[i]), "matrix: must be finite");
    const double determinant = m[0] * m[4] - m[1] * m[3];
    require(std::isfinite(1.0 / determinant), "matrix: must be invertible");
    return {{{m[0], m[1], m[2]}, {m[3], m[4], m[5]}}};
}

// 0 stands for the default.
int checked_threads(int threads) {
    require(threads >= 0 && threads <= 64,
            "threads: must be 1 to 64, or 0 for the cores there are, at most 4");
    return threads > 0 ? threads : default_threads();
}

void resize(const CpuKernels& kernels, const ReadPlane& y, const ReadPlane& u, const ReadPlane& v,
            const Colour& colour, double scale_x, double scale_y, const Array<float, 3>& out, int threads) {
    const Frame frame = make_frame(y, u, v, colour);
    require(out.shape(0) == 3, "out: must have three channels");
    const int height = checked_size(out.shape(1)), width = checked_size(out.shape(2));
    for (const double scale : {scale_x, scale_y})
        require(scale >= 1.0 / 256.0 && scale <= 256.0, "scale: must be 1/256 to 256");
    const int most = checked_threads(threads);
    float* rgb = out.data();
    const nb::gil_scoped_release released;
    kernels.resize(frame, {scale_x, scale_y}, width, height, rgb, most);
}

template <typename Value, typename Kernel>
void crop_into(Kernel* kernel, const Frame& frame, const std::vector<Affine>& affines, int size, void* out,
               int threads) {
    const std::size_t face = 3 * static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    Value* rgb = static_cast<Value*>(out);
    const nb::gil_scoped_release released;
    for (std::size_t i = 0; i < affines.size(); ++i) kernel(frame, affines[i], size, rgb + i * face, threads);
}

void crop(const CpuKernels& kernels, const ReadPlane& y, const ReadPlane& u, const ReadPlane& v,
          const Colour& colour, const Array<const double, 3>& matrices, const AnyArray<4>& out, int threads) {
    const Frame frame = make_frame(y, u, v, colour);
    const std::size_t count = matrices.shape(0);
    require(matrices.shape(1) == 2 && matrices.shape(2) == 3, "matrices: must be [N, 2, 3]");
    require(out.shape(0) == count && out.shape(1) == 3 && out.shape(2) == out.shape(3),
            "out: must be [N, 3, size, size]");
    const nb::dlpack::dtype half{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
    const bool halves = out.dtype() == half;
    require(halves || out.dtype() == nb::dtype<float>(), "out: must be float32 or float16");
    if (count == 0) return;
    const int size = checked_size(out.shape(2)), most = checked_threads(threads);
    std::vector<Affine> affines;
    for (std::size_t i = 0; i < count; ++i) affines.push_back(make_affine(matrices.data() + 6 * i));
    if (halves)
        crop_into<std::uint16_t>(kernels.crop_half, frame, affines, size, out.data(), most);
    else
        crop_into<float>(kernels.crop, frame, affines, size, out.data(), most);
}

void stats(const CpuKernels& kernels, const Array<const float, 3>& image, const Array<const float, 2>& mask,
           const Array<double, 1>& mean, const Array<double, 2>& covariance, const Array<double, 1>& weight) {
    require(image.shape(0) == 3 && image.shape(1) == mask.shape(0) && image.shape(2) == mask.shape(1),
            "image: must be [3, height, width] of the mask");
    require(
        mean.shape(0) == 3 && covariance.shape(0) == 3 && covariance.shape(1) == 3 && weight.shape(0) == 1,
        "mean, covariance, weight: must be [3], [3, 3], [1]");
    const float *rgb = image.data(), *weights = mask.data();
    double *mean_out = mean.data(), *covariance_out = covariance.data(), *weight_out = weight.data();
    const std::size_t pixels = mask.shape(0) * mask.shape(1);
    const nb::gil_scoped_release released;
    const Statistics result = kernels.stats(rgb, weights, pixels);
    *weight_out = result.weight;
    for (int a = 0; a < 3; ++a) {
        mean_out[a] = result.mean[a];
        for (int b = 0; b < 3; ++b) covariance_out[3 * a + b] = result.covariance[a][b];
    }
}

// Chips, and the affine from luma coordinates to theirs.
using MarkArrays = std::tuple<Array<const float, 2>, Array<const double, 2>>;

Mark make_mark(const MarkArrays& arrays) {
    const auto& [chips, luma_to_mark] = arrays;
    require(chips.shape(0) == 64 && chips.shape(1) == 64, "mark: must have chips [64, 64]");
    require(luma_to_mark.shape(0) == 2 && luma_to_mark.shape(1) == 3, "mark: must have a matrix [2, 3]");
    return {chips.data(), make_affine(luma_to_mark.data())};
}

std::optional<IntBox> blend(const CpuKernels& kernels, const WritePlane& y, const WritePlane& u,
                            const WritePlane& v, const Colour& colour, const Array<const double, 2>& matrix,
                            const Array<const float, 3>& face, const Array<const float, 2>& mask,
                            const Array<const double, 2>& transform, const GrainNumbers& grain,
                            const std::optional<MarkArrays>& mark, int threads) {
    const Frame frame = make_frame(y, u, v, colour);
    require(matrix.shape(0) == 2 && matrix.shape(1) == 3, "matrix: must be [2, 3]");
    require(transform.shape(0) == 3 && transform.shape(1) == 4, "colour: must be [3, 4]");
    require(face.shape(0) == 3 && face.shape(1) == face.shape(2), "face: must be [3, size, size]");
    require(mask.shape(0) == face.shape(1) && mask.shape(1) == face.shape(1),
            "mask: must be [size, size] of the face");
    const int size = checked_size(face.shape(1));
    const Affine affine = make_affine(matrix.data());
    float rows[3][4];
    for (int i = 0; i < 12; ++i) {
        require(std::isfinite(transform.data()[i]), "colour: must be finite");
        rows[i / 4][i % 4] = static_cast<float>(transform.data()[i]);
    }
    const auto [sigma, centre, side, seed] = grain;
    require(std::isfinite(sigma + centre + side) && sigma >= 0.0f, "grain: must be finite, and not below 0");
    const int most = checked_threads(threads);
    const float *rgb = face.data(), *weights = mask.data();
    const Mark laid = mark ? make_mark(*mark) : Mark{};
    const Grain noise{sigma, centre, side, seed};
    Box box{};
    {
        const nb::gil_scoped_release released;
        box = kernels.blend(frame, affine, size, rgb, weights, rows, noise, laid, most);
    }
    if (box.x0 == box.x1) return std::nullopt;
    return IntBox{box.x0, box.y0, box.x1, box.y1};
}

std::tuple<double, double> noise(const CpuKernels& kernels, const ReadPlane& y, const ReadPlane& u,
                                 const ReadPlane& v, const Colour& colour,
                                 const Array<const double, 2>& matrix,
                                 const Array<const float, 2>& skin_mask) {
    const Frame frame = make_frame(y, u, v, colour);
    require(matrix.shape(0) == 2 && matrix.shape(1) == 3, "matrix: must be [2, 3]");
    require(skin_mask.shape(0) == skin_mask.shape(1), "skin: must be [size, size]");
    const int size = checked_size(skin_mask.shape(0));
    const Affine affine = make_affine(matrix.data());
    const float* weights = skin_mask.data();
    double deviations[2];
    {
        const nb::gil_scoped_release released;
        kernels.noise(frame, affine, size, weights, deviations);
    }
    return {deviations[0], deviations[1]};
}

void fill(const CpuKernels& kernels, const Array<const float, 2>& edges, const Array<float, 2>& out) {
    require(edges.shape(1) == 3, "edges: must be [N, 3]");
    require(out.shape(0) == out.shape(1), "out: must be [size, size]");
    const int size = checked_size(out.shape(0));
    std::vector<Edge> lines;
    for (std::size_t i = 0; i < edges.shape(0); ++i) {
        const float* edge = edges.data() + 3 * i;
        require(std::isfinite(edge[0] + edge[1] + edge[2]), "edges: must be finite");
        lines.push_back({edge[0], edge[1], edge[2]});
    }
    float* mask = out.data();
    const nb::gil_scoped_release released;
    kernels.fill(lines.data(), lines.size(), size, mask);
}

void soften(const CpuKernels& kernels, const Array<const float, 2>& mask, const Array<const float, 1>& taps,
            float border_px, const Array<float, 2>& out) {
    require(mask.shape(0) == mask.shape(1), "mask: must be [size, size]");
    require(out.shape(0) == mask.shape(0) && out.shape(1) == mask.shape(1),
            "out: must be [size, size] of the mask");
    require(taps.shape(0) % 2 == 1 && taps.shape(0) <= 16385, "taps: must be an odd number up to 16385");
    require(border_px >= 1.0f, "border_px: must be at least 1");
    const int size = checked_size(mask.shape(0)), radius = static_cast<int>(taps.shape(0) / 2);
    const float *weights = mask.data(), *curve = taps.data();
    float* softened = out.data();
    const nb::gil_scoped_release released;
    kernels.soften(weights, size, curve, radius, border_px, softened);
}

void uncover(const CpuKernels& kernels, const Array<const float, 2>& map, const Array<float, 2>& mask) {
    require(map.shape(0) == map.shape(1), "map: must be [side, side]");
    require(mask.shape(0) == mask.shape(1), "mask: must be [size, size]");
    const int side = checked_size(map.shape(0)), size = checked_size(mask.shape(0));
    const float* seen = map.data();
    float* weights = mask.data();
    const nb::gil_scoped_release released;
    kernels.uncover(seen, side, weights, size);
}

}  // namespace

NB_MODULE(_native, m) {
    // Threads that are stopped by the end of the process leave objects behind; that is nobody's business.
    nanobind::set_leak_warnings(false);
    m.doc() = "Pixel kernels over Y'CbCr planes. Use crossface.engine.kernels, which documents them.";

    m.def("isa_variants", [] {
        std::vector<std::string> names;
        for (const CpuKernels& kernels : supported_cpu_kernels()) names.emplace_back(kernels.isa);
        return names;
    });

    nb::class_<Colour>(m, "Colour")
        .def(
            "__init__",
            [](Colour* self, int matrix, bool full_range, int siting, int bits, int shift_x, int shift_y,
               int padding_bits, int transfer) {
                new (self) Colour(
                    make_colour(matrix, full_range, siting, bits, shift_x, shift_y, padding_bits, transfer));
            },
            nb::arg("matrix"), nb::arg("full_range"), nb::arg("siting"), nb::arg("bits"),
            nb::arg("chroma_shift_x"), nb::arg("chroma_shift_y"), nb::arg("padding_bits"),
            nb::arg("transfer"));

    nb::module_ device = m.def_submodule(
        "device", "What launches need of the CUDA kernels; these, run by the CPU, for tests.");
    bind_device(device);
    bind_device_masks(device);
    bind_device_faces(device);
    bind_device_textures(device);

    // Conversion would hand a kernel a copy: what it wrote would be lost.
    nb::class_<CpuKernels> table(m, "Kernels");
    bind_textures(table);
    table
        .def(
            "__init__",
            [](CpuKernels* self, const std::string& isa) {
                for (const CpuKernels& kernels : supported_cpu_kernels())
                    if (kernels.isa == isa) {
                        new (self) CpuKernels(kernels);
                        return;
                    }
                throw std::invalid_argument("isa: this CPU does not run " + isa);
            },
            nb::arg("isa"))
        .def("resize", &resize, nb::arg("y").noconvert(), nb::arg("u").noconvert(), nb::arg("v").noconvert(),
             nb::arg("colour"), nb::arg("scale_x"), nb::arg("scale_y"), nb::arg("out").noconvert(),
             nb::arg("threads"))
        .def("crop", &crop, nb::arg("y").noconvert(), nb::arg("u").noconvert(), nb::arg("v").noconvert(),
             nb::arg("colour"), nb::arg("matrices").noconvert(), nb::arg("out").noconvert(),
             nb::arg("threads"))
        .def("stats", &stats, nb::arg("image").noconvert(), nb::arg("mask").noconvert(),
             nb::arg("mean").noconvert(), nb::arg("covariance").noconvert(), nb::arg("weight").noconvert())
        .def("blend", &blend, nb::arg("y").noconvert(), nb::arg("u").noconvert(), nb::arg("v").noconvert(),
             nb::arg("colour"), nb::arg("matrix").noconvert(), nb::arg("face").noconvert(),
             nb::arg("mask").noconvert(), nb::arg("transform").noconvert(), nb::arg("grain"),
             nb::arg("mark").none(), nb::arg("threads"))
        .def("noise", &noise, nb::arg("y").noconvert(), nb::arg("u").noconvert(), nb::arg("v").noconvert(),
             nb::arg("colour"), nb::arg("matrix").noconvert(), nb::arg("skin").noconvert())
        .def("fill", &fill, nb::arg("edges").noconvert(), nb::arg("out").noconvert())
        .def("soften", &soften, nb::arg("mask").noconvert(), nb::arg("taps").noconvert(),
             nb::arg("border_px"), nb::arg("out").noconvert())
        .def("uncover", &uncover, nb::arg("map").noconvert(), nb::arg("mask").noconvert());
}

}  // namespace crossface

#include "bind_textures.h"

#include <nanobind/stl/tuple.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include "bind_arguments.h"

// The Python face of the kernels over faces: checks, lets go of the GIL, and calls.
namespace crossface {

namespace {

using Moments = std::tuple<Array<const double, 1>, Array<const double, 2>, double>;

Statistics statistics_of(const Moments& moments) {
    const auto& [mean, covariance, weight] = moments;
    require(mean.shape(0) == 3 && covariance.shape(0) == 3 && covariance.shape(1) == 3,
            "moments: must be [3], [3, 3] and a weight");
    Statistics statistics{};
    statistics.weight = weight;
    for (int a = 0; a < 3; ++a) {
        statistics.mean[a] = mean.data()[a];
        for (int b = 0; b < 3; ++b) statistics.covariance[a][b] = covariance.data()[3 * a + b];
    }
    return statistics;
}

void skin(const CpuKernels& kernels, const Array<const float, 3>& drawn, const Array<const float, 3>& source,
          const Array<const float, 2>& mask, const Moments& drawn_moments, const Moments& source_moments,
          double spread, int row_step, const Array<float, 2>& out) {
    require(mask.shape(0) == mask.shape(1), "mask: must be [size, size]");
    for (const auto& image : {drawn, source})
        require(image.shape(0) == 3 && image.shape(1) == mask.shape(0) && image.shape(2) == mask.shape(0),
                "images: must be [3, size, size] of the mask");
    require(out.shape(0) == mask.shape(0) && out.shape(1) == mask.shape(0),
            "out: must be [size, size] of the mask");
    require(out.data() != mask.data(), "out: must be another memory than the mask");
    require(row_step >= 1, "row_step: must be at least 1");
    const int size = checked_size(mask.shape(0));
    const Statistics of_drawn = statistics_of(drawn_moments), of_source = statistics_of(source_moments);
    const float *mine = drawn.data(), *its = source.data(), *weights = mask.data();
    float* shares = out.data();
    const nb::gil_scoped_release released;
    kernels.skin(mine, its, weights, size, row_step, of_drawn, of_source, spread, shares);
}

int checked_radius(const Array<const float, 1>& taps) {
    require(taps.shape(0) % 2 == 1 && taps.shape(0) <= 257, "taps: must be an odd number up to 257");
    return static_cast<int>(taps.shape(0) / 2);
}

void detail(const CpuKernels& kernels, const Array<const float, 3>& image, const Array<const float, 1>& taps,
            const Array<float, 2>& out) {
    require(image.shape(0) == 3 && image.shape(1) == image.shape(2), "image: must be [3, size, size]");
    require(out.shape(0) == image.shape(1) && out.shape(1) == image.shape(1),
            "out: must be [size, size] of the image");
    const int size = checked_size(image.shape(1)), radius = checked_radius(taps);
    const float *rgb = image.data(), *curve = taps.data();
    float* found = out.data();
    const nb::gil_scoped_release released;
    kernels.detail(rgb, size, curve, radius, found);
}

void sharpen(const CpuKernels& kernels, const Array<const float, 3>& image, const Array<const float, 1>& taps,
             float amount, const Array<float, 3>& out) {
    require(image.shape(0) == 3 && image.shape(1) == image.shape(2), "image: must be [3, size, size]");
    require(out.shape(0) == 3 && out.shape(1) == image.shape(1) && out.shape(2) == image.shape(1),
            "out: must be [3, size, size] of the image");
    require(out.data() != image.data(), "out: must be another memory than the image");
    require(std::isfinite(amount) && amount >= -1.0f, "amount: must be finite, and at least -1");
    const int size = checked_size(image.shape(1)), radius = checked_radius(taps);
    const float *rgb = image.data(), *curve = taps.data();
    float* sharp = out.data();
    const nb::gil_scoped_release released;
    kernels.sharpen(rgb, size, curve, radius, amount, sharp);
}

void mark(const CpuKernels& kernels, const Array<const float, 3>& face, const Array<const float, 2>& mask,
          const Array<const double, 1>& luma, const Array<const double, 2>& mark_to_face,
          const Array<const std::int32_t, 2>& chips, const Array<const float, 2>& signs,
          const Array<float, 2>& out) {
    require(face.shape(0) == 3 && face.shape(1) == face.shape(2), "face: must be [3, size, size]");
    require(mask.shape(0) == face.shape(1) && mask.shape(1) == face.shape(1),
            "mask: must be [size, size] of the face");
    require(luma.shape(0) == 4, "luma: must be [4]");
    require(mark_to_face.shape(0) == 2 && mark_to_face.shape(1) == 3, "matrix: must be [2, 3]");
    require(chips.shape(0) == 96 && chips.shape(1) == 20 && signs.shape(0) == 96 && signs.shape(1) == 20,
            "chips, signs: must be [96, 20]");
    require(out.shape(0) == 64 && out.shape(1) == 64, "out: must be [64, 64]");
    for (std::size_t i = 0; i < chips.size(); ++i)
        require(chips.data()[i] >= 0 && chips.data()[i] < 64 * 64, "chips: must be 0 to 4095");
    Affine affine{};
    for (std::size_t i = 0; i < 6; ++i) {
        require(std::isfinite(mark_to_face.data()[i]), "matrix: must be finite");
        affine.m[i / 3][i % 3] = mark_to_face.data()[i];
    }
    float row[4];
    for (std::size_t i = 0; i < 4; ++i) row[i] = static_cast<float>(luma.data()[i]);
    const int size = checked_size(face.shape(1));
    const float *rgb = face.data(), *weights = mask.data(), *by = signs.data();
    const std::int32_t* at = chips.data();
    float* made = out.data();
    const nb::gil_scoped_release released;
    kernels.mark(rgb, weights, size, row, affine, at, by, made);
}

using Space = Array<const double, 2>;

void read_space(const Space& space, float (&rows)[3][3]) {
    require(space.shape(0) == 3 && space.shape(1) == 3, "space: must be [3, 3]");
    for (int i = 0; i < 9; ++i) {
        require(std::isfinite(space.data()[i]), "space: must be finite");
        rows[i / 3][i % 3] = static_cast<float>(space.data()[i]);
    }
}

void quantiles(const CpuKernels& kernels, const Array<const float, 3>& image,
               const Array<const float, 2>& mask, const Space& to_space, const Array<double, 2>& out) {
    require(image.shape(0) == 3 && image.shape(1) == mask.shape(0) && image.shape(2) == mask.shape(1),
            "image: must be [3, height, width] of the mask");
    require(out.shape(0) == 3 && out.shape(1) >= 1 && out.shape(1) <= 1024, "out: must be [3, 1 to 1024]");
    float to[3][3];
    read_space(to_space, to);
    const float *rgb = image.data(), *weights = mask.data();
    const std::size_t pixels = mask.shape(0) * mask.shape(1);
    const int count = static_cast<int>(out.shape(1));
    double* values = out.data();
    const nb::gil_scoped_release released;
    kernels.quantiles(rgb, weights, pixels, to, count, values);
}

void recolour(const CpuKernels& kernels, const Array<const float, 3>& image, const Space& to_space,
              const Space& from_space, const Array<const float, 2>& curves, float low, float high,
              const Array<float, 3>& out) {
    require(image.shape(0) == 3, "image: must be [3, height, width]");
    for (std::size_t axis = 0; axis < 3; ++axis)
        require(out.shape(axis) == image.shape(axis), "out: must be [3, height, width] of the image");
    require(curves.shape(0) == 3 && curves.shape(1) >= 2 && curves.shape(1) <= 65536,
            "curves: must be [3, 2 to 65536]");
    require(std::isfinite(low) && std::isfinite(high) && low < high, "low: must be finite, and below high");
    require(out.data() != image.data(), "out: must be another memory than the image");
    float to[3][3], from[3][3];
    read_space(to_space, to);
    read_space(from_space, from);
    const std::size_t length = curves.shape(1), pixels = image.shape(1) * image.shape(2);
    const float* lines[3] = {curves.data(), curves.data() + length, curves.data() + 2 * length};
    const float* rgb = image.data();
    float* changed = out.data();
    const nb::gil_scoped_release released;
    kernels.recolour(rgb, pixels, to, from, lines, static_cast<int>(length) - 1, low, high, changed);
}

}  // namespace

void bind_textures(nb::class_<CpuKernels>& kernels) {
    kernels
        .def("skin", &skin, nb::arg("drawn").noconvert(), nb::arg("source").noconvert(),
             nb::arg("mask").noconvert(), nb::arg("drawn_moments"), nb::arg("source_moments"),
             nb::arg("spread"), nb::arg("row_step"), nb::arg("out").noconvert())
        .def("detail", &detail, nb::arg("image").noconvert(), nb::arg("taps").noconvert(),
             nb::arg("out").noconvert())
        .def("sharpen", &sharpen, nb::arg("image").noconvert(), nb::arg("taps").noconvert(),
             nb::arg("amount"), nb::arg("out").noconvert())
        .def("mark", &mark, nb::arg("face").noconvert(), nb::arg("mask").noconvert(),
             nb::arg("luma").noconvert(), nb::arg("mark_to_face").noconvert(), nb::arg("chips").noconvert(),
             nb::arg("signs").noconvert(), nb::arg("out").noconvert())
        .def("quantiles", &quantiles, nb::arg("image").noconvert(), nb::arg("mask").noconvert(),
             nb::arg("to_space").noconvert(), nb::arg("out").noconvert())
        .def("recolour", &recolour, nb::arg("image").noconvert(), nb::arg("to_space").noconvert(),
             nb::arg("from_space").noconvert(), nb::arg("curves").noconvert(), nb::arg("low"),
             nb::arg("high"), nb::arg("out").noconvert());
}

}  // namespace crossface

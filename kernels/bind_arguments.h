#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <stdexcept>

// What Python hands to the CPU kernels, and how it is refused.
namespace crossface {

namespace nb = nanobind;

template <typename Value, int kDimensions>
using Array = nb::ndarray<Value, nb::ndim<kDimensions>, nb::c_contig, nb::device::cpu>;

// Refuses, with a ValueError that starts with the argument's name.
inline void require(bool condition, const char* complaint) {
    if (!condition) throw std::invalid_argument(complaint);
}

inline int checked_size(std::size_t side) {
    require(side >= 1 && side <= 8192, "size: must be 1 to 8192");
    return static_cast<int>(side);
}

}  // namespace crossface

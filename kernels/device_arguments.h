#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <cstdint>
#include <stdexcept>

#include "device_blocks.h"

// What Python gives an emulated launch: grid, block and addresses of host memory, as a driver takes them.
namespace crossface {

using Dimensions = std::array<int, 3>;
using Address = std::uintptr_t;

inline device::Grid checked(const Dimensions& grid, const Dimensions& block, const Dimensions& wanted) {
    if (block != wanted) throw std::invalid_argument("block: not the one that the kernel is written for");
    for (int axis = 0; axis < 3; ++axis)
        if (grid[axis] < 1 || (axis > 0 && grid[axis] > 65535))
            throw std::invalid_argument("grid: must be at least 1 each way, and at most 65535 along y and z");
    return {grid[0], grid[1], grid[2]};
}

template <typename Value>
Value* at(Address address) {
    return reinterpret_cast<Value*>(address);
}

inline nanobind::tuple tuple_of(const Dimensions& d) { return nanobind::make_tuple(d[0], d[1], d[2]); }

}  // namespace crossface

#pragma once

#include <cstddef>

#include "pixel.h"
#include "texel.h"
#include "variant.h"

// `prepare` and `finite` on the device: whole tensors, value by value.
namespace crossface::CF_VARIANT {

constexpr int kValuesThreads = 256;  // of a block
constexpr int kValuesEach = 8;       // of a thread; neighbouring threads take neighbouring values
constexpr int kValuesPart = kValuesThreads * kValuesEach;

CF_HOST_DEVICE constexpr int values_parts(std::ptrdiff_t count) {
    return static_cast<int>((count + kValuesPart - 1) / kValuesPart);
}

// Calls body(index) for the values of a thread.
template <typename Body>
CF_HOST_DEVICE inline void for_values(int part, int thread, std::ptrdiff_t count, Body body) {
    const std::ptrdiff_t begin = static_cast<std::ptrdiff_t>(part) * kValuesPart + thread;
    for (int i = 0; i < kValuesEach; ++i)
        if (begin + i * kValuesThreads < count) body(begin + i * kValuesThreads);
}

// What is no number becomes `low`.
template <typename From, typename To>
CF_HOST_DEVICE inline void prepare_values(int part, int thread, int count, float scale, float offset,
                                          float low, float high, const From* from, To* to) {
    for_values(part, thread, count, [=](std::ptrdiff_t i) {
        write_texel(to[i], clamp(scale * read_texel(from[i]) + offset, low, high));
    });
}

// Whether some value of an item's `each` is not finite.
template <typename Texel>
CF_HOST_DEVICE inline bool has_no_number(const Texel* values, int item, int part, int thread,
                                         std::ptrdiff_t each) {
    bool any = false;
    const Texel* first = values + each * item;
    for_values(part, thread, each, [&](std::ptrdiff_t i) { any |= !is_finite(read_texel(first[i])); });
    return any;
}

}  // namespace crossface::CF_VARIANT

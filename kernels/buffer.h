#pragma once

#include <cstddef>

#include "common/variant.h"
#include "scratch.h"

namespace crossface::CF_VARIANT {

// Uninitialised scratch memory on a cache line. std::vector would leave inline functions, compiled for
// this instruction set, where the linker may give them to callers on a lesser CPU (see variant.h).
template <typename T>
class Buffer {
  public:
    explicit Buffer(std::size_t count)
        : data_(static_cast<T*>(take_scratch(count * sizeof(T)))), count_(count) {}
    ~Buffer() { give_scratch(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* data() { return data_; }
    const T* data() const { return data_; }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }
    void fill(T value) {
        for (std::size_t i = 0; i < count_; ++i) data_[i] = value;
    }

  private:
    T* data_;
    std::size_t count_;
};

}  // namespace crossface::CF_VARIANT

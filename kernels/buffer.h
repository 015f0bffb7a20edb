#pragma once

#include <cstddef>
#include <new>

#include "common/variant.h"

namespace crossface::CF_VARIANT {

// Uninitialised scratch memory on a cache line. std::vector would leave inline functions, compiled for
// this instruction set, where the linker may give them to callers on a lesser CPU (see variant.h).
template <typename T>
class Buffer {
  public:
    explicit Buffer(std::size_t count)
        : data_(static_cast<T*>(::operator new(count * sizeof(T), kAlignment))), count_(count) {}
    ~Buffer() { ::operator delete(data_, kAlignment); }
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
    static constexpr std::align_val_t kAlignment{64};
    T* data_;
    std::size_t count_;
};

}  // namespace crossface::CF_VARIANT

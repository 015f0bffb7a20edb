#pragma once

#include <cstddef>

namespace crossface {

// Memory on a cache line, uninitialised. What a thread gives back it gets again: fresh memory would cost a
// page fault for every 4 KiB that is touched, which for one face is as much time as the work itself.
void* take_scratch(std::size_t bytes);
void give_scratch(void* memory);

}  // namespace crossface

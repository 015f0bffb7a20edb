#include "scratch.h"

#include <cstddef>
#include <new>
#include <vector>

namespace crossface {

namespace {

constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kHeader = 64;  // before the memory itself: how many bytes it has
constexpr std::size_t kMostBlocks = 16, kMostBytes = std::size_t{32} << 20;

std::size_t& size_of(void* block) { return *static_cast<std::size_t*>(block); }

// Blocks that this thread gave back.
struct Blocks {
    std::vector<void*> free;
    std::size_t bytes = 0;

    ~Blocks() {
        for (void* block : free) ::operator delete(block, kAlignment);
    }
};

Blocks& blocks() {
    thread_local Blocks mine;
    return mine;
}

}  // namespace

void* take_scratch(std::size_t bytes) {
    Blocks& mine = blocks();
    std::size_t best = mine.free.size();
    for (std::size_t i = 0; i < mine.free.size(); ++i)
        if (size_of(mine.free[i]) >= bytes &&
            (best == mine.free.size() || size_of(mine.free[i]) < size_of(mine.free[best])))
            best = i;
    void* block = nullptr;
    if (best < mine.free.size()) {
        block = mine.free[best];
        mine.free[best] = mine.free.back();
        mine.free.pop_back();
        mine.bytes -= size_of(block);
    } else {
        block = ::operator new(kHeader + bytes, kAlignment);
        size_of(block) = bytes;
    }
    return static_cast<std::byte*>(block) + kHeader;
}

void give_scratch(void* memory) {
    void* block = static_cast<std::byte*>(memory) - kHeader;
    Blocks& mine = blocks();
    if (mine.free.size() == kMostBlocks || mine.bytes + size_of(block) > kMostBytes) {
        ::operator delete(block, kAlignment);
        return;
    }
    mine.free.push_back(block);
    mine.bytes += size_of(block);
}

}  // namespace crossface

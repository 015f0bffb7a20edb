#pragma once

#include <vector>

// How the emulated launches walk over the blocks and threads of a grid.
namespace crossface::device {

// Blocks along each axis.
struct Grid {
    int x, y, z;
};

// Blocks of one thread a pixel, which share what `begin` makes.
template <int kColumns, int kRows, typename Begin, typename Pixel>
void for_each_tile(const Grid& grid, Begin begin, Pixel pixel) {
    for (int y = 0; y < grid.y * kRows; y += kRows)
        for (int x = 0; x < grid.x * kColumns; x += kColumns) {
            const auto tile = begin(x, y);
            for (int dy = 0; dy < kRows; ++dy)
                for (int dx = 0; dx < kColumns; ++dx) pixel(tile, x, y, dx, dy);
        }
}

// One block that makes a value in each thread and folds them as a tree: `fold` is told a thread and the
// distance of what it takes in. A loop over the threads ends where the kernel has a barrier.
template <int kThreads, typename Value, typename Make, typename Fold>
Value fold_block(Make make, Fold fold) {
    std::vector<Value> values;
    for (int thread = 0; thread < kThreads; ++thread) values.push_back(make(thread));
    for (int distance = kThreads / 2; distance > 0; distance /= 2)
        for (int thread = 0; thread < kThreads; ++thread) fold(values.data(), thread, distance);
    return values[0];
}

}  // namespace crossface::device

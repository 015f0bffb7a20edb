#include "device_textures.h"

#include <cstddef>

namespace crossface::device {

namespace {

template <typename Pixel>
void for_each_pixel(const Grid& grid, Pixel pixel) {
    for (int job = 0; job < grid.z; ++job)
        for (int y = 0; y < grid.y * kTextureRows; ++y)
            for (int x = 0; x < grid.x * kTextureColumns; ++x) pixel(job, x, y);
}

// The threads of a block, one after the other; a loop over them ends where the kernel has a barrier.
struct ThreadsInTurn {
    bool backwards;

    template <typename Step>
    void places(int rows, int columns, Step step) const {
        for_each_thread([&](int thread) { mark_places(thread, rows, columns, step); });
    }
    template <typename Step>
    void bits(Step step) const {
        for_each_thread([&](int thread) {
            if (thread < kMarkBits) step(thread);
        });
    }
    template <typename Step>
    void once(Step step) const {
        step();
    }

  private:
    template <typename Step>
    void for_each_thread(Step step) const {
        for (int i = 0; i < kMarkThreads; ++i) step(backwards ? kMarkThreads - 1 - i : i);
    }
};

}  // namespace

void launch_skin(const Grid& grid, const float* drawn, const float* source, const float* masks,
                 const Statistics* of_drawn, const Statistics* of_source, double spread, int size,
                 int row_step, float* out) {
    for (int item = 0; item < grid.y; ++item)
        for (int pixel = 0; pixel < grid.x * kTextureThreads; ++pixel)
            skin_pixel(drawn, source, masks, of_drawn, of_source, spread, size, row_step, item, pixel, out);
}

void launch_details(const Grid& grid, const SharpenJob* jobs, const float* drawn, const float* source,
                    int size, float* out) {
    for_each_pixel(grid,
                   [&](int job, int x, int y) { detail_pixel(jobs[job], drawn, source, size, x, y, out); });
}

void launch_sharpen(const Grid& grid, const SharpenJob* jobs, const float* faces, int size, float* out) {
    for_each_pixel(grid, [&](int job, int x, int y) { sharpen_pixel(jobs[job], faces, size, x, y, out); });
}

void launch_noise_counts(const Grid& grid, const DeviceFrame* frames, const CropJob* jobs, const float* skin,
                         int size, std::uint32_t* counts) {
    for (int number = 0; number < grid.y; ++number) {
        const CropJob& job = jobs[number];
        const Frame& frame = frames[job.frame].frame;
        const NoiseRows rows = noise_rows(frame.planes[0], job.crop_to_luma, size);
        std::uint32_t* mine = counts + static_cast<std::ptrdiff_t>(number) * (kNoiseSteps * kNoiseBins);
        for (int thread = 0; thread < grid.x * kNoiseThreads; ++thread)
            count_answers(frame, rows, job.item, size, skin, thread,
                          [&](int step, int bin) { ++mine[step * kNoiseBins + bin]; });
    }
}

void launch_noise_totals(const Grid& grid, const CropJob* jobs, const std::uint32_t* counts,
                         double* deviations) {
    for (int number = 0; number < grid.x; ++number)
        for (int step = 0; step < kNoiseSteps; ++step)
            deviations[jobs[number].item * kNoiseSteps + step] =
                noise_of(counts + static_cast<std::ptrdiff_t>(number * kNoiseSteps + step) * kNoiseBins);
}

void launch_mark(const Grid& grid, const MarkJob* jobs, const int* chips, const float* signs,
                 const float* faces, const float* masks, int size, float* memory, float* marks,
                 bool backwards) {
    for (int number = 0; number < grid.x; ++number)
        mark_face(ThreadsInTurn{backwards}, jobs[number], {chips, signs}, faces, masks, size,
                  memory + static_cast<std::ptrdiff_t>(number) * MarkSheet::kFloats, marks);
}

}  // namespace crossface::device

#include "buffer.h"
#include "common/mark.h"
#include "common/variant.h"
#include "cpu.h"

namespace crossface::CF_VARIANT {

namespace {

// One thread, row by row.
struct InTurn {
    template <typename Step>
    void places(int rows, int columns, Step step) const {
        for (int y = rows; y < kMarkPitch - rows; ++y)
            for (int x = columns; x < kMarkPitch - columns; ++x) step(y * kMarkPitch + x);
    }
    template <typename Step>
    void bits(Step step) const {
        for (int bit = 0; bit < kMarkBits; ++bit) step(bit);
    }
    template <typename Step>
    void once(Step step) const {
        step();
    }
};

}  // namespace

void mark(const float* rgb, const float* mask, int size, const float (&luma)[4], const Affine& mark_to_face,
          const std::int32_t* chips, const float* signs, float* out) {
    const std::size_t pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    Buffer<float> shown(pixels), memory(MarkSheet::kFloats);
    for (std::size_t i = 0; i < pixels; ++i)
        shown[i] = affine_row(luma, rgb[i], rgb[i + pixels], rgb[i + 2 * pixels]);
    const MarkJob job{mark_to_face, {luma[0], luma[1], luma[2], luma[3]}, 0};
    const float* of_pixels = shown.data();
    make_mark(
        InTurn{}, job, {chips, signs}, mask, size, MarkSheet(memory.data()),
        [of_pixels, size](int x, int y) { return of_pixels[static_cast<std::ptrdiff_t>(y) * size + x]; },
        out);
}

}  // namespace crossface::CF_VARIANT

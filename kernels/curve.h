#pragma once

#include "common/curve.h"
#include "common/frame.h"
#include "common/variant.h"
#include "curve_tables.h"

namespace crossface::CF_VARIANT {

static_assert(Curve::kCells == CurveTables::kCells);

inline Curve curve_of(Transfer transfer) {
    const CurveTables* tables = curve_tables(transfer);
    if (!tables) return {};
    return {tables->to_display, tables->to_signal, Curve::kCells / tables->peak, tables->fade_begin,
            tables->fade_end};
}

// interpolate(table, cells_per_value * value) for a row of values; `out` may be `values`.
inline void interpolate(const float* table, float cells_per_value, const float* values, int count,
                        float* out) {
    constexpr int kBlock = 64;
    for (int begin = 0; begin < count; begin += kBlock) {
        // The look-ups by themselves: compilers make nothing good of gathers.
        const int length = count - begin < kBlock ? count - begin : kBlock;
        int cells[kBlock];
        float parts[kBlock], bases[kBlock], steps[kBlock];
        for (int i = 0; i < length; ++i) {
            const float position = cells_per_value * values[begin + i];
            cells[i] = static_cast<int>(clamp(position, 0.0f, Curve::kCells - 1.0f));
            parts[i] = position - static_cast<float>(cells[i]);
        }
        for (int i = 0; i < length; ++i) {
            bases[i] = table[cells[i]];
            steps[i] = table[Curve::kCells + cells[i]];
        }
        for (int i = 0; i < length; ++i) out[begin + i] = bases[i] + parts[i] * steps[i];
    }
}

}  // namespace crossface::CF_VARIANT

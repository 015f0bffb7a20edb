#pragma once

#include "common/frame.h"

namespace crossface {

// The two tables of an HDR transfer and its constants, as common/curve.h explains them.
struct CurveTables {
    static constexpr int kCells = 4096;

    float to_display[2 * kCells];  // values at the beginnings of the cells, then the steps to the next
    float to_signal[2 * kCells];
    float peak;  // display value of signal 1
    float fade_begin, fade_end;
};

// Of PQ or HLG; null for SDR. Built when first asked for.
const CurveTables* curve_tables(Transfer transfer);

}  // namespace crossface

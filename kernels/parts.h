#pragma once

#include "common/variant.h"
#include "threads.h"

namespace crossface::CF_VARIANT {

// Half open.
struct Span {
    int begin, end;
};

inline int smaller(int a, int b) { return a < b ? a : b; }
inline int larger(int a, int b) { return a > b ? a : b; }

// Cuts rows 0 .. rows-1 into parts and calls body(Span) for each, on up to `threads` threads. A part has at
// least `least_pixels`, about 50 microseconds of work: waking a thread costs a tenth of that.
template <typename Body>
void for_row_parts(int rows, int row_pixels, int least_pixels, int threads, Body body) {
    const long long pixels = static_cast<long long>(rows) * row_pixels;
    const long long worthwhile = pixels / least_pixels;
    const int most = smaller(threads, rows);
    const int parts = worthwhile < 1 ? 1 : worthwhile < most ? static_cast<int>(worthwhile) : most;
    struct Job {
        Body* body;
        int rows, parts;
    } job{&body, rows, parts};
    const auto run = [](void* data, int part) {
        const Job& whole = *static_cast<Job*>(data);
        const auto edge = [&](int i) {
            return static_cast<int>(static_cast<long long>(whole.rows) * i / whole.parts);
        };
        (*whole.body)(Span{edge(part), edge(part + 1)});
    };
    run_parts(parts, threads, run, &job);
}

}  // namespace crossface::CF_VARIANT

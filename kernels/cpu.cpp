#include "cpu.h"

namespace crossface {

namespace {

// Single features rather than __builtin_cpu_supports("x86-64-v3"), which GCC 11 does not know.
bool runs_v3() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

bool runs_v4() {
    return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

// The table of one variant's functions.
#define CF_KERNELS_OF(isa, variant)                                                                        \
    CpuKernels {                                                                                           \
        isa, variant::resize, variant::crop, variant::crop_half, variant::stats, variant::blend,           \
            variant::mark, variant::fill, variant::soften, variant::skin, variant::noise, variant::detail, \
            variant::sharpen, variant::quantiles, variant::recolour, variant::uncover                      \
    }

}  // namespace

std::vector<CpuKernels> supported_cpu_kernels() {
    __builtin_cpu_init();
    std::vector<CpuKernels> variants{CF_KERNELS_OF("x86-64-v2", v2)};
    if (runs_v3()) variants.push_back(CF_KERNELS_OF("x86-64-v3", v3));
    if (runs_v4()) variants.push_back(CF_KERNELS_OF("x86-64-v4", v4));
    return variants;
}

}  // namespace crossface

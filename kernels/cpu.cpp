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

}  // namespace

std::vector<CpuKernels> supported_cpu_kernels() {
    __builtin_cpu_init();
    std::vector<CpuKernels> variants{{"x86-64-v2", v2::resize, v2::crop, v2::crop_half, v2::stats, v2::blend,
                                      v2::fill, v2::soften, v2::uncover}};
    if (runs_v3())
        variants.push_back({"x86-64-v3", v3::resize, v3::crop, v3::crop_half, v3::stats, v3::blend, v3::fill,
                            v3::soften, v3::uncover});
    if (runs_v4())
        variants.push_back({"x86-64-v4", v4::resize, v4::crop, v4::crop_half, v4::stats, v4::blend, v4::fill,
                            v4::soften, v4::uncover});
    return variants;
}

}  // namespace crossface

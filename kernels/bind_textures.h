#pragma once

#include <nanobind/nanobind.h>

#include "cpu.h"

namespace crossface {

// Adds the kernels over faces as the network draws them, which know no frame.
void bind_textures(nanobind::class_<CpuKernels>& kernels);

}  // namespace crossface

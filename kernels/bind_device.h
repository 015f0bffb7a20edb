#pragma once

#include <nanobind/nanobind.h>

namespace crossface {

// Adds to the extension what fills the device's jobs, and the emulated launches.
void bind_device(nanobind::module_& m);

}  // namespace crossface

#pragma once

#include <nanobind/nanobind.h>

namespace crossface {

// Adds to the extension what launches on a device need, and the emulated ones.
void bind_device(nanobind::module_& m);
void bind_device_masks(nanobind::module_& m);
void bind_device_faces(nanobind::module_& m);
void bind_device_textures(nanobind::module_& m);

}  // namespace crossface

#pragma once

// Every kernel source is compiled several times: once for each CPU instruction set and, where nvcc is
// found, for the device. All code therefore lives in a namespace named by CF_VARIANT. Without it the
// linker would keep one copy of an inline function, perhaps the AVX-512 one, for every caller.

#ifndef CF_VARIANT
#error "CF_VARIANT must name the instruction set or device that this file is compiled for"
#endif

#ifdef __CUDACC__
#define CF_HOST_DEVICE __host__ __device__
#else
#define CF_HOST_DEVICE
#endif

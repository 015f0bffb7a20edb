#include "common/blend_tile.h"

// Grid: tiles, jobs; each job has blend_tiles across times blend_tiles down, and what a grid has more of
// stays idle. Block: kBlendThreads.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void blend_faces(const DeviceFrame* frames, const BlendJob* jobs, const Texel* faces,
                            const Texel* masks, const float* marks, int size, int planes, int* touched) {
    __shared__ BlendTile tile;
    const BlendJob& job = jobs[blockIdx.y];
    const int across = blend_tiles(job.box.x0, job.box.x1), down = blend_tiles(job.box.y0, job.box.y1);
    const int index = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
    if (index >= across * down) return;
    const BlendWork<Texel> work = blend_work(frames, job, faces, masks, marks, size);
    if (thread == 0)
        begin_tile(tile, work.target, job, blend_origin(job.box.x0) + index % across * kBlendTile,
                   blend_origin(job.box.y0) + index / across * kBlendTile, planes);
    __syncthreads();
    if (!__syncthreads_or(weigh_luma(work, tile, thread))) return;
    if (thread == 0) touched[job.item] = 1;
    lay_face(work, tile, thread);
    if (!tile.chroma) return;
    __syncthreads();
    sum_chroma_rows(tile, thread);
    __syncthreads();
    mix_chroma(work, tile, thread);
}

}  // namespace

// Lays the jobs' items of `faces` [items, 3, size, size] over their frames, with weights `masks`
// [items, size, size], and `marks` [items, kMarkSide, kMarkSide] or null. `planes`: see blend_tile.h.
// `touched` [items] becomes 1 where a face has weight.
extern "C" __global__ void __launch_bounds__(kBlendThreads, 2)
    blend_f32(const DeviceFrame* frames, const BlendJob* jobs, const float* faces, const float* masks,
              const float* marks, int size, int planes, int* touched) {
    blend_faces(frames, jobs, faces, masks, marks, size, planes, touched);
}

extern "C" __global__ void __launch_bounds__(kBlendThreads, 2)
    blend_f16(const DeviceFrame* frames, const BlendJob* jobs, const Half* faces, const Half* masks,
              const float* marks, int size, int planes, int* touched) {
    blend_faces(frames, jobs, faces, masks, marks, size, planes, touched);
}

}  // namespace crossface::device

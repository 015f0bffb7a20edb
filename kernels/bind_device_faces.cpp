#include <nanobind/stl/array.h>

#include "bind_device.h"
#include "common/thumbnail_cell.h"
#include "device_arguments.h"
#include "device_faces.h"

namespace nb = nanobind;

namespace crossface {

namespace {

constexpr Dimensions kThumbnailBlock{device::kThumbnailColumns, device::kThumbnailRows, 1};
constexpr Dimensions kAimBlock{device::kAimThreads, 1, 1};
constexpr Dimensions kFollowBlock{device::kFollowThreads, 1, 1};

void thumbnails(const Dimensions& grid, const Dimensions& block, Address frames, Address cells) {
    device::launch_thumbnails(checked(grid, block, kThumbnailBlock), at<const device::DeviceFrame>(frames),
                              at<float>(cells));
}

void aim_crops(const Dimensions& grid, const Dimensions& block, Address frame, Address row_offset,
               Address rule, Address aims, int count, Address crop_frames, Address crops) {
    device::launch_aim_crops(checked(grid, block, kAimBlock), at<const device::DeviceFrame>(frame),
                             at<const double>(row_offset), at<const device::FollowRule>(rule),
                             at<const device::Aim>(aims), count, at<device::DeviceFrame>(crop_frames),
                             at<device::CropJob>(crops));
}

void follow_faces(const Dimensions& grid, const Dimensions& block, Address frame, Address row_offset,
                  Address rule, Address points, Address presences, Address aims, Address found,
                  Address crop_frames, Address crops) {
    device::launch_follow_faces(checked(grid, block, kFollowBlock), at<const device::DeviceFrame>(frame),
                                at<const double>(row_offset), at<const device::FollowRule>(rule),
                                at<const float>(points), at<const float>(presences), at<device::Aim>(aims),
                                at<device::FoundMesh>(found), at<device::DeviceFrame>(crop_frames),
                                at<device::CropJob>(crops));
}

}  // namespace

void bind_device_faces(nb::module_& m) {
    m.attr("THUMBNAIL_BLOCK") = tuple_of(kThumbnailBlock);
    m.attr("AIM_BLOCK") = tuple_of(kAimBlock);
    m.attr("FOLLOW_BLOCK") = tuple_of(kFollowBlock);
    m.attr("MESH_POINTS") = device::kMeshPoints;

    m.def("thumbnails", &thumbnails);
    m.def("aim_crops", &aim_crops);
    m.def("follow_faces", &follow_faces);
}

}  // namespace crossface

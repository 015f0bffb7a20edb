#pragma once

#include <cstddef>

#include "chroma.h"
#include "face_pixel.h"
#include "grain.h"
#include "jobs.h"
#include "mark.h"
#include "plane_sample.h"
#include "variant.h"

// `blend` on the device. A block lays one tile of the face over the frame, in steps with a barrier between
// them: weights, the face's code values (and luma), chroma summed along rows, then down columns. Every
// sample is written by one thread of one tile, so tiles never race. But
//
// * two faces of one frame do where their boxes, grown by kBlendHalo luma samples, overlap: give them to
//   separate launches of one stream, in the order in which they should lie;
// * where highlights fade (Curve), weights come from the source's luma, and those of co-sited chroma reach
//   into the neighbouring tile: blend chroma in one launch, then luma in a second. `blend_launches` tells.
namespace crossface::CF_VARIANT {

constexpr int kBlendTile = 32;      // luma samples along each side of a tile
constexpr int kBlendThreads = 256;  // of a block
constexpr int kBlendHalo = 3;       // luma samples that a chroma sample's weight reaches out of its tile

// Which planes a launch writes. Planes that are not subsampled go with luma.
constexpr int kBlendLuma = 1, kBlendChroma = 2;

CF_HOST_DEVICE inline bool is_subsampled(const Colour& colour) {
    return colour.chroma_shift_x != 0 || colour.chroma_shift_y != 0;
}

// Two where chroma must be blended before luma, else one of both.
CF_HOST_DEVICE inline int blend_launches(const Colour& colour) {
    return colour.transfer != Transfer::kSdr && is_subsampled(colour) ? 2 : 1;
}

// Tiles begin at whole chroma samples, and reach every chroma sample that a sample of the box weighs in.
CF_HOST_DEVICE inline int blend_origin(int box_begin) { return box_begin & ~3; }
CF_HOST_DEVICE inline int blend_tiles(int box_begin, int box_end) {
    return (box_end + kBlendHalo - blend_origin(box_begin) + kBlendTile - 1) / kBlendTile;
}

// The memory that a block shares.
struct BlendTile {
    // Luma positions whose face values the tile's chroma samples see: 17 taps of 4:1 chroma.
    static constexpr int kSeen = kBlendTile - 4 + ChromaFilter::kMaxTaps;
    static constexpr int kWeighed = kBlendTile + kBlendHalo;

    int x, y;  // luma sample in the tile's corner
    bool luma, chroma;
    TileMap map;
    float mark_x, mark_y, mark_step[2][2];  // of the first luma sample's centre in the mark, and for a sample
    ChromaAxis axis_x, axis_y;
    ChromaFilter filter_x, filter_y;
    float weight[kWeighed][kWeighed];        // from kBlendHalo before the corner on
    float code[2][kSeen][kSeen];             // of Cb and Cr, from the filters' first taps on
    float row_weight[kWeighed][kBlendTile];  // both, summed along rows to chroma columns
    float row_code[2][kSeen][kBlendTile];
};

// Everything that the steps below are told.
template <typename Texel>
struct BlendWork {
    const DeviceFrame& target;
    const BlendJob& job;
    const Texel* face;  // [3, size, size]
    const Texel* mask;  // [size, size]
    const float* mark;  // [kMarkSide, kMarkSide], chips; null for none
    int size;
};

template <typename Texel>
CF_HOST_DEVICE inline BlendWork<Texel> blend_work(const DeviceFrame* frames, const BlendJob& job,
                                                  const Texel* faces, const Texel* masks, const float* marks,
                                                  int size) {
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(size) * size * job.item;
    const float* mark =
        marks ? marks + static_cast<std::ptrdiff_t>(kMarkSide) * kMarkSide * job.item : nullptr;
    return {frames[job.frame], job, faces + 3 * pixels, masks + pixels, mark, size};
}

// For one thread. `planes`: kBlendLuma, kBlendChroma or both.
CF_HOST_DEVICE inline void begin_tile(BlendTile& tile, const DeviceFrame& target, const BlendJob& job, int x,
                                      int y, int planes) {
    tile.x = x;
    tile.y = y;
    tile.luma = (planes & kBlendLuma) != 0;
    tile.chroma = (planes & kBlendChroma) != 0 && is_subsampled(target.frame.colour);
    tile.map = tile_map<CatmullRom>(job.luma_to_face, x, y);
    const Point mark = apply(job.luma_to_mark, x + 0.5, y + 0.5);
    tile.mark_x = static_cast<float>(mark.x);
    tile.mark_y = static_cast<float>(mark.y);
    for (int axis = 0; axis < 2; ++axis)
        for (int i = 0; i < 2; ++i) tile.mark_step[axis][i] = static_cast<float>(job.luma_to_mark.m[axis][i]);
    tile.axis_x = chroma_axis_x(target.frame);
    tile.axis_y = chroma_axis_y(target.frame);
    tile.filter_x = chroma_filter(tile.axis_x.shift, tile.axis_x.cosited);
    tile.filter_y = chroma_filter(tile.axis_y.shift, tile.axis_y.cosited);
}

CF_HOST_DEVICE inline bool in_plane(const Plane& plane, int x, int y) {
    return x >= 0 && y >= 0 && x < plane.width && y < plane.height;
}

// The mask, less where the source is a highlight.
template <typename Texel>
CF_HOST_DEVICE inline float luma_weight(const BlendWork<Texel>& work, const BlendTile& tile, int dx, int dy) {
    const Frame& frame = work.target.frame;
    const int x = tile.x + dx, y = tile.y + dy;
    if (!in_plane(frame.planes[0], x, y)) return 0.0f;
    const float weight = mask_weight(work.mask, work.size, locate(tile.map, dx, dy));
    if (!(weight > 0.0f) || !work.target.curve.to_display) return weight;
    float codes[3] = {};
    for (int i = 0; i < (frame.colour.matrix == Matrix::kRgb ? 3 : 1); ++i)
        codes[i] = read_code(frame.planes[i], frame.colour, x, y);
    const float luma = affine_row(work.target.format.luma, codes[0], codes[1], codes[2]);
    return weight * highlight_fade(work.target.curve, luma);
}

// Step 1. True if this thread found weight: a tile without any is done.
template <typename Texel>
CF_HOST_DEVICE inline bool weigh_luma(const BlendWork<Texel>& work, BlendTile& tile, int thread) {
    constexpr int kSide = BlendTile::kWeighed;
    bool any = false;
    for (int i = thread; i < kSide * kSide; i += kBlendThreads) {
        const int column = i % kSide, row = i / kSide;
        // Without chroma nobody asks for the halo, whose luma a neighbour may be writing.
        const bool asked = tile.chroma || (column >= kBlendHalo && row >= kBlendHalo);
        const float weight = asked ? luma_weight(work, tile, column - kBlendHalo, row - kBlendHalo) : 0.0f;
        tile.weight[row][column] = weight;
        any |= weight > 0.0f;
    }
    return any;
}

// In codes of the frame, `dx` and `dy` samples from the tile's corner.
template <typename Texel>
CF_HOST_DEVICE inline float mark_of(const BlendWork<Texel>& work, const BlendTile& tile, int dx, int dy) {
    const float column = static_cast<float>(dx), row = static_cast<float>(dy);
    const float x = tile.mark_x + tile.mark_step[0][0] * column + tile.mark_step[0][1] * row;
    const float y = tile.mark_y + tile.mark_step[1][0] * column + tile.mark_step[1][1] * row;
    return mark_unit(work.target.frame.colour.bits) * mark_at(work.mark, x, y);
}

// Luma, or all of RGB.
CF_HOST_DEVICE inline void brighten(Codes& codes, const Colour& colour, float by) {
    codes.first += by;
    if (colour.matrix != Matrix::kRgb) return;
    codes.second += by;
    codes.third += by;
}

// Step 2. Writes luma, and planes of luma's size.
template <typename Texel>
CF_HOST_DEVICE inline void lay_face(const BlendWork<Texel>& work, BlendTile& tile, int thread) {
    const Frame& frame = work.target.frame;
    const PixelFormat& format = work.target.format;
    const bool chroma = tile.chroma;
    const int first_x = chroma ? tile.filter_x.first : 0, first_y = chroma ? tile.filter_y.first : 0;
    const int columns = chroma ? kBlendTile - (1 << tile.axis_x.shift) + tile.filter_x.taps : kBlendTile;
    const int rows = chroma ? kBlendTile - (1 << tile.axis_y.shift) + tile.filter_y.taps : kBlendTile;
    for (int i = thread; i < columns * rows; i += kBlendThreads) {
        const int column = i % columns, row = i / columns;
        const int dx = column + first_x, dy = row + first_y;
        const bool mine = dx >= 0 && dy >= 0 && dx < kBlendTile && dy < kBlendTile;
        const float weight = mine && tile.luma ? tile.weight[dy + kBlendHalo][dx + kBlendHalo] : 0.0f;
        if (!chroma && !(weight > 0.0f)) continue;
        const Location at = locate(tile.map, dx, dy);
        Codes codes = face_codes(work.target, work.job.colour, work.face, work.size, tile.map, at);
        if (chroma) {
            tile.code[0][row][column] = codes.second;
            tile.code[1][row][column] = codes.third;
        }
        if (!(weight > 0.0f)) continue;
        const int x = tile.x + dx, y = tile.y + dy;
        if (work.job.grain.sigma > 0.0f) {
            const float noise = work.job.grain.sigma * grain_gain(weight) * grain_at(work.job.grain, x, y);
            brighten(codes, frame.colour, noise);
        }
        if (work.mark) brighten(codes, frame.colour, mark_of(work, tile, dx, dy));
        mix_code(frame.planes[0], frame.colour, format, x, y, codes.first, weight);
        if (is_subsampled(frame.colour)) continue;
        mix_code(frame.planes[1], frame.colour, format, x, y, codes.second, weight);
        mix_code(frame.planes[2], frame.colour, format, x, y, codes.third, weight);
    }
}

// Step 3, only for tiles with chroma.
CF_HOST_DEVICE inline void sum_chroma_rows(BlendTile& tile, int thread) {
    const int shift = tile.axis_x.shift, columns = kBlendTile >> shift;
    for (int i = thread; i < BlendTile::kWeighed * columns; i += kBlendThreads) {
        const int column = i % columns, row = i / columns, chroma = (tile.x >> shift) + column;
        const ChromaFootprint footprint = chroma_footprint(tile.axis_x, chroma);
        float sum = 0.0f;
        for (int x = footprint.begin; x < footprint.end; ++x)
            sum += chroma_mask_weight(tile.axis_x, chroma, x) * tile.weight[row][x - tile.x + kBlendHalo];
        tile.row_weight[row][column] = sum;
    }
    const int rows = kBlendTile - (1 << tile.axis_y.shift) + tile.filter_y.taps;
    for (int i = thread; i < rows * columns; i += kBlendThreads) {
        const int column = i % columns, row = i / columns;
        float first = 0.0f, second = 0.0f;
        for (int tap = 0; tap < tile.filter_x.taps; ++tap) {
            const float share = tile.filter_x.weights[tap];
            first += share * tile.code[0][row][(column << shift) + tap];
            second += share * tile.code[1][row][(column << shift) + tap];
        }
        tile.row_code[0][row][column] = first;
        tile.row_code[1][row][column] = second;
    }
}

// Step 4, only for tiles with chroma. Writes it.
template <typename Texel>
CF_HOST_DEVICE inline void mix_chroma(const BlendWork<Texel>& work, const BlendTile& tile, int thread) {
    const Frame& frame = work.target.frame;
    const int shift = tile.axis_y.shift;
    const int columns = kBlendTile >> tile.axis_x.shift, rows = kBlendTile >> shift;
    for (int i = thread; i < columns * rows; i += kBlendThreads) {
        const int column = i % columns, row = i / columns;
        const int x = (tile.x >> tile.axis_x.shift) + column, y = (tile.y >> shift) + row;
        if (!in_plane(frame.planes[1], x, y)) continue;
        const ChromaFootprint footprint = chroma_footprint(tile.axis_y, y);
        float weight = 0.0f;
        for (int luma = footprint.begin; luma < footprint.end; ++luma)
            weight += chroma_mask_weight(tile.axis_y, y, luma) *
                      tile.row_weight[luma - tile.y + kBlendHalo][column];
        if (!(weight > 0.0f)) continue;
        for (int plane = 0; plane < 2; ++plane) {
            float face = 0.0f;
            for (int tap = 0; tap < tile.filter_y.taps; ++tap)
                face += tile.filter_y.weights[tap] * tile.row_code[plane][(row << shift) + tap][column];
            mix_code(frame.planes[1 + plane], frame.colour, work.target.format, x, y, face, weight);
        }
    }
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstddef>
#include <cstdint>

// Plain data shared by the binding, the CPU variants and the device. No code lives here: see variant.h.
namespace crossface {

// Values of ITU-T H.273 MatrixCoefficients.
enum class Matrix : int { kRgb = 0, kBt709 = 1, kBt601 = 6, kBt2020Ncl = 9 };

// Values of ITU-T H.273 TransferCharacteristics. SDR stands for all that a network is shown as it is.
enum class Transfer : int { kSdr = 1, kPq = 16, kHlg = 18 };

// Where chroma samples lie relative to luma. H.273 ChromaLocType plus one, as FFmpeg counts.
enum class Siting : int { kLeft = 1, kCentre = 2, kTopLeft = 3 };

constexpr int kFloatBits = 32;

struct Colour {
    Matrix matrix;
    bool full_range;
    Siting siting;
    int bits;  // 8 to 16, or kFloatBits
    int chroma_shift_x;
    int chroma_shift_y;
    int padding_bits;  // zero bits below a sample in its word (6 for p010)
    Transfer transfer;
};

// Samples are bytes up to 8 bits, native 16-bit words above, and floats for kFloatBits.
struct Plane {
    std::byte* base;
    std::ptrdiff_t pitch_bytes;  // from a row to the next; negative for a picture stored upside down
    std::ptrdiff_t step;         // samples from a column to the next: 2 for the chroma of nv12
    int width;
    int height;
};

struct Frame {
    Plane planes[3];  // Y, Cb, Cr; G, B, R where the matrix is RGB
    Colour colour;
};

// Half open: columns x0..x1-1, rows y0..y1-1.
struct Box {
    int x0, y0, x1, y1;
};

// Maps (x, y) to (m[0][0] x + m[0][1] y + m[0][2], m[1][0] x + m[1][1] y + m[1][2]).
// Coordinates are continuous: sample i covers [i, i + 1).
struct Affine {
    double m[2][3];
};

// Result = scale * luma coordinates; x and y differ where samples are not square.
struct Scale {
    double x, y;
};

// A half plane: inside where nx x + ny y > offset, in pixels if the normal has length 1.
struct Edge {
    float nx, ny, offset;
};

// Noise for a face: white, filtered by [side, centre, side] along both axes. centre^2 + 2 side^2 = 1 keeps
// its deviation. See common/grain.h.
struct Grain {
    float sigma;  // in codes of the frame; 0 for none
    float centre, side;
    std::uint32_t seed;
};

// Of a face: how far `chips` [64, 64] raise the luma of its frame, in codes of 8 bits; see common/mark.h.
struct Mark {
    const float* chips;  // null for none
    Affine luma_to_mark;
};

struct Statistics {
    double mean[3];
    double covariance[3][3];
    double weight;
};

}  // namespace crossface

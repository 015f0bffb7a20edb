#include "curve_tables.h"

#include <cmath>
#include <cstddef>
#include <vector>

// What a network trained on SDR pictures is shown of an HDR signal. Each channel goes through
//
//   signal -> light (BT.2100: the EOTF of PQ; of HLG the inverse OETF and, a channel at a time, the system
//             gamma of 1.2 of a 1000 cd/m2 display)
//          -> x, relative to the diffuse white of 203 cd/m2 (BT.2408)
//          -> display = 0.9 x^(1/2.4) up to white, the gamma of an SDR display (BT.1886), with headroom,
//             and from there on a logarithmic shoulder of the same slope, which ends at 1.2 for 10000 cd/m2.
//
// Near black PQ is so steep that no table holds it: below the signal whose tangent passes through black
// (about 0.1 cd/m2) that tangent is the curve. So the slope (display for signal) stays between 0.4 and 3.6.
//
// long double, so that a last bit in which two C libraries differ does not reach the floats.
namespace crossface {

namespace {

using Real = long double;

constexpr Real kWhite_cd_m2 = 203, kPqPeak_cd_m2 = 10000, kHlgPeak_cd_m2 = 1000;
constexpr Real kGamma = 2.4L, kWhiteDisplay = 0.9L, kPqPeakDisplay = 1.2L;

Real pq_light_cd_m2(Real signal) {
    const Real m1 = 2610.0L / 16384, m2 = 2523.0L / 4096 * 128;
    const Real c1 = 3424.0L / 4096, c2 = 2413.0L / 4096 * 32, c3 = 2392.0L / 4096 * 32;
    const Real root = std::pow(signal, 1 / m2);
    return kPqPeak_cd_m2 * std::pow(root > c1 ? (root - c1) / (c2 - c3 * root) : 0, 1 / m1);
}

Real hlg_light_cd_m2(Real signal) {
    const Real a = 0.17883277L, b = 1 - 4 * a, c = 0.5L - a * std::log(4 * a);
    const Real scene = signal <= 0.5L ? signal * signal / 3 : (std::exp((signal - c) / a) + b) / 12;
    return kHlgPeak_cd_m2 * std::pow(scene, 1.2L);
}

// The shoulder is white + c log(1 + (x - 1) slope / c); c such that it ends where it should.
Real shoulder_constant() {
    const Real slope = kWhiteDisplay / kGamma, rise = kPqPeakDisplay - kWhiteDisplay;
    Real low = 1e-3L, high = 1;
    for (int i = 0; i < 100; ++i) {
        const Real c = (low + high) / 2;
        const bool short_of_it = c * std::log1p((kPqPeak_cd_m2 / kWhite_cd_m2 - 1) * slope / c) < rise;
        (short_of_it ? low : high) = c;
    }
    return low;
}

Real display_of_light(Real light_cd_m2) {
    static const Real c = shoulder_constant();
    const Real x = light_cd_m2 / kWhite_cd_m2;
    if (x <= 1) return kWhiteDisplay * std::pow(x, 1 / kGamma);
    return kWhiteDisplay + c * std::log1p((x - 1) * (kWhiteDisplay / kGamma) / c);
}

template <typename Curve>
Real signal_of_display(Curve display_of, Real display) {
    Real low = 0, high = 1;
    for (int i = 0; i < 80; ++i) {
        const Real middle = (low + high) / 2;
        (display_of(middle) < display ? low : high) = middle;
    }
    return low;
}

// Where the tangent passes through black: there display / signal is least.
template <typename Curve>
Real tangent_signal(Curve display_of) {
    Real low = 1e-4L, high = 0.3L;
    for (int i = 0; i < 200; ++i) {
        const Real a = low + (high - low) / 3, b = high - (high - low) / 3;
        (display_of(a) / a < display_of(b) / b ? high : low) = display_of(a) / a < display_of(b) / b ? b : a;
    }
    return low;
}

template <typename Light>
CurveTables build(Light light_cd_m2) {
    constexpr std::size_t kCells = CurveTables::kCells;
    const auto steep = [&](Real signal) { return display_of_light(light_cd_m2(signal)); };
    const Real toe = tangent_signal(steep), toe_slope = steep(toe) / toe;
    const auto display_of = [&](Real signal) { return signal < toe ? signal * toe_slope : steep(signal); };

    std::vector<Real> displays;
    for (std::size_t i = 0; i <= kCells; ++i) displays.push_back(display_of(static_cast<Real>(i) / kCells));
    const Real peak = displays.back();
    // The inverse of the table rather than of the curve, so that the two undo each other.
    std::vector<Real> signals;
    for (std::size_t i = 0, cell = 0; i <= kCells; ++i) {
        const Real display = peak * static_cast<Real>(i) / kCells;
        while (cell < kCells - 1 && displays[cell + 1] < display) ++cell;
        const Real part = (display - displays[cell]) / (displays[cell + 1] - displays[cell]);
        signals.push_back((static_cast<Real>(cell) + part) / kCells);
    }

    CurveTables tables{};
    tables.peak = static_cast<float>(peak);
    for (std::size_t i = 0; i < kCells; ++i) {
        tables.to_display[i] = static_cast<float>(displays[i]);
        tables.to_display[kCells + i] = static_cast<float>(displays[i + 1] - displays[i]);
        tables.to_signal[i] = static_cast<float>(signals[i]);
        tables.to_signal[kCells + i] = static_cast<float>(signals[i + 1] - signals[i]);
    }
    // Highlights are what the shoulder compresses; beyond 1 no SDR network goes.
    tables.fade_begin = static_cast<float>(signal_of_display(display_of, kWhiteDisplay));
    tables.fade_end = static_cast<float>(signal_of_display(display_of, 1));
    return tables;
}

}  // namespace

const CurveTables* curve_tables(Transfer transfer) {
    if (transfer == Transfer::kPq) {
        static const CurveTables pq = build(pq_light_cd_m2);
        return &pq;
    }
    if (transfer == Transfer::kHlg) {
        static const CurveTables hlg = build(hlg_light_cd_m2);
        return &hlg;
    }
    return nullptr;
}

}  // namespace crossface

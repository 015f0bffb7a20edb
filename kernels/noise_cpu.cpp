#include <cmath>

#include "buffer.h"
#include "common/affine.h"
#include "common/noise.h"
#include "common/noise_rows.h"
#include "common/variant.h"
#include "cpu.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

void noise(const Frame& frame, const Affine& crop_to_luma, int size, const float* skin, double* deviations) {
    const NoiseRows rows = noise_rows(frame.planes[0], crop_to_luma, size);
    Buffer<std::uint32_t> counts(static_cast<std::size_t>(kNoiseSteps * kNoiseBins));
    counts.fill(0);
    with_sample_type(frame.colour.bits, [&](auto sample) {
        for (int number = 0; number < rows.count; ++number)
            for (int group = 0; group < rows.groups; ++group)
                for_each_answer<decltype(sample)>(
                    frame, rows, size, skin, number, group,
                    [&](int step, int bin) { ++counts[static_cast<std::size_t>(step * kNoiseBins + bin)]; });
    });
    for (int step = 0; step < kNoiseSteps; ++step)
        deviations[step] = noise_of(counts.data() + step * kNoiseBins);
}

}  // namespace crossface::CF_VARIANT

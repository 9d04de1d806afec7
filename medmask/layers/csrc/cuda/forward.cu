// The forward kernel.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>

#include "channels.h"
#include "group.h"
#include "launch.h"
#include "samples.h"
#include "staging.h"

namespace medmask {
namespace {

// That a processor shall hold at least; a thread then has 64 registers.
constexpr int kThreadsAtOnce = 1024;

template <typename Samples, typename Division>
__global__ void __launch_bounds__(Division::kThreads, kThreadsAtOnce / Division::kThreads)
    forward_kernel(const Problem<Samples> problem, typename Samples::Value* __restrict__ output,
                   uint32_t stride) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  constexpr int kWidth = Division::kWidth, kLanes = Division::kLanes;
  extern __shared__ Level levels[];
  __shared__ Staging<A, Division> staging;
  load_levels(problem, levels);
  const Group<kLanes> group(problem.sizes, 0);
  const SampleReader<Samples, kLanes> reader(problem, group);
  const int D = problem.sizes.D, count = problem.sizes.L * problem.sizes.P;
  const int first_slot = staging.first_slot();
  for (int first_channel = 0; first_channel < D; first_channel += kBlockChannels) {
    const int d = first_channel + group.lane * kWidth;
    const bool has_channels = Division::has(d, D);
    const T* const rows = problem.value.first(group.n, group.m) + d;
    A sums[kWidth] = {};
    for (int first = 0; first < count; first += kLanes) {
      const int s = first + group.lane;
      __syncwarp();  // the last round's samples have been read
      if (s < count) {
        const Level& level = levels[s];
        const Located<A> at = reader.read(s, level);
        const Sample<A> sample(at.x, at.y, level.width, level.height, level.start);
        staging.write(first_slot + group.lane, sample, at.weight, group.active);
      }
      __syncwarp();
      const int end = min(kLanes, count - first);
#pragma unroll 2
      for (int i = 0; i < end; ++i) {
        const Corners<int32_t> row = staging.row[first_slot + i];
        const Corners<A> weight = staging.weight[first_slot + i];
        Channels<T, kWidth> channels[kCorners];
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          if (has_channels && row.number[c] != kNoRow) {
            channels[c] = Channels<T, kWidth>(find_row(rows, row.number[c], stride));
          }
        }
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
#pragma unroll
          for (int j = 0; j < kWidth; ++j) sums[j] += weight.number[c] * channels[c].number(j);
        }
      }
    }
    if (has_channels && group.active) {
      Channels<T, kWidth>::write(output + group.index(problem.sizes) * D + d, sums);
    }
  }
}

}  // namespace

template <typename Samples>
void launch_forward(const Problem<Samples>& problem, typename Samples::Value* output) {
  using T = typename Samples::Value;
  const int64_t D = problem.sizes.D;
  choose_division<T>(is_aligned(problem.value, D) && is_aligned(output, D), D, [&](auto division) {
    using Division = decltype(division);
    const Launch launch(division, problem.sizes, problem.sizes.N, 0,
                        sizeof(Staging<acc_t<T>, Division>));
    forward_kernel<Samples, Division>
        <<<launch.blocks, launch.threads, launch.shared_bytes, c10::cuda::getCurrentCUDAStream()>>>(
            problem, output, byte_stride(problem.value));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  });
}

#define MEDMASK_INSTANTIATE(T)                                       \
  template void launch_forward(const Problem<GivenSamples<T>>&, T*); \
  template void launch_forward(const Problem<ProjectedSamples<T>>&, T*);
MEDMASK_INSTANTIATE(float)
MEDMASK_INSTANTIATE(double)
MEDMASK_INSTANTIATE(c10::Half)
MEDMASK_INSTANTIATE(c10::BFloat16)

}  // namespace medmask

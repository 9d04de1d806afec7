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

template <typename Samples, int kWidth>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(const Problem<Samples> problem, typename Samples::Value* __restrict__ output,
                   int32_t stride) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  constexpr int kLanes = kLanesOf<kWidth>;
  extern __shared__ Level levels[];
  __shared__ Staging<A, kLanes> staging;
  load_levels(problem, levels);
  const Group<kLanes> group(problem.sizes, 0);
  const SampleReader<Samples, kLanes> reader(problem, group);
  const int D = problem.sizes.D, count = problem.sizes.L * problem.sizes.P;
  const int first_slot = staging.first_slot();
  for (int first_channel = 0; first_channel < D; first_channel += kBlockChannels) {
    const int d = first_channel + group.lane * kWidth;
    const bool has_channels = d < D;
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
        Channels<T, kWidth> channels[kCorners] = {};
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          if (has_channels && row.number[c] != kNoRow) {
            channels[c] = channels[c].read(find_row(rows, row.number[c], stride));
          }
        }
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
#pragma unroll
          for (int j = 0; j < kWidth; ++j) {
            sums[j] += weight.number[c] * static_cast<A>(channels[c].channel[j]);
          }
        }
      }
    }
    if (!has_channels || !group.active) continue;
    Channels<T, kWidth> result;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) result.channel[j] = static_cast<T>(sums[j]);
    result.write(output + group.index * D + d);
  }
}

template <int kWidth, typename Samples>
void launch(const Problem<Samples>& problem, typename Samples::Value* output) {
  using A = acc_t<typename Samples::Value>;
  constexpr int kLanes = kLanesOf<kWidth>;
  const Launch shape(problem.sizes, problem.sizes.N, kLanes, 0, sizeof(Staging<A, kLanes>));
  forward_kernel<Samples, kWidth>
      <<<shape.blocks, shape.threads, shape.shared_bytes, c10::cuda::getCurrentCUDAStream()>>>(
          problem, output, byte_stride(problem.value));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

template <typename Samples>
void launch_forward(const Problem<Samples>& problem, typename Samples::Value* output) {
  using T = typename Samples::Value;
  const int64_t D = problem.sizes.D;
  if constexpr (sizeof(T) < sizeof(double)) {
    if (is_aligned(problem.value, D) && is_aligned(output, D)) {
      return launch<kVector<T>>(problem, output);
    }
  }
  launch<1>(problem, output);
}

#define MEDMASK_INSTANTIATE(T)                                       \
  template void launch_forward(const Problem<GivenSamples<T>>&, T*); \
  template void launch_forward(const Problem<ProjectedSamples<T>>&, T*);
MEDMASK_INSTANTIATE(float)
MEDMASK_INSTANTIATE(double)
MEDMASK_INSTANTIATE(c10::Half)
MEDMASK_INSTANTIATE(c10::BFloat16)

}  // namespace medmask

// The backward kernel. With g the output's gradient of a query and head, and a sample's corners
// weighted by attention times bilinear weights w_c:
//
//   value[row_c]   gets  w_c * g
//   attention      gets  the bilinear interpolation of the corners' <g, value[row_c]>
//   location       gets  the slope of that interpolation, times attention, times the map's size
//
// so that all but the first follow from one scalar a corner, which the group's threads add up. Only
// the gradient of value, which many queries share, needs atomic additions.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>

#include "channels.h"
#include "group.h"
#include "launch.h"
#include "sample_gradients.h"
#include "samples.h"
#include "scatter.h"
#include "staging.h"

namespace medmask {
namespace {

// The corners' <g, value[row_c]> of the staged samples, besides.
template <typename A, int kLanes>
struct BackwardStaging : Staging<A, kLanes> {
  Corners<A> product[Staging<A, kLanes>::kSlots];
};

template <typename Samples, int kWidth, typename Sums>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const Problem<Samples> problem, const ImageRange images,
                    const typename Samples::Value* __restrict__ grad_output, const Sums sums,
                    const typename Samples::Gradients gradients, int32_t stride,
                    int32_t grad_stride) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  constexpr int kLanes = kLanesOf<kWidth>;
  extern __shared__ Level levels[];
  __shared__ BackwardStaging<A, kLanes> staging;
  load_levels(problem, levels);
  const Group<kLanes> group(problem.sizes, images.first);
  const SampleReader<Samples, kLanes> reader(problem, group);
  const int D = problem.sizes.D, count = problem.sizes.L * problem.sizes.P;
  GradientWriter<Samples, kLanes> writer(problem, gradients, group,
                                         reinterpret_cast<A*>(levels + count));
  const T* const rows = problem.value.first(group.n, group.m);
  auto* const grad_rows = sums.rows.first(group.n - images.first, group.m);
  const T* const g = grad_output + group.index * D;
  const int first_slot = staging.first_slot();
  for (int first = 0; first < count; first += kLanes) {
    // Each thread locates one sample of its own and, in the end, writes that sample's gradients.
    const int s = first + group.lane, own_slot = first_slot + group.lane;
    const bool has_sample = s < count;
    const Level level = levels[has_sample ? s : 0];
    const Located<A> at = reader.read(has_sample ? s : 0, level);
    const Sample<A> sample(at.x, at.y, level.width, level.height, level.start);
    __syncwarp();  // the last round's samples have been read
    staging.write(own_slot, sample, at.weight, group.active);
    __syncwarp();
    const int end = min(kLanes, count - first);
    for (int first_channel = 0; first_channel < D; first_channel += kBlockChannels) {
      const int d = first_channel + group.lane * kWidth;
      const bool has_channels = d < D;
      const Contribution<T, kWidth, Sums> contribution(g, sums, first_channel, D, group.lane);
      Channels<T, kWidth> g_channels = {};
      if (has_channels) g_channels = g_channels.read(g + d);
      for (int i = 0; i < end; ++i) {
        const Corners<int32_t> row = staging.row[first_slot + i];
        const Corners<A> weight = staging.weight[first_slot + i];
        Channels<T, kWidth> channels[kCorners] = {};
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          if (has_channels && row.number[c] != kNoRow) {
            channels[c] = channels[c].read(find_row(rows + d, row.number[c], stride));
          }
        }
        A products[kCorners] = {};
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          if (row.number[c] != kNoRow) {
            contribution.add_to(find_row(grad_rows, row.number[c], grad_stride), weight.number[c]);
          }
#pragma unroll
          for (int j = 0; j < kWidth; ++j) {
            products[c] +=
                static_cast<A>(g_channels.channel[j]) * static_cast<A>(channels[c].channel[j]);
          }
        }
        const A product = sum_four_over_group<kLanes>(products, group.lane);
        if (group.lane < kCorners) {
          A& total = staging.product[first_slot + i].number[group.lane];
          total = first_channel == 0 ? product : total + product;
        }
      }
    }
    __syncwarp();
    if (has_sample && group.active) {
      const Corners<A> product = staging.product[own_slot];
      const Interpolation<A> by(sample.fraction_x, sample.fraction_y, product.number[0],
                                product.number[1], product.number[2], product.number[3]);
      const A slope = sample.inside ? at.weight : 0;
      writer.write(s, at, {by.value, slope * by.slope_x, slope * by.slope_y});
    }
  }
  writer.finish(problem, reader, group, levels);
}

template <int kWidth, typename Samples, typename Sums>
void launch(const Problem<Samples>& problem, const ImageRange& images,
            const typename Samples::Value* grad_output, const Sums& sums,
            const typename Samples::Gradients& gradients) {
  using A = acc_t<typename Samples::Value>;
  constexpr int kLanes = kLanesOf<kWidth>;
  const int64_t kept_bytes = GradientWriter<Samples, kLanes>::num_kept(gradients) * sizeof(A);
  const Launch shape(problem.sizes, images.count, kLanes, kept_bytes,
                     sizeof(BackwardStaging<A, kLanes>));
  backward_kernel<Samples, kWidth>
      <<<shape.blocks, shape.threads, shape.shared_bytes, c10::cuda::getCurrentCUDAStream()>>>(
          problem, images, grad_output, sums, gradients, byte_stride(problem.value),
          byte_stride(sums.rows));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

template <typename Samples, typename Sums>
void launch_backward(const Problem<Samples>& problem, const ImageRange& images,
                     const typename Samples::Value* grad_output, const Sums& sums,
                     const typename Samples::Gradients& gradients) {
  using T = typename Samples::Value;
  const int64_t D = problem.sizes.D;
  if constexpr (sizeof(T) < sizeof(double)) {
    if (is_aligned(problem.value, D) && is_aligned(grad_output, D) && is_aligned(sums.rows, D)) {
      return launch<kVector<T>>(problem, images, grad_output, sums, gradients);
    }
  }
  launch<1>(problem, images, grad_output, sums, gradients);
}

#define MEDMASK_INSTANTIATE(Samples, T, Sums)                                            \
  template void launch_backward(const Problem<Samples<T>>&, const ImageRange&, const T*, \
                                const Sums<acc_t<T>>&, const typename Samples<T>::Gradients&);
#define MEDMASK_INSTANTIATE_ALL(T)                       \
  MEDMASK_INSTANTIATE(GivenSamples, T, FloatingSums)     \
  MEDMASK_INSTANTIATE(GivenSamples, T, FixedPointSums)   \
  MEDMASK_INSTANTIATE(ProjectedSamples, T, FloatingSums) \
  MEDMASK_INSTANTIATE(ProjectedSamples, T, FixedPointSums)
MEDMASK_INSTANTIATE_ALL(float)
MEDMASK_INSTANTIATE_ALL(double)
MEDMASK_INSTANTIATE_ALL(c10::Half)
MEDMASK_INSTANTIATE_ALL(c10::BFloat16)

}  // namespace medmask

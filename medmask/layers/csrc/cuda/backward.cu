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

// That a processor shall hold at least. A thread then has 80 registers; or 96 for eight channels of
// half precision; or 128 where it must check that it has channels.
template <typename Division>
constexpr int kThreadsAtOnce = !Division::kWhole       ? 512
                               : Division::kWidth == 8 ? 640
                                                       : 768;

// What a sample's own thread needs in the end; it does not wait in registers.
template <typename A>
struct alignas(16) Own {
  A fraction_x, fraction_y, scale_x, scale_y;
};

template <typename A, typename Division>
struct BackwardStaging : Staging<A, Division> {
  Corners<A> product[Staging<A, Division>::kSlots];  // <g, value[row_c]>
  Own<A> own[Staging<A, Division>::kSlots];
};

template <typename Samples, typename Division, typename Sums>
__global__ void __launch_bounds__(Division::kThreads, kThreadsAtOnce<Division> / Division::kThreads)
    backward_kernel(const Problem<Samples> problem, const ImageRange images,
                    const typename Samples::Value* __restrict__ grad_output, const Sums sums,
                    const typename Samples::Gradients gradients, uint32_t stride,
                    uint32_t grad_stride) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  constexpr int kWidth = Division::kWidth, kLanes = Division::kLanes;
  extern __shared__ Level levels[];
  __shared__ BackwardStaging<A, Division> staging;
  load_levels(problem, levels);
  const Group<kLanes> group(problem.sizes, images.first);
  const SampleReader<Samples, kLanes> reader(problem, group);
  const int D = problem.sizes.D, count = problem.sizes.L * problem.sizes.P;
  GradientWriter<Samples, kLanes> writer(problem, gradients, group,
                                         reinterpret_cast<A*>(levels + count));
  const T* const rows = problem.value.first(group.n, group.m);
  auto* const grad_rows = sums.rows.first(group.n - images.first, group.m);
  const T* const g = grad_output + group.index(problem.sizes) * D;
  const int first_slot = staging.first_slot();
  for (int first = 0; first < count; first += kLanes) {
    // Each thread locates one sample of its own and, in the end, writes that sample's gradients.
    const int s = first + group.lane, own_slot = first_slot + group.lane;
    A slope = 0;   // attention weight of a sample inside the map
    __syncwarp();  // the last round's samples have been read
    if (s < count) {
      const Level level = levels[s];
      const Located<A> at = reader.read(s, level);
      const Sample<A> sample(at.x, at.y, level.width, level.height, level.start);
      staging.write(own_slot, sample, at.weight, group.active);
      staging.own[own_slot] = {sample.fraction_x, sample.fraction_y, at.scale_x, at.scale_y};
      if (sample.inside) slope = at.weight;
    }
    __syncwarp();
    const int end = min(kLanes, count - first);
    for (int first_channel = 0; first_channel < D; first_channel += kBlockChannels) {
      const int d = first_channel + group.lane * kWidth;
      const bool has_channels = Division::has(d, D);
      const Contribution<T, Division, Sums> contribution(g, sums, grad_rows, grad_stride,
                                                         first_channel, D, group.lane);
      Channels<T, kWidth> g_channels;
      if (has_channels) g_channels = Channels<T, kWidth>(g + d);
      for (int i = 0; i < end; ++i) {
        const Corners<int32_t> row = staging.row[first_slot + i];
        const Corners<A> weight = staging.weight[first_slot + i];
        Channels<T, kWidth> channels[kCorners];
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          if (has_channels && row.number[c] != kNoRow) {
            channels[c] = Channels<T, kWidth>(find_row(rows + d, row.number[c], stride));
          }
        }
        A products[kCorners] = {};
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          if (row.number[c] != kNoRow) contribution.add(row.number[c], weight.number[c]);
#pragma unroll
          for (int j = 0; j < kWidth; ++j) {
            products[c] += g_channels.number(j) * channels[c].number(j);
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
    if (s < count && group.active) {
      const Own<A> own = staging.own[own_slot];
      const Corners<A> product = staging.product[own_slot];
      const Interpolation<A> by(own.fraction_x, own.fraction_y, product.number[0],
                                product.number[1], product.number[2], product.number[3]);
      const A by_x = slope * by.slope_x, by_y = slope * by.slope_y;
      writer.write(s, {by.value, by_x, by_y, own.scale_x * by_x, own.scale_y * by_y});
    }
  }
  writer.finish(problem, reader, group, levels);
}

}  // namespace

template <typename Samples, typename Sums>
void launch_backward(const Problem<Samples>& problem, const ImageRange& images,
                     const typename Samples::Value* grad_output, const Sums& sums,
                     const typename Samples::Gradients& gradients) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  const int64_t D = problem.sizes.D;
  const bool aligned =
      is_aligned(problem.value, D) && is_aligned(grad_output, D) && is_aligned(sums.rows, D);
  choose_division<T>(aligned, D, [&](auto division) {
    using Division = decltype(division);
    const int64_t kept_bytes =
        GradientWriter<Samples, Division::kLanes>::num_kept(gradients) * sizeof(A);
    const Launch launch(division, problem.sizes, images.count, kept_bytes,
                        sizeof(BackwardStaging<A, Division>));
    backward_kernel<Samples, Division>
        <<<launch.blocks, launch.threads, launch.shared_bytes, c10::cuda::getCurrentCUDAStream()>>>(
            problem, images, grad_output, sums, gradients, byte_stride(problem.value),
            byte_stride(sums.rows));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  });
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

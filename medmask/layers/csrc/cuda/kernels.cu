// One group of neighbouring threads, a power of two up to a warp, computes the channels of one
// query and head; a thread has a few neighbouring channels, read and written in one access of 16
// bytes where the layout allows. Each thread of a group locates the samples anew: that is some
// thirty operations, and to share their results would take eight shuffles, which a GPU does at a
// lower rate.
//
// The group adds up its threads' parts of the location and attention gradients by warp shuffles, so
// that only the value's gradient, which many queries share, needs atomic additions.
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>

#include "../sample.h"
#include "kernels.h"

namespace medmask {
namespace {

constexpr int kThreads = 256;  // in a block
constexpr int kWarp = 32;
constexpr int64_t kMaxBlocks = 1 << 30;

// kWidth neighbouring channels, at a multiple of their size.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T channel[kWidth];
};

struct Level {
  int32_t height, width, start;
};

// Copies the level table to shared memory. A table that reaches beyond the tokens stops the program
// here: the host cannot see it without waiting for the device.
template <typename T>
__device__ Level* load_levels(const Problem<T>& problem) {
  extern __shared__ Level levels[];
  for (int l = threadIdx.x; l < problem.sizes.L; l += blockDim.x) {
    const int64_t h = problem.spatial_shapes[2 * l], w = problem.spatial_shapes[2 * l + 1];
    const int64_t start = problem.level_start_index[l], S = problem.sizes.S;
    CUDA_KERNEL_ASSERT(h > 0 && w > 0 && start >= 0 && start <= S && h <= (S - start) / w &&
                       "ms_deform_attn: a level of spatial_shapes and level_start_index is not "
                       "within value's tokens");
    levels[l] = {static_cast<int32_t>(h), static_cast<int32_t>(w), static_cast<int32_t>(start)};
  }
  __syncthreads();
  return levels;
}

// A thread's place: the query and head that its group works on, and its position in the group.
struct Place {
  int64_t n, m;
  int64_t index;  // of (n, q, m)
  int lane;
  bool active;  // false in the last groups of the grid, which have no work

  __device__ Place(const Sizes& sizes, int group) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    lane = threadIdx.x % group;
    index = thread / group;
    active = index < sizes.N * sizes.Q * sizes.M;
    if (!active) index = 0;
    m = index % sizes.M;
    n = index / sizes.M / sizes.Q;
  }
};

template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(const Problem<T> problem, T* __restrict__ output, int group) {
  using A = acc_t<T>;
  using Channels = Pack<T, kWidth>;
  const Level* const levels = load_levels(problem);
  const Sizes& sizes = problem.sizes;
  const Place place(sizes, group);
  if (!place.active) return;
  const int64_t first_sample = place.index * sizes.L * sizes.P;
  const A* const __restrict__ locations = problem.locations + first_sample * 2;
  const A* const __restrict__ weights = problem.weights + first_sample;
  for (int64_t d = place.lane * kWidth; d < sizes.D; d += group * kWidth) {
    const T* const rows = problem.value.first(place.n, place.m) + d;
    A sums[kWidth] = {};
    for (int64_t l = 0, s = 0; l < sizes.L; ++l) {
      const Level level = levels[l];
      for (int64_t p = 0; p < sizes.P; ++p, ++s) {
        const Sample<A> sample(locations[2 * s], locations[2 * s + 1], level.width, level.height,
                               level.start);
        const A a = weights[s];
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          Channels row = {};
          if (sample.row[c] != kNoRow) {
            row = *reinterpret_cast<const Channels*>(rows + sample.row[c] * problem.value.token);
          }
          const A w = a * sample.weight(c);
#pragma unroll
          for (int i = 0; i < kWidth; ++i) sums[i] += w * static_cast<A>(row.channel[i]);
        }
      }
    }
    Channels result;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) result.channel[i] = static_cast<T>(sums[i]);
    *reinterpret_cast<Channels*>(output + place.index * sizes.D + d) = result;
  }
}

// Adds to neighbouring numbers at a multiple of their size.
template <typename A, int kWidth>
__device__ void atomic_add(A* to, const Pack<A, kWidth>& terms) {
#pragma unroll
  for (int i = 0; i < kWidth; ++i) atomicAdd(to + i, terms.channel[i]);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
__device__ void atomic_add(float* to, const Pack<float, 4>& terms) {
  atomicAdd(reinterpret_cast<float4*>(to),
            make_float4(terms.channel[0], terms.channel[1], terms.channel[2], terms.channel[3]));
}
#endif

// The sum of the numbers of a group's threads, for each of them.
template <typename A>
__device__ A group_sum(A number, int group) {
  for (int distance = group / 2; distance > 0; distance /= 2) {
    number += __shfl_xor_sync(0xffffffff, number, distance);
  }
  return number;
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const Problem<T> problem, const Gradients<T> gradients, int group) {
  using A = acc_t<T>;
  using Channels = Pack<T, kWidth>;
  const Level* const levels = load_levels(problem);
  const Sizes& sizes = problem.sizes;
  const Place place(sizes, group);
  const int64_t first_sample = place.index * sizes.L * sizes.P;
  const T* const rows = problem.value.first(place.n, place.m);
  A* const grad_rows = gradients.value.first(place.n, place.m);
  const T* const __restrict__ grad_output = gradients.output + place.index * sizes.D;
  // Threads without work stay, with no channels, for the shuffles.
  const int64_t channels = place.active ? sizes.D : 0;
  for (int64_t l = 0, s = first_sample; l < sizes.L; ++l) {
    const Level level = levels[l];
    for (int64_t p = 0; p < sizes.P; ++p, ++s) {
      const Sample<A> sample(problem.locations[2 * s], problem.locations[2 * s + 1], level.width,
                             level.height, level.start);
      const A a = problem.weights[s];
      A products[kCorners] = {};  // of the output's gradient and the corner's row
      for (int64_t d = place.lane * kWidth; d < channels; d += group * kWidth) {
        const Channels g = *reinterpret_cast<const Channels*>(grad_output + d);
#pragma unroll
        for (int c = 0; c < kCorners; ++c) {
          if (sample.row[c] == kNoRow) continue;
          const Channels row =
              *reinterpret_cast<const Channels*>(rows + sample.row[c] * problem.value.token + d);
          const A w = a * sample.weight(c);
          Pack<A, kWidth> terms;
#pragma unroll
          for (int i = 0; i < kWidth; ++i) {
            const A g_i = static_cast<A>(g.channel[i]);
            products[c] += g_i * static_cast<A>(row.channel[i]);
            terms.channel[i] = w * g_i;
          }
          atomic_add(grad_rows + sample.row[c] * gradients.value.token + d, terms);
        }
      }
      const Interpolation<A> grad(sample.fraction_x, sample.fraction_y, products[0], products[1],
                                  products[2], products[3]);
      const A by_weight = group_sum(grad.value, group);
      const A by_x = group_sum(grad.slope_x, group), by_y = group_sum(grad.slope_y, group);
      if (place.active && place.lane == 0) {
        const A slope = sample.inside ? a : 0;
        gradients.weights[s] = by_weight;
        gradients.locations[2 * s] = slope * level.width * by_x;
        gradients.locations[2 * s + 1] = slope * level.height * by_y;
      }
    }
  }
}

// Whether all rows start at a multiple of `width` elements and have such a length.
template <typename T>
bool is_aligned(const Rows<T>& rows, int64_t channels, int64_t width) {
  return reinterpret_cast<uintptr_t>(rows.data) % (width * sizeof(T)) == 0 &&
         channels % width == 0 && rows.image % width == 0 && rows.head % width == 0 &&
         rows.token % width == 0;
}

template <typename T>
bool is_aligned(const T* data, int64_t channels, int64_t width) {
  return is_aligned(Rows<const T>{data, channels, channels, channels}, channels, width);
}

struct Launch {
  unsigned int blocks;
  int group;
  size_t shared_bytes;

  // For threads that take `width` channels each.
  Launch(const Sizes& sizes, int64_t width) : group(1), shared_bytes(sizes.L * sizeof(Level)) {
    while (group < kWarp && group * width < sizes.D) group *= 2;
    const int64_t threads = sizes.N * sizes.Q * sizes.M * group;
    const int64_t needed = (threads + kThreads - 1) / kThreads;
    TORCH_CHECK_VALUE(needed <= kMaxBlocks, "ms_deform_attn: too many queries for one call, ",
                      sizes.N * sizes.Q);
    TORCH_CHECK_VALUE(shared_bytes <= 48 << 10, "ms_deform_attn: too many levels, ", sizes.L);
    blocks = static_cast<unsigned int>(needed);
  }
};

template <typename T>
constexpr int kVector = 16 / sizeof(T);  // channels in 16 bytes

// Whether the current device adds four floats in one atomic operation. Elsewhere neighbouring
// threads must add to neighbouring channels for their operations to share a transaction.
bool adds_vectors() {
  int major = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                                        c10::cuda::current_device()));
  return major >= 9;
}

template <typename T, int kWidth>
void launch_forward_of_width(const Problem<T>& problem, T* output) {
  const Launch launch(problem.sizes, kWidth);
  forward_kernel<T, kWidth>
      <<<launch.blocks, kThreads, launch.shared_bytes, c10::cuda::getCurrentCUDAStream()>>>(
          problem, output, launch.group);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename T, int kWidth>
void launch_backward_of_width(const Problem<T>& problem, const Gradients<T>& gradients) {
  const Launch launch(problem.sizes, kWidth);
  backward_kernel<T, kWidth>
      <<<launch.blocks, kThreads, launch.shared_bytes, c10::cuda::getCurrentCUDAStream()>>>(
          problem, gradients, launch.group);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

template <typename T>
void launch_forward(const Problem<T>& problem, T* output) {
  const int64_t D = problem.sizes.D;
  if (is_aligned(problem.value, D, kVector<T>) && is_aligned(output, D, kVector<T>)) {
    launch_forward_of_width<T, kVector<T>>(problem, output);
  } else {
    launch_forward_of_width<T, 1>(problem, output);
  }
}

template <typename T>
void launch_backward(const Problem<T>& problem, const Gradients<T>& gradients) {
  constexpr int kSums = kVector<acc_t<T>>;  // 16 bytes of value's gradient
  const int64_t D = problem.sizes.D;
  if (adds_vectors() && is_aligned(problem.value, D, kSums) &&
      is_aligned(gradients.output, D, kSums) && is_aligned(gradients.value, D, kSums)) {
    launch_backward_of_width<T, kSums>(problem, gradients);
  } else {
    launch_backward_of_width<T, 1>(problem, gradients);
  }
}

#define MEDMASK_INSTANTIATE(T)                         \
  template void launch_forward(const Problem<T>&, T*); \
  template void launch_backward(const Problem<T>&, const Gradients<T>&);
MEDMASK_INSTANTIATE(float)
MEDMASK_INSTANTIATE(double)
MEDMASK_INSTANTIATE(c10::Half)
MEDMASK_INSTANTIATE(c10::BFloat16)

}  // namespace medmask

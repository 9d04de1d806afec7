// How the threads share the work. A group of kLanes neighboring threads, which belong to one warp,
// computes one query and head, kBlockChannels channels at a time. A block of threads takes
// neighboring queries of one head: many of these read the same rows of value, which stay in the
// first cache.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels.h"

namespace medmask {

constexpr int kBlockChannels = 32;

// How a group divides kBlockChannels channels: each thread takes kWidth neighboring ones. All
// threads have channels if there are a multiple of kBlockChannels, kWhole.
template <int kWidth_, bool kWhole_>
struct Division {
  static constexpr bool kWhole = kWhole_;
  static constexpr int kWidth = kWidth_, kLanes = kBlockChannels / kWidth;
  static constexpr int kQueries = std::min(32, 256 / kLanes);  // of a block of threads
  static constexpr int kThreads = kQueries * kLanes;

  static __device__ bool has(int channel, int64_t num_channels) {
    return kWhole || channel < num_channels;
  }
};

// A sample's level, and its first token.
struct alignas(16) Level {
  int32_t height, width, start, index;
};

// Fills a table with the level of each of a head's samples. A level that reaches beyond the tokens
// stops the program here: the host cannot see it without waiting for the device.
template <typename Samples>
__device__ void load_levels(const Problem<Samples>& problem, Level* levels) {
  const int count = static_cast<int>(problem.sizes.L * problem.sizes.P);
  for (int s = threadIdx.x; s < count; s += blockDim.x) {
    const int l = s / static_cast<int>(problem.sizes.P);
    const int64_t h = problem.spatial_shapes[2 * l], w = problem.spatial_shapes[2 * l + 1];
    const int64_t start = problem.level_start_index[l], S = problem.sizes.S;
    CUDA_KERNEL_ASSERT(h > 0 && w > 0 && start >= 0 && start <= S && h <= (S - start) / w &&
                       "ms_deform_attn: a level of spatial_shapes and level_start_index is not "
                       "within value's tokens");
    levels[s] = {static_cast<int32_t>(h), static_cast<int32_t>(w), static_cast<int32_t>(start), l};
  }
  __syncthreads();
}

// A thread's group: what it works on.
template <int kLanes>
struct Group {
  int n, m, q;
  int lane;     // the thread's position in the group
  bool active;  // false in the last groups of a head, which repeat the last query's reads

  __device__ Group(const Sizes& sizes, int64_t first_image) {
    const unsigned int M = sizes.M, queries = blockDim.x / kLanes;
    const unsigned int tiles = (sizes.Q + queries - 1) / queries, tile = blockIdx.x / M;
    m = blockIdx.x % M;
    n = first_image + tile / tiles;
    q = tile % tiles * queries + threadIdx.x / kLanes;
    active = q < sizes.Q;
    if (!active) q = sizes.Q - 1;
    lane = threadIdx.x % kLanes;
  }

  // Its index among all triples (n, q, m).
  __device__ int64_t index(const Sizes& sizes) const { return (n * sizes.Q + q) * sizes.M + m; }
};

// The sum of the numbers of a group's threads, for each of them.
template <int kLanes, typename A>
__device__ A sum_over_group(A number) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    number += __shfl_xor_sync(0xffffffff, number, distance);
  }
  return number;
}

template <int kLanes, typename A>
__device__ A largest_of_group(A number) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    const A other = __shfl_xor_sync(0xffffffff, number, distance);
    number = other > number ? other : number;
  }
  return number;
}

// Adds up four numbers over a group: thread i gets the sum of number i % 4. Each exchange but the
// last ones halves what a thread still has to add, so that there are fewer than for four sums.
template <int kLanes, typename A>
__device__ A sum_four_over_group(const A (&numbers)[4], int lane) {
  static_assert(kLanes >= 4);
  const bool second_half = lane & 2, odd = lane & 1;
  A even_sum = second_half ? numbers[2] : numbers[0];
  A odd_sum = second_half ? numbers[3] : numbers[1];
  even_sum += __shfl_xor_sync(0xffffffff, second_half ? numbers[0] : numbers[2], 2);
  odd_sum += __shfl_xor_sync(0xffffffff, second_half ? numbers[1] : numbers[3], 2);
  A sum = odd ? odd_sum : even_sum;
  sum += __shfl_xor_sync(0xffffffff, odd ? even_sum : odd_sum, 1);
#pragma unroll
  for (int distance = 4; distance < kLanes; distance *= 2) {
    sum += __shfl_xor_sync(0xffffffff, sum, distance);
  }
  return sum;
}

}  // namespace medmask

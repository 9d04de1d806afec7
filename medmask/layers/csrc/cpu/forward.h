// The forward kernel: for a query and head, the weighted sum of rows, kept in registers for a block
// of channels at a time.
#pragma once

#include "plan.h"

namespace medmask {

// The sum for kVectors * kLanes channels.
template <int kVectors, typename T>
MEDMASK_INLINE void sum_block(const Plan<acc_t<T>>& plan, const T* rows, int64_t token_stride,
                              const T* zeros, T* output) {
  using A = acc_t<T>;
  const int32_t* const row = plan.row.get();
  const A* const weight = plan.weight.get();
  Vector<A> sums[2][kVectors] = {};  // two, for shorter chains of dependent additions
  for (int64_t s = 0; s < plan.count; ++s) {
#pragma GCC unroll 4
    for (int64_t c = 0; c < kCorners; ++c) {
      const T* const from = find_row(rows, token_stride, row[c * plan.count + s], zeros);
      const A w = weight[c * plan.count + s];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[c % 2][v] += w * load(from + v * kLanes);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) store(output + v * kLanes, sums[0][v] + sums[1][v]);
}

// The sum for the few channels that fill no vector.
template <typename T>
MEDMASK_INLINE void sum_rest(const Plan<acc_t<T>>& plan, const T* rows, int64_t token_stride,
                             int64_t channels, const T* zeros, T* output) {
  using A = acc_t<T>;
  A sums[kLanes] = {};
  for (int64_t i = 0; i < kCorners * plan.count; ++i) {
    const T* const from = find_row(rows, token_stride, plan.row.get()[i], zeros);
    for (int64_t d = 0; d < channels; ++d) sums[d] += plan.weight.get()[i] * A(from[d]);
  }
  for (int64_t d = 0; d < channels; ++d) output[d] = static_cast<T>(sums[d]);
}

template <typename T>
MEDMASK_INLINE void forward_share_here(const Problem<T>& problem, T* output, int64_t begin,
                                       int64_t end) {
  const auto [N, S, M, D, Q, L, P] = problem.sizes;
  const int64_t stride = problem.value.token;
  const Buffer<T> zeros(4 * kLanes);
  Plan<acc_t<T>> plan(problem.spatial_shapes, problem.level_start_index, 0, L, P);
  const int64_t ahead = kQueriesAhead * M * L * P;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t q = i % Q, m = i / Q % M, n = i / Q / M;
    const int64_t place = (n * Q + q) * M + m;
    const acc_t<T>* const locations = problem.locations + place * L * P * 2;
    const acc_t<T>* const weights = problem.weights + place * L * P;
    plan.fetch(locations + ahead * 2, weights + ahead);
    plan.make(locations, weights);
    const T* const rows = problem.value.first(n, m);
    T* const to = output + place * D;
    int64_t d = 0;
    for (; d + 4 * kLanes <= D; d += 4 * kLanes) {
      sum_block<4>(plan, rows + d, stride, zeros.get(), to + d);
    }
    for (; d + kLanes <= D; d += kLanes) {
      sum_block<1>(plan, rows + d, stride, zeros.get(), to + d);
    }
    if (d < D) sum_rest(plan, rows + d, stride, D - d, zeros.get(), to + d);
  }
}

}  // namespace medmask

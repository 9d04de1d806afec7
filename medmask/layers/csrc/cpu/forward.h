// The forward kernel: for a query and head, the weighted sum of rows, kept in registers for a block
// of channels at a time.
#pragma once

#include "plan.h"

namespace medmask {

constexpr int64_t kBlock = 32;  // channels that are kept in registers at most

// The sum for kVectors times as many channels as kLanes hold.
template <int kLanes, int kVectors, typename T>
MEDMASK_INLINE void sum_block(const Plan<acc_t<T>>& plan, const T* rows, T* output) {
  using C = Channels<T, kLanes>;
  const int64_t* const row = plan.row.get();
  const acc_t<T>* const weight = plan.weight.get();
  C sums[2][kVectors] = {};  // two, for shorter chains of dependent additions
  for (int64_t s = 0; s < plan.count; ++s) {
#pragma GCC unroll 8
    for (int64_t c = 0; c < kCorners; ++c) {
      const T* const from = find_row(rows, row[c * plan.count + s]);
      const acc_t<T> w = weight[c * plan.count + s];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const C channels = C::read(from + v * C::kChannels);
#pragma GCC unroll 2
        for (int i = 0; i < C::kParts; ++i) sums[c % 2][v].part[i] += w * channels.part[i];
      }
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
    for (int i = 0; i < C::kParts; ++i) sums[0][v].part[i] += sums[1][v].part[i];
    C::write(output + v * C::kChannels, sums[0][v]);
  }
}

// The sum for the few channels that fill no vector.
template <typename T>
MEDMASK_INLINE void sum_rest(const Plan<acc_t<T>>& plan, const T* rows, int64_t channels,
                             T* output) {
  using A = acc_t<T>;
  A sums[kBlock] = {};
  for (int64_t i = 0; i < kCorners * plan.count; ++i) {
    const T* const from = find_row(rows, plan.row.get()[i]);
    for (int64_t d = 0; d < channels; ++d) sums[d] += plan.weight.get()[i] * A(from[d]);
  }
  for (int64_t d = 0; d < channels; ++d) output[d] = static_cast<T>(sums[d]);
}

template <int kLanes, typename Samples>
MEDMASK_INLINE void forward_share_here(const Problem<Samples>& problem,
                                       typename Samples::Value* output, int64_t begin,
                                       int64_t end) {
  using T = typename Samples::Value;
  constexpr int kNarrow = std::min(kLanes, kEight);
  const auto [N, S, M, D, Q, L, P] = problem.sizes;
  const Buffer<T> zeros(D);
  Plan<acc_t<T>> plan(problem, 0, L);
  for (int64_t i = begin; i < end; ++i) {
    const Place place{i / Q / M, i % Q, i / Q % M};
    const T* const rows = problem.value.first(place.n, place.m);
    T* const to = output + place.index(problem.sizes) * D;
    fetch_samples(problem, place.index(problem.sizes));
    prefetch<kToWrite>(to + kQueriesAhead * M * D, D);
    plan.read(problem, place);
    plan.template make<false>(problem.value.token * sizeof(T), distance(rows, zeros.get()));
    int64_t d = 0;
    for (; d + kBlock <= D; d += kBlock) {
      sum_block<kLanes, kBlock / Channels<T, kLanes>::kChannels>(plan, rows + d, to + d);
    }
    for (; d + 2 * kEight <= D; d += 2 * kEight) {
      sum_block<kNarrow, 2 * kEight / Channels<T, kNarrow>::kChannels>(plan, rows + d, to + d);
    }
    if (d < D) sum_rest(plan, rows + d, D - d, to + d);
  }
}

}  // namespace medmask

// The forward kernel: for a query and head, the weighted sum of rows, kept in registers for a block
// of channels at a time.
#pragma once

#include <algorithm>
#include <vector>

#include "plan.h"

namespace medmask {

constexpr int64_t kBlock = 32;         // channels that are kept in registers at most
constexpr int64_t kQueriesAtOnce = 4;  // that are planned before their rows are read

// Lanes of the vectors for sixteen channels.
template <typename T, int kLanes>
constexpr int kNarrow = std::min(kLanes, kSixteen / Channels<T, kLanes>::kParts);

// The sum for kVectors times as many channels as kLanes hold.
template <int kLanes, int kVectors, typename Samples, typename T = typename Samples::Value>
MEDMASK_INLINE void sum_block(const Plan<Samples>& plan, const T* rows, T* output) {
  using C = Channels<T, kLanes>;
  constexpr int kChains = kVectors == 1 ? 4 : 2;  // several, for short ones of dependent additions
  const int64_t* const row = plan.row.get();
  const acc_t<T>* const weight = plan.weight.get();
  C sums[kChains][kVectors] = {};
  for (int64_t s = 0; s < plan.count; ++s) {
#pragma GCC unroll 8
    for (int64_t c = 0; c < kCorners; ++c) {
      const T* const from = find_row(rows, row[c * plan.stride + s]);
      const acc_t<T> w = weight[c * plan.stride + s];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const C channels = C::read(from + v * C::kChannels);
#pragma GCC unroll 2
        for (int i = 0; i < C::kParts; ++i) sums[c % kChains][v].part[i] += w * channels.part[i];
      }
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
    for (int i = 0; i < C::kParts; ++i) {
#pragma GCC unroll 4
      for (int chain = 1; chain < kChains; ++chain) sums[0][v].part[i] += sums[chain][v].part[i];
    }
    C::write(output + v * C::kChannels, sums[0][v]);
  }
}

// The sum for the few channels that fill no vector.
template <typename Samples, typename T = typename Samples::Value>
MEDMASK_INLINE void sum_rest(const Plan<Samples>& plan, const T* rows, int64_t channels,
                             T* output) {
  using A = acc_t<T>;
  A sums[kBlock] = {};
  for (int64_t s = 0; s < plan.count; ++s) {
    for (int64_t i = s; i < kCorners * plan.stride; i += plan.stride) {
      const T* const from = find_row(rows, plan.row.get()[i]);
      for (int64_t d = 0; d < channels; ++d) sums[d] += plan.weight.get()[i] * A(from[d]);
    }
  }
  for (int64_t d = 0; d < channels; ++d) output[d] = static_cast<T>(sums[d]);
}

template <int kLanes, typename Samples>
MEDMASK_INLINE void forward_share_here(const Problem<Samples>& problem,
                                       typename Samples::Value* output, int64_t begin,
                                       int64_t end) {
  using T = typename Samples::Value;
  constexpr int kFew = kNarrow<T, kLanes>;
  const auto [N, S, M, D, Q, L, P] = problem.sizes;
  const Buffer<T> zeros(D);
  std::vector<Plan<Samples>> plans;
  plans.reserve(kQueriesAtOnce);
  for (int i = 0; i < kQueriesAtOnce; ++i) plans.emplace_back(problem, 0, L);
  for (int64_t i = begin, next; i < end; i = next) {
    const int64_t n = i / Q / M, q = i % Q, m = i / Q % M;
    next = std::min({end, i + kQueriesAtOnce, i + Q - q});
    const int64_t queries = next - i;
    const T* const rows = problem.value.first(n, m);
    for (int64_t b = 0; b < queries; ++b) {
      const Place place{n, q + b, m};
      const int64_t index = place.index(problem.sizes);
      fetch_samples(problem, index);
      prefetch<kToWrite>(output + (index + kQueriesAhead * M) * D, D);
      plans[b].read(problem, place);
    }
    for (int64_t b = 0; b < queries; ++b) {
      plans[b].template make<false>(problem, {n, q + b, m}, problem.value.token * sizeof(T),
                                    distance(rows, zeros.get()));
    }
    for (int64_t b = 0; b < queries; ++b) {
      T* const to = output + Place{n, q + b, m}.index(problem.sizes) * D;
      int64_t d = 0;
      for (; d + kBlock <= D; d += kBlock) {
        sum_block<kLanes, kBlock / Channels<T, kLanes>::kChannels>(plans[b], rows + d, to + d);
      }
      for (; d + kSixteen <= D; d += kSixteen) {
        sum_block<kFew, kSixteen / Channels<T, kFew>::kChannels>(plans[b], rows + d, to + d);
      }
      if (d < D) sum_rest(plans[b], rows + d, D - d, to + d);
    }
  }
}

}  // namespace medmask

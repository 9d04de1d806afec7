// Where a group's threads leave what each has found out about one sample for all of them to read:
// a sample is located once, not once a thread.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../sample.h"
#include "group.h"

namespace medmask {

// One number a corner, written and read in one access, or two for doubles.
template <typename A>
struct alignas(16) Corners {
  A number[kCorners];
};

// For as many samples as a group has threads. The slot that is left free after each group keeps
// groups that read the same sample of theirs off each other's banks.
template <typename A, typename Division>
struct Staging {
  static constexpr int kLanes = Division::kLanes;
  static constexpr int kSlots = Division::kThreads / kLanes * (kLanes + 1);

  Corners<int32_t> row[kSlots];
  Corners<A> weight[kSlots];  // bilinear times attention weight

  static __device__ int first_slot() { return threadIdx.x / kLanes * (kLanes + 1); }

  // Without rows for a group that is not active: its threads stay for the shuffles.
  //
  // Weights of corners outside the map are kept: times zero, they let an attention weight that is
  // not finite show in the output, as it does everywhere else.
  __device__ void write(int slot, const Sample<A>& sample, A attention, bool active) {
    Corners<int32_t> rows;
    Corners<A> weights;
#pragma unroll
    for (int c = 0; c < kCorners; ++c) {
      rows.number[c] = active ? sample.row[c] : kNoRow;
      weights.number[c] = attention * sample.weight(c);
    }
    row[slot] = rows;
    weight[slot] = weights;
  }
};

}  // namespace medmask

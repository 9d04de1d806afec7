// How a thread adds its channels of a contribution, weight * gradient of the output, to the
// gradient of value; other threads add to the same numbers.
//
// It adds them in units of neighboring channels. The units of neighboring threads lie side by
// side, whichever channels a thread reads at once, so that they fill a memory transaction.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "channels.h"
#include "group.h"

namespace medmask {

// Floats that the device adds in one operation.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
constexpr int kFloatsPerUnit = 4;
__device__ inline void add_unit(float* to, const float (&gradient)[4], float weight) {
  atomicAdd(reinterpret_cast<float4*>(to), make_float4(weight * gradient[0], weight * gradient[1],
                                                       weight * gradient[2], weight * gradient[3]));
}
#else
constexpr int kFloatsPerUnit = 1;
#endif

template <typename A>
__device__ void add_unit(A* to, const A (&gradient)[1], A weight) {
  atomicAdd(to, weight * gradient[0]);
}

// Negative numbers wrap around and back: two's complement.
template <typename A>
__device__ void add_unit(int64_t* to, const A (&gradient)[1], A weight) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to),
            static_cast<unsigned long long>(llrint(weight * gradient[0])));
}

// The channels in a unit, of threads that read kWidth channels at once.
template <typename Sums, int kWidth>
constexpr int kUnit = 1;
template <int kWidth>
constexpr int kUnit<FloatingSums<float>, kWidth> =
    kWidth % kFloatsPerUnit == 0 ? kFloatsPerUnit : 1;

template <typename A>
__device__ A scale_of(const FloatingSums<A>&) {
  return 1;
}
template <typename A>
__device__ A scale_of(const FixedPointSums<A>& sums) {
  return static_cast<A>(__ldg(sums.scale));
}

// A thread's share of the gradient of the output, of kBlockChannels channels from `first_channel`.
template <typename T, typename Division, typename Sums>
class Contribution {
 public:
  using A = acc_t<T>;
  using Number = std::remove_pointer_t<decltype(Sums::rows.data)>;

  // `rows` are those of an image and head; they lie `stride` bytes apart.
  __device__ Contribution(const T* grad_output, const Sums& sums, Number* rows, uint32_t stride,
                          int first_channel, int num_channels, int lane)
      : stride_(stride), channel_(first_channel + lane * kWidth), num_channels_(num_channels) {
    rows_ = rows + channel_;
    const A scale = scale_of(sums);
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      Channels<T, kWidth> unit;
      if (has(u)) unit = Channels<T, kWidth>(grad_output + channel_ + u * kStep);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) gradient_[u][i] = unit.number(i) * scale;
    }
  }

  __device__ void add(uint32_t row, A weight) const {
    Number* const to = find_row(rows_, row, stride_);
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      if (has(u)) add_unit(to + u * kStep, gradient_[u], weight);
    }
  }

 private:
  static constexpr int kWidth = kUnit<Sums, Division::kWidth>, kUnits = Division::kWidth / kWidth;
  static constexpr int kStep = Division::kLanes * kWidth;  // from a thread's unit to its next

  __device__ bool has(int unit) const {
    return Division::has(channel_ + unit * kStep, num_channels_);
  }

  Number* rows_;
  const uint32_t stride_;
  const int channel_, num_channels_;
  A gradient_[kUnits][kWidth];
};

}  // namespace medmask

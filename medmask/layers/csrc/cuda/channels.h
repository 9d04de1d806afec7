// Neighboring channels of a row, read and written in one access.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../problem.h"

namespace medmask {

template <typename To, typename From>
__device__ To same_bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// kWidth neighboring channels; in memory they lie at a multiple of their size.
//
// They are kept as they were read: as single numbers of 16 bits, each would take a register.
template <typename T, int kWidth>
class Channels {
 public:
  using A = acc_t<T>;

  __device__ Channels() : parts_{} {}  // zeros

  // Reads what nothing writes to during the kernel: such reads may move ahead of atomic additions.
  __device__ explicit Channels(const T* from) {
    const Access access = __ldg(reinterpret_cast<const Access*>(from));
    if constexpr (kBytes == 2) {
      parts_[0] = access;
    } else {
      std::memcpy(parts_, &access, kBytes);
    }
  }

  __device__ A number(int i) const {
    if constexpr (std::is_same_v<T, c10::BFloat16>) {  // the upper half of a float
      const uint32_t pair = parts_[i / 2];
      return same_bits<float>(i % 2 == 0 ? pair << 16 : pair & 0xffff0000u);
    } else if constexpr (std::is_same_v<T, c10::Half>) {
      const auto bits = static_cast<uint16_t>(parts_[i / 2] >> i % 2 * 16);
      return c10::Half(bits, c10::Half::from_bits());
    } else if constexpr (std::is_same_v<T, double>) {
      return same_bits<double>(parts_);
    } else {
      return same_bits<T>(parts_[i]);
    }
  }

  static __device__ void write(T* to, const A (&numbers)[kWidth]) {
    alignas(kBytes) T rounded[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) rounded[i] = static_cast<T>(numbers[i]);
    *reinterpret_cast<Access*>(to) = same_bits<Access>(rounded);
  }

 private:
  static constexpr int kBytes = sizeof(T) * kWidth;
  static_assert(sizeof(T) < sizeof(double) || kWidth == 1);
  using Access = std::conditional_t<
      kBytes == 2, uint16_t,
      std::conditional_t<kBytes == 4, uint32_t, std::conditional_t<kBytes == 8, uint2, uint4>>>;

  uint32_t parts_[(kBytes + 3) / 4];
};

// The row `row` of rows that lie `stride` bytes apart: one multiplication of numbers of 32 bits.
template <typename T>
__device__ T* find_row(T* rows, uint32_t row, uint32_t stride) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(rows) + uint64_t(row) * stride);
}

}  // namespace medmask

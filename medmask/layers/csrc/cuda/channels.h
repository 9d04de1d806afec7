// Neighbouring channels of a row, read and written in one access.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace medmask {

template <int kBytes>
using Word = std::conditional_t<
    kBytes == 2, unsigned short,
    std::conditional_t<kBytes == 4, unsigned int, std::conditional_t<kBytes == 8, uint2, uint4>>>;

// kWidth neighbouring channels; in memory they lie at a multiple of their size.
template <typename T, int kWidth>
struct Channels {
  T channel[kWidth];

  using Access = Word<sizeof(T) * kWidth>;

  // Reads what nothing writes to during the kernel: such reads may move ahead of atomic additions.
  static __device__ Channels read(const T* from) {
    const Access word = __ldg(reinterpret_cast<const Access*>(from));
    Channels channels;
    std::memcpy(&channels, &word, sizeof(channels));
    return channels;
  }

  __device__ void write(T* to) const {
    Access word;
    std::memcpy(&word, this, sizeof(word));
    *reinterpret_cast<Access*>(to) = word;
  }
};

// The row `row` of rows that lie `stride` bytes apart.
template <typename T>
__device__ T* find_row(T* rows, int32_t row, int32_t stride) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(rows) + int64_t(row) * stride);
}

}  // namespace medmask

// How many threads a kernel gets, and in which form it may read.
#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>
#include <limits>

#include "group.h"

namespace medmask {

constexpr int kFewestThreads = 64;
constexpr int64_t kSharedBytes = 48 << 10;  // that every device gives a block

// Channels of 16 bytes. Doubles, which nobody is in a hurry for, are read one by one.
template <typename T>
constexpr int kVector = sizeof(T) < sizeof(double) ? 16 / sizeof(T) : 1;

// Calls `run` with how groups divide the channels; 16 bytes a thread want aligned rows.
template <typename T, typename Run>
void choose_division(bool is_aligned, int64_t num_channels, const Run& run) {
  if (is_aligned && num_channels % kBlockChannels == 0) {
    run(Division<kVector<T>, true>{});
  } else if (is_aligned) {
    run(Division<kVector<T>, false>{});
  } else {
    run(Division<1, false>{});
  }
}

// Whether all rows start at a multiple of kVector elements and have such a length.
template <typename T>
bool is_aligned(const Rows<T>& rows, int64_t channels) {
  constexpr int width = kVector<std::remove_const_t<T>>;
  return reinterpret_cast<uintptr_t>(rows.data) % (width * sizeof(T)) == 0 &&
         channels % width == 0 && rows.image % width == 0 && rows.head % width == 0 &&
         rows.token % width == 0;
}

template <typename T>
bool is_aligned(const T* data, int64_t channels) {
  return is_aligned(Rows<const T>{data, channels, channels, channels}, channels);
}

// The distance of rows in bytes.
template <typename T>
uint32_t byte_stride(const Rows<T>& rows) {
  const int64_t stride = rows.token * static_cast<int64_t>(sizeof(T));
  TORCH_CHECK_VALUE(stride <= std::numeric_limits<uint32_t>::max(),
                    "ms_deform_attn: value's rows are too far apart, ", stride, " bytes");
  return static_cast<uint32_t>(stride);
}

struct Launch {
  unsigned int blocks;
  int threads;
  int64_t shared_bytes;  // that the kernel does not declare itself

  // For a kernel that declares `static_bytes` of shared memory and keeps `kept_bytes` a sample.
  template <typename Division>
  Launch(Division, const Sizes& sizes, int64_t images, int64_t kept_bytes, int64_t static_bytes)
      : threads(2 * Division::kThreads) {
    constexpr int kLanes = Division::kLanes;
    const int64_t samples = sizes.L * sizes.P, rounds = (samples + kLanes - 1) / kLanes;
    int64_t needed;
    do {  // smaller blocks, until there are enough for all processors
      threads /= 2;
      const int64_t queries = threads / kLanes;
      needed = images * sizes.M * ((sizes.Q + queries - 1) / queries);
      shared_bytes = samples * static_cast<int64_t>(sizeof(Level)) + rounds * threads * kept_bytes;
    } while (threads > kFewestThreads &&
             (needed < 4 * num_processors() || static_bytes + shared_bytes > kSharedBytes));
    TORCH_CHECK_VALUE(static_bytes + shared_bytes <= kSharedBytes,
                      "ms_deform_attn: too many samples a query and head, ", samples);
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    TORCH_CHECK_VALUE(needed <= kMost && sizes.Q <= kMost,
                      "ms_deform_attn: too many queries for one call, ", sizes.N * sizes.Q);
    blocks = static_cast<unsigned int>(needed);
  }

 private:
  static int num_processors() {
    int number = 0;
    C10_CUDA_CHECK(cudaDeviceGetAttribute(&number, cudaDevAttrMultiProcessorCount,
                                          c10::cuda::current_device()));
    return number;
  }
};

}  // namespace medmask

// Eight numbers at a time, by the vector extensions of GCC and Clang: they compile for any machine
// and become AVX2 instructions within functions that are compiled for AVX2.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#define MEDMASK_INLINE static inline __attribute__((always_inline))

namespace medmask {

constexpr int64_t kLanes = 8;
constexpr int64_t kLine = 64;  // bytes in a cache line

template <typename A>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kLanes * sizeof(float))));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kLanes * sizeof(double))));
};
template <typename A>
using Vector = typename VectorOf<A>::type;

typedef uint16_t HalfWords __attribute__((vector_size(kLanes * sizeof(uint16_t))));
typedef uint32_t Words __attribute__((vector_size(kLanes * sizeof(uint32_t))));

template <typename A>
MEDMASK_INLINE Vector<A> load(const A* from) {
  Vector<A> vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <typename A>
MEDMASK_INLINE void store(A* to, const Vector<A>& vector) {
  std::memcpy(to, &vector, sizeof(vector));
}

// A bfloat16 is the upper half of a float32.
MEDMASK_INLINE Vector<float> load(const c10::BFloat16* from) {
  HalfWords upper;
  std::memcpy(&upper, from, sizeof(upper));
  return (Vector<float>)(__builtin_convertvector(upper, Words) << 16);
}

// Rounds to the nearest bfloat16, ties to even.
MEDMASK_INLINE void store(c10::BFloat16* to, const Vector<float>& vector) {
  const Words bits = (Words)vector;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words is_nan = (Words)(vector != vector);
  const HalfWords upper =
      __builtin_convertvector((rounded & ~is_nan) | (is_nan & 0x7fc0), HalfWords);
  std::memcpy(to, &upper, sizeof(upper));
}

#if defined(__clang__) || __GNUC__ >= 12
#define MEDMASK_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t Lanes32 __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef int64_t Lanes64 __attribute__((vector_size(kLanes * sizeof(int64_t))));
MEDMASK_INLINE Vector<float> shuffle(Vector<float> a, Vector<float> b, Lanes32 lanes) {
  return __builtin_shuffle(a, b, lanes);
}
MEDMASK_INLINE Vector<double> shuffle(Vector<double> a, Vector<double> b, Lanes64 lanes) {
  return __builtin_shuffle(a, b, lanes);
}
#define MEDMASK_SHUFFLE(a, b, ...) shuffle(a, b, {__VA_ARGS__})
#endif

// Sums of neighbouring lanes, within each half: a's in the lower two places, b's in the upper two.
template <typename V>
MEDMASK_INLINE V sum_pairs(const V& a, const V& b) {
  return MEDMASK_SHUFFLE(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         MEDMASK_SHUFFLE(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}

// Turns eight vectors into the vector of their sums.
template <typename A>
MEDMASK_INLINE Vector<A> sum_each(const A* from) {
  Vector<A> quads[2];
  for (int half = 0; half < 2; ++half, from += 4 * kLanes) {
    quads[half] = sum_pairs(sum_pairs(load(from), load(from + kLanes)),
                            sum_pairs(load(from + 2 * kLanes), load(from + 3 * kLanes)));
  }
  return MEDMASK_SHUFFLE(quads[0], quads[1], 0, 1, 2, 3, 8, 9, 10, 11) +
         MEDMASK_SHUFFLE(quads[0], quads[1], 4, 5, 6, 7, 12, 13, 14, 15);
}

// Asks for `count` numbers to be brought near, ahead of their use. Any address is allowed.
template <typename T>
MEDMASK_INLINE void prefetch(const T* from, int64_t count) {
  const char* const begin = reinterpret_cast<const char*>(from);
  for (int64_t i = 0; i < count * int64_t(sizeof(T)); i += kLine) __builtin_prefetch(begin + i);
}

// A zeroed array that starts on a cache line, so that no vector crosses one.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count) {
    const int64_t lines = count * int64_t(sizeof(T)) / kLine + 1;
    data_.reset(static_cast<T*>(std::aligned_alloc(kLine, lines * kLine)));
    if (!data_) throw std::bad_alloc();
    std::memset(static_cast<void*>(data_.get()), 0, lines * kLine);
  }
  T* get() { return data_.get(); }
  const T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
};

}  // namespace medmask

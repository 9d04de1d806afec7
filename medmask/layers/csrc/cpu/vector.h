// Several numbers at a time, by the vector extensions of GCC and Clang: they compile for any
// machine and become AVX2 or AVX-512 instructions within functions that are compiled for these.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#include "../problem.h"

#define MEDMASK_MEMBER_INLINE inline __attribute__((always_inline))
#define MEDMASK_INLINE static MEDMASK_MEMBER_INLINE

namespace medmask {

constexpr int kEight = 8;           // numbers in a vector where nothing speaks for more
constexpr int kSixteen = 16;        // numbers that fill vectors of any machine
constexpr int64_t kLine = 64;       // bytes in a cache line
constexpr int64_t kNarrowest = 16;  // bytes in the narrowest vector of any machine

// A count, raised until it fills vectors of any machine: loops over so many leave no remainder,
// which would go number by number.
constexpr int64_t padded(int64_t count) { return (count + kSixteen - 1) & -int64_t(kSixteen); }

template <typename A, int kLanes>
struct VectorOf {
  typedef A type __attribute__((vector_size(kLanes * sizeof(A))));
};
template <typename A, int kLanes = kEight>
using Vector = typename VectorOf<A, kLanes>::type;

template <int kLanes = kEight, typename A>
MEDMASK_INLINE Vector<A, kLanes> load(const A* from) {
  Vector<A, kLanes> vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <typename A, typename V>
MEDMASK_INLINE void store(A* to, const V& vector) {
  std::memcpy(to, &vector, sizeof(vector));
}

// Numbers rounded to the nearest bfloat16, ties to even, in the upper half of each word.
template <typename Words, typename Numbers>
MEDMASK_INLINE Words round_to_upper_half(const Numbers& numbers) {
  Words bits;
  std::memcpy(&bits, &numbers, sizeof(bits));
  const Words rounded = bits + 0x7fff + ((bits >> 16) & 1), not_a_number = Words{} + 0x7fc00000u;
  return numbers != numbers ? not_a_number : rounded;
}

// A number rounded to T, without the branch of c10's conversion.
template <typename T>
MEDMASK_INLINE T round_to(acc_t<T> number) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    return {static_cast<uint16_t>(round_to_upper_half<uint32_t>(number) >> 16), T::from_bits()};
  } else {
    return number;
  }
}

// The registers that hold neighboring channels of a row: kChannels of them, in kParts vectors.
template <typename T, int kWidth>
struct Channels {
  using V = Vector<T, kWidth>;
  static constexpr int kLanes = kWidth, kParts = 1, kChannels = kParts * kLanes;
  V part[kParts];

  MEDMASK_INLINE Channels read(const T* from) { return {{load<kLanes>(from)}}; }
  MEDMASK_INLINE void write(T* to, const Channels& channels) { store(to, channels.part[0]); }
};

// A bfloat16 is the upper half of a float32, so a word of two is, but for a shift or a mask, the
// float32 of either: channels of even places go to the first part, those of odd places to the
// other.
template <int kWidth>
struct Channels<c10::BFloat16, kWidth> {
  using V = Vector<float, kWidth>;
  using Words = Vector<uint32_t, kWidth>;
  static constexpr int kLanes = kWidth, kParts = 2, kChannels = kParts * kLanes;
  V part[kParts];

  MEDMASK_INLINE Channels read(const c10::BFloat16* from) {
    Words words;
    std::memcpy(&words, from, sizeof(words));
    return {{(V)(words << 16), (V)(words & 0xffff0000u)}};
  }
  MEDMASK_INLINE void write(c10::BFloat16* to, const Channels& channels) {
    const Words words = (round_to_upper_half<Words>(channels.part[0]) >> 16) |
                        (round_to_upper_half<Words>(channels.part[1]) & 0xffff0000u);
    std::memcpy(to, &words, sizeof(words));
  }
};

// Two numbers that lie side by side, a word of them if they are bfloat16, as above.
template <typename T>
struct Pair {
  acc_t<T> x, y;

  MEDMASK_INLINE Pair read(const T* from) { return {acc_t<T>(from[0]), acc_t<T>(from[1])}; }
  MEDMASK_INLINE void write(T* to, acc_t<T> x, acc_t<T> y) {
    to[0] = static_cast<T>(x);
    to[1] = static_cast<T>(y);
  }
};
template <>
struct Pair<c10::BFloat16> {
  float x, y;

  MEDMASK_INLINE Pair read(const c10::BFloat16* from) {
    uint32_t word;
    std::memcpy(&word, from, sizeof(word));
    const uint32_t words[] = {word << 16, word & 0xffff0000u};
    Pair pair;
    std::memcpy(&pair.x, &words[0], sizeof(pair.x));
    std::memcpy(&pair.y, &words[1], sizeof(pair.y));
    return pair;
  }
  MEDMASK_INLINE void write(c10::BFloat16* to, float x, float y) {
    const uint32_t word =
        (round_to_upper_half<uint32_t>(x) >> 16) | (round_to_upper_half<uint32_t>(y) & 0xffff0000u);
    std::memcpy(to, &word, sizeof(word));
  }
};

// The lanes in a vector of eight with the same sum: halves are added, or zeros put behind.
template <typename A>
MEDMASK_INLINE Vector<A> fold(const Vector<A, kEight / 2>& vector) {
  Vector<A> folded = {};
  std::memcpy(&folded, &vector, sizeof(vector));
  return folded;
}
template <typename A>
MEDMASK_INLINE Vector<A> fold(const Vector<A, kEight>& vector) {
  return vector;
}
template <typename A>
MEDMASK_INLINE Vector<A> fold(const Vector<A, kSixteen>& vector) {
  Vector<A> halves[2];
  std::memcpy(halves, &vector, sizeof(vector));
  return halves[0] + halves[1];
}

// The sum of all lanes.
template <typename A>
MEDMASK_INLINE A sum(const Vector<A, kSixteen>& vector) {
  Vector<A, kEight / 2> halves[2];
  const Vector<A> eight = fold<A>(vector);
  std::memcpy(halves, &eight, sizeof(eight));
  const Vector<A, kEight / 2> four = halves[0] + halves[1];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

#if defined(__clang__) || __GNUC__ >= 12
#define MEDMASK_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
MEDMASK_INLINE Vector<float> shuffle(Vector<float> a, Vector<float> b, Vector<int32_t> lanes) {
  return __builtin_shuffle(a, b, lanes);
}
MEDMASK_INLINE Vector<double> shuffle(Vector<double> a, Vector<double> b, Vector<int64_t> lanes) {
  return __builtin_shuffle(a, b, lanes);
}
#define MEDMASK_SHUFFLE(a, b, ...) shuffle(a, b, {__VA_ARGS__})
#endif

// Sums of neighboring lanes, within each half: a's in the lower two places, b's in the upper two.
template <typename V>
MEDMASK_INLINE V sum_pairs(const V& a, const V& b) {
  return MEDMASK_SHUFFLE(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         MEDMASK_SHUFFLE(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}

// Turns eight vectors of eight into the vector of their sums.
template <typename A>
MEDMASK_INLINE Vector<A> sum_each(const A* from) {
  Vector<A> quads[2];
  for (int half = 0; half < 2; ++half, from += 4 * kEight) {
    quads[half] = sum_pairs(sum_pairs(load(from), load(from + kEight)),
                            sum_pairs(load(from + 2 * kEight), load(from + 3 * kEight)));
  }
  return MEDMASK_SHUFFLE(quads[0], quads[1], 0, 1, 2, 3, 8, 9, 10, 11) +
         MEDMASK_SHUFFLE(quads[0], quads[1], 4, 5, 6, 7, 12, 13, 14, 15);
}

// Asks for `count` numbers to be brought near, ahead of their use. Any address is allowed.
enum Access { kToRead, kToWrite };
template <Access kAccess, typename T>
MEDMASK_INLINE void prefetch(const T* from, int64_t count) {
  const char* const begin = reinterpret_cast<const char*>(from);
  for (int64_t i = 0; i < count * int64_t(sizeof(T)); i += kLine) {
    __builtin_prefetch(begin + i, kAccess == kToWrite);
  }
}

// Writes one number `count` times, and more of them behind until the last vector is full.
template <typename A>
MEDMASK_INLINE void splat(A number, int64_t count, A* to) {
  for (int64_t i = 0; i < count; i += kEight) store(to + i, Vector<A>{} + number);
}

// Copies a few numbers, without the call that std::memcpy is for a count known only when it runs.
template <typename T>
MEDMASK_INLINE void copy(const T* __restrict from, int64_t count, T* __restrict to) {
  constexpr int64_t kPiece = kNarrowest / sizeof(T);
  int64_t i = 0;
  for (; i + kPiece <= count; i += kPiece) std::memcpy(to + i, from + i, kPiece * sizeof(T));
  for (; i < count; ++i) to[i] = from[i];
}

// Finds `count` numbers from the `first` of `total` where `whole`, the same in whole vectors, can
// be read. What lies behind them, more of the same array, does no harm; the last of the array are
// copied to `spare`.
template <typename T, typename A>
MEDMASK_INLINE const T* whole_vectors(const T* numbers, int64_t first, int64_t count, int64_t whole,
                                      int64_t total, A* spare) {
  if (first + whole <= total) return numbers + first;
  std::memcpy(spare, numbers + first, count * sizeof(T));
  return reinterpret_cast<const T*>(spare);
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

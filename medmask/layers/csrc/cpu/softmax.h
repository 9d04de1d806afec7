// The softmax of a few numbers and its gradient: loops without branches or remainders that the
// compiler vectorizes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "vector.h"

namespace medmask {

// exp(x) of x <= 0, to the last two bits. As wide as its loop: the library's would be called for
// one number at a time.
MEDMASK_INLINE float exp_of_negative(float x) {
  constexpr float kLeast = -87;       // below it, exp(x) is no normal number: taken as 0
  constexpr float kRound = 12582912;  // 1.5 * 2^23: adding it rounds to a whole number
  const float clamped = x < kLeast ? kLeast : x;
  const float rounded = clamped * 1.44269504f + kRound, power = rounded - kRound;
  const float rest = (clamped - power * 0.693359375f) + power * 2.12194440e-4f;
  // The remainder of the series on [-ln(2) / 2, ln(2) / 2], fitted (Cephes' expf).
  float series = 1.9875691500e-4f;
  series = series * rest + 1.3981999507e-3f;
  series = series * rest + 8.3334519073e-3f;
  series = series * rest + 4.1665795894e-2f;
  series = series * rest + 1.6666665459e-1f;
  series = series * rest + 5.0000001201e-1f;
  series = series * rest * rest + rest + 1;
  int32_t bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  bits = static_cast<int32_t>((static_cast<uint32_t>(bits) + 127u) << 23);  // the power of two
  float scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return x < kLeast ? 0 : series * scale;
}
MEDMASK_INLINE double exp_of_negative(double x) { return std::exp(x); }

// The softmax of a certain count of numbers. All arrays have numbers behind these, of any value,
// that fill the last vector; behind weights and gradients they are written too.
template <typename A>
class Softmax {
 public:
  explicit Softmax(int64_t count) : n_(padded(count)), counts_(n_) {
    std::fill_n(counts_.get(), count, 1);
  }

  template <typename T>
  MEDMASK_MEMBER_INLINE void weights(const T* __restrict logits, A* __restrict weights) const {
    constexpr A kLowest = -std::numeric_limits<A>::infinity();
    const int32_t* __restrict counts = counts_.get();
    A largest = kLowest;
#pragma omp simd reduction(max : largest)
    for (int64_t s = 0; s < n_; ++s) {
      const A logit = A(logits[s]);  // read in any case: conditional reads make branches
      weights[s] = counts[s] ? logit : kLowest;
      largest = weights[s] > largest ? weights[s] : largest;
    }
    Vector<A, kSixteen> sums = {};  // a reduction would end in a chain of sixteen additions
    for (int64_t s = 0; s < n_; s += kSixteen) {
#pragma omp simd
      for (int64_t i = s; i < s + kSixteen; ++i) weights[i] = exp_of_negative(weights[i] - largest);
      sums += load<kSixteen>(weights + s);
    }
    const A scale = 1 / sum<A>(sums);
#pragma omp simd
    for (int64_t s = 0; s < n_; ++s) weights[s] *= scale;
  }

  // The gradients of logits, from the weights and their gradients: weight * (gradient - sum of
  // weight * gradient).
  template <typename T>
  MEDMASK_MEMBER_INLINE void gradients(const A* __restrict weights,
                                       const A* __restrict weight_gradients,
                                       T* __restrict gradients) const {
    const int32_t* __restrict counts = counts_.get();
    Vector<A, kSixteen> sums = {};
    for (int64_t s = 0; s < n_; s += kSixteen) {
      A products[kSixteen];
#pragma omp simd
      for (int64_t i = 0; i < kSixteen; ++i) {
        const A product = weights[s + i] * weight_gradients[s + i];
        products[i] = counts[s + i] ? product : 0;
      }
      sums += load<kSixteen>(products);
    }
    const A mean = sum<A>(sums);
#pragma omp simd
    for (int64_t s = 0; s < n_; ++s) {
      gradients[s] = round_to<T>(weights[s] * (weight_gradients[s] - mean));
    }
  }

 private:
  const int64_t n_;
  Buffer<int32_t> counts_;  // 1 where a number counts, 0 where it only fills the vector
};

}  // namespace medmask

// Where the samples of one query and head read, and with what weights: computed for all of them at
// once, before any row is read, by loops without branches that the compiler vectorises.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "../problem.h"
#include "../sample.h"
#include "vector.h"

namespace medmask {

constexpr int64_t kQueriesAhead = 4;  // that are fetched before they are needed

// A query and a head of an image.
struct Place {
  int64_t n, q, m;

  // Its index among all triples (n, q, m).
  int64_t index(const Sizes& sizes) const { return (n * sizes.Q + q) * sizes.M + m; }
};

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

// The first sample of the query that is fetched while triple `index` is worked on.
MEDMASK_INLINE int64_t first_sample_ahead(const Sizes& sizes, int64_t index) {
  return (index + kQueriesAhead * sizes.M) * sizes.L * sizes.P;
}

// The softmax of `count` logits.
template <typename A, typename T>
MEDMASK_INLINE void softmax(const T* __restrict logits, int64_t count, A* __restrict weights) {
  A largest = -std::numeric_limits<A>::infinity(), sum = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t s = 0; s < count; ++s) {
    weights[s] = A(logits[s]);
    largest = weights[s] > largest ? weights[s] : largest;
  }
#pragma omp simd reduction(+ : sum)
  for (int64_t s = 0; s < count; ++s) {
    weights[s] = exp_of_negative(weights[s] - largest);
    sum += weights[s];
  }
  const A scale = 1 / sum;
#pragma omp simd
  for (int64_t s = 0; s < count; ++s) weights[s] *= scale;
}

template <typename A>
class Plan {
 public:
  // For samples on levels [first_level, last_level).
  template <typename Samples>
  Plan(const Problem<Samples>& problem, int64_t first_level, int64_t last_level)
      : first_level(first_level),
        last_level(last_level),
        P(problem.sizes.P),
        count((last_level - first_level) * P),
        row(kCorners * count),
        grad_row(kCorners * count),
        weight(kCorners * count),
        fraction_x(count),
        fraction_y(count),
        slope(count),
        scale_x(count),
        scale_y(count),
        width(count),
        height(count),
        start_(count),
        x_(count),
        y_(count),
        attention_(problem.sizes.L * P) {
    for (int64_t s = 0; s < count; ++s) {
      const int64_t level = first_level + s / P;
      height.get()[s] = static_cast<int32_t>(problem.spatial_shapes[2 * level]);
      width.get()[s] = static_cast<int32_t>(problem.spatial_shapes[2 * level + 1]);
      start_.get()[s] = static_cast<int32_t>(problem.level_start_index[level]);
    }
  }

  // Reads the samples of a place.
  template <typename T>
  MEDMASK_MEMBER_INLINE void read(const Problem<GivenSamples<T>>& problem, const Place& place) {
    const int64_t first = first_sample(problem.sizes, place), n = count;
    const A* __restrict locations = problem.samples.locations + 2 * first;
    const A* __restrict weights = problem.samples.weights + first;
    const int32_t* __restrict widths = width.get();
    const int32_t* __restrict heights = height.get();
    A* __restrict xs = x_.get();
    A* __restrict ys = y_.get();
    A* __restrict scales_x = scale_x.get();
    A* __restrict scales_y = scale_y.get();
    A* __restrict attention = attention_.get();
#pragma omp simd
    for (int64_t s = 0; s < n; ++s) {
      xs[s] = to_pixels(locations[2 * s], widths[s]);
      ys[s] = to_pixels(locations[2 * s + 1], heights[s]);
      scales_x[s] = widths[s];
      scales_y[s] = heights[s];
      attention[s] = weights[s];
    }
  }

  template <typename T>
  MEDMASK_MEMBER_INLINE void read(const Problem<ProjectedSamples<T>>& problem, const Place& place) {
    const Sizes& sizes = problem.sizes;
    const int64_t R = problem.samples.R, L = sizes.L, n = count;
    const int64_t all = place.index(sizes) * L * P, skipped = first_level * P;
    const A* __restrict references =
        problem.samples.references + ((place.n * sizes.Q + place.q) * L + first_level) * R;
    const T* __restrict offsets = problem.samples.offsets + 2 * (all + skipped);
    A* __restrict xs = x_.get();
    A* __restrict ys = y_.get();
    A* __restrict scales_x = scale_x.get();
    A* __restrict scales_y = scale_y.get();
    softmax(problem.samples.logits + all, L * P, attention_.get());
    if (skipped) std::memmove(attention_.get(), attention_.get() + skipped, n * sizeof(A));
    for (int64_t l = 0, s = 0; l < last_level - first_level; ++l) {
      const int32_t w = width.get()[s], h = height.get()[s];
      const A* const reference = references + l * R;
      const A x = to_pixels(reference[0], w), y = to_pixels(reference[1], h);
      const A per_offset_x = R == 4 ? reference[2] * w * (A(0.5) / P) : 1;
      const A per_offset_y = R == 4 ? reference[3] * h * (A(0.5) / P) : 1;
      for (const int64_t end = s + P; s < end; ++s) {
        xs[s] = x;
        ys[s] = y;
        scales_x[s] = per_offset_x;
        scales_y[s] = per_offset_y;
      }
    }
#pragma omp simd
    for (int64_t s = 0; s < n; ++s) {
      xs[s] += A(offsets[2 * s]) * scales_x[s];
      ys[s] += A(offsets[2 * s + 1]) * scales_y[s];
    }
  }

  // Finds the rows and weights of what was read. Offsets are in bytes: `stride` from token to
  // token, `absent` for a corner outside the map.
  //
  // Weights of such corners are kept: times zero, they let an attention weight that is not finite
  // show in the output, as it does everywhere else.
  template <bool kBackward>
  MEDMASK_MEMBER_INLINE void make(int64_t stride, int64_t absent, int64_t grad_stride = 0,
                                  int64_t grad_absent = 0) {
    const int32_t* __restrict widths = width.get();
    const int32_t* __restrict heights = height.get();
    const int32_t* __restrict starts = start_.get();
    const A* __restrict xs = x_.get();
    const A* __restrict ys = y_.get();
    const A* __restrict attention = attention_.get();
    int64_t* __restrict rows = row.get();
    int64_t* __restrict grad_rows = grad_row.get();
    A* __restrict weights = weight.get();
    A* __restrict fractions_x = fraction_x.get();
    A* __restrict fractions_y = fraction_y.get();
    A* __restrict slopes = slope.get();
    const int64_t n = count;
#pragma omp simd
    for (int64_t s = 0; s < n; ++s) {
      const Sample<A> sample(xs[s], ys[s], widths[s], heights[s], starts[s]);
      const A a = attention[s];
      for (int c = 0; c < kCorners; ++c) {
        const bool is_absent = sample.row[c] == kNoRow;
        rows[c * n + s] = is_absent ? absent : sample.row[c] * stride;
        weights[c * n + s] = a * sample.weight(c);
        if constexpr (kBackward) {
          grad_rows[c * n + s] = is_absent ? grad_absent : sample.row[c] * grad_stride;
        }
      }
      if constexpr (kBackward) {
        fractions_x[s] = sample.fraction_x;
        fractions_y[s] = sample.fraction_y;
        slopes[s] = sample.inside ? a : 0;
      }
    }
  }

  int64_t first_sample(const Sizes& sizes, const Place& place) const {
    return (place.index(sizes) * sizes.L + first_level) * P;
  }

  const int64_t first_level, last_level, P, count;
  Buffer<int64_t> row, grad_row;     // (kCorners, count): where rows are, in bytes
  Buffer<A> weight;                  // (kCorners, count): bilinear times attention weight
  Buffer<A> fraction_x, fraction_y;  // how far a sample is from its left and top corners
  Buffer<A> slope;                   // attention weight of a sample inside the map, else 0
  Buffer<A> scale_x, scale_y;        // pixels per unit of location or offset
  Buffer<int32_t> width, height;     // of a sample's level

 private:
  Buffer<int32_t> start_;
  Buffer<A> x_, y_, attention_;
};

// Fetches what Plan::read reads, some queries before it does: a head's part of each query lies too
// far from the last one for the processor to foresee it.
template <typename T>
MEDMASK_INLINE void fetch_samples(const Problem<GivenSamples<T>>& problem, int64_t index) {
  const int64_t first = first_sample_ahead(problem.sizes, index);
  const int64_t count = problem.sizes.L * problem.sizes.P;
  prefetch<kToRead>(problem.samples.locations + 2 * first, 2 * count);
  prefetch<kToRead>(problem.samples.weights + first, count);
}
template <typename T>
MEDMASK_INLINE void fetch_samples(const Problem<ProjectedSamples<T>>& problem, int64_t index) {
  const int64_t first = first_sample_ahead(problem.sizes, index);
  const int64_t count = problem.sizes.L * problem.sizes.P;
  prefetch<kToRead>(problem.samples.offsets + 2 * first, 2 * count);
  prefetch<kToRead>(problem.samples.logits + first, count);
}

// How far `to` is from `from`, in bytes; the two may belong to different arrays.
MEDMASK_INLINE int64_t distance(const void* from, const void* to) {
  return static_cast<int64_t>(reinterpret_cast<intptr_t>(to) - reinterpret_cast<intptr_t>(from));
}

// The row that lies `offset` bytes from the first.
template <typename T>
MEDMASK_INLINE T* find_row(T* rows, int64_t offset) {
  return reinterpret_cast<T*>(reinterpret_cast<intptr_t>(rows) + offset);
}

}  // namespace medmask

// Where the samples of one query and head read, and with what weights: computed for all of them at
// once, before any row is read, by loops without branches that the compiler vectorizes.
#pragma once

#include <type_traits>

#include "../problem.h"
#include "../sample.h"
#include "softmax.h"
#include "vector.h"

namespace medmask {

constexpr int64_t kQueriesAhead = 4;  // that are fetched before they are needed

// A query and a head of an image.
struct Place {
  int64_t n, q, m;

  // Its index among all triples (n, q, m).
  int64_t index(const Sizes& sizes) const { return (n * sizes.Q + q) * sizes.M + m; }
};

// The first sample of the query that is fetched while triple `index` is worked on.
MEDMASK_INLINE int64_t first_sample_ahead(const Sizes& sizes, int64_t index) {
  return (index + kQueriesAhead * sizes.M) * sizes.L * sizes.P;
}

// The samples of a query and head on some levels. Arrays of samples are padded to whole vectors;
// what the padding holds means nothing, but is safe to compute with.
template <typename Samples>
class Plan {
 public:
  using T = typename Samples::Value;
  using A = acc_t<T>;

  // For samples on levels [first_level, last_level).
  Plan(const Problem<Samples>& problem, int64_t first_level, int64_t last_level)
      : first_level(first_level),
        P(problem.sizes.P),
        count((last_level - first_level) * P),
        stride(padded(count)),
        softmax(problem.sizes.L * P),
        row(kCorners * stride),
        grad_row(kCorners * stride),
        weight(kCorners * stride),
        fraction_x(stride),
        fraction_y(stride),
        slope(stride),
        scale_x(stride + kEight),
        scale_y(stride + kEight),
        width(stride),
        height(stride),
        start_(stride),
        origin_x_(stride + kEight),
        origin_y_(stride + kEight),
        softmax_weights_(padded(problem.sizes.L * P) + stride),
        spare_weights_(padded(problem.sizes.L * P)),
        spare_pairs_(2 * stride) {
    for (int64_t s = 0; s < count; ++s) {
      const int64_t level = first_level + s / P;
      const int64_t h = problem.spatial_shapes[2 * level];
      const int64_t w = problem.spatial_shapes[2 * level + 1];
      height.get()[s] = static_cast<int32_t>(h);
      width.get()[s] = static_cast<int32_t>(w);
      start_.get()[s] = static_cast<int32_t>(problem.level_start_index[level]);
      // For locations, and for offsets from points: where these and boxes are, read tells.
      origin_x_.get()[s] = to_pixels(A(0), width.get()[s]);
      origin_y_.get()[s] = to_pixels(A(0), height.get()[s]);
      scale_x.get()[s] = std::is_same_v<Samples, GivenSamples<T>> ? w : 1;
      scale_y.get()[s] = std::is_same_v<Samples, GivenSamples<T>> ? h : 1;
    }
  }

  // Reads the attention weights of a place, and what its offsets are relative to. To be followed by
  // make; best not at once, for that waits until what is written here in small pieces can be read
  // in large ones.
  MEDMASK_MEMBER_INLINE void read(const Problem<GivenSamples<T>>& problem, const Place& place) {
    attention = whole_vectors(problem.samples.weights, first_sample(problem.sizes, place), count,
                              stride, num_samples(problem.sizes), spare_weights_.get());
  }
  MEDMASK_MEMBER_INLINE void read(const Problem<ProjectedSamples<T>>& problem, const Place& place) {
    const Sizes& sizes = problem.sizes;
    const int64_t R = problem.samples.R, L = sizes.L;
    const A* references =
        problem.samples.references + ((place.n * sizes.Q + place.q) * L + first_level) * R;
    for (int64_t s = 0; s < count; s += P, references += R) {
      const int32_t w = width.get()[s], h = height.get()[s];
      splat(to_pixels(references[0], w), P, origin_x_.get() + s);
      splat(to_pixels(references[1], h), P, origin_y_.get() + s);
      if (R == 2) continue;
      splat(references[2] * w * (A(0.5) / P), P, scale_x.get() + s);
      splat(references[3] * h * (A(0.5) / P), P, scale_y.get() + s);
    }
    softmax.weights(whole_vectors(problem.samples.logits, place.index(sizes) * L * P, L * P,
                                  padded(L * P), num_samples(sizes), spare_weights_.get()),
                    softmax_weights_.get());
    attention = softmax_weights_.get() + first_level * P;
  }

  // Finds the rows and weights of the place that was read. Offsets are in bytes: `token` from token
  // to token, `absent` for a corner outside the map.
  //
  // Weights of such corners are kept: times zero, they let an attention weight that is not finite
  // show in the output, as it does everywhere else.
  template <bool kBackward>
  MEDMASK_MEMBER_INLINE void make(const Problem<Samples>& problem, const Place& place,
                                  int64_t token, int64_t absent, int64_t grad_token = 0,
                                  int64_t grad_absent = 0) {
    const auto* __restrict pairs =
        whole_vectors(problem.samples.pairs(), 2 * first_sample(problem.sizes, place), 2 * count,
                      2 * stride, 2 * num_samples(problem.sizes), spare_pairs_.get());
    const int32_t* __restrict widths = width.get();
    const int32_t* __restrict heights = height.get();
    const int32_t* __restrict starts = start_.get();
    const A* __restrict origins_x = origin_x_.get();
    const A* __restrict origins_y = origin_y_.get();
    const A* __restrict scales_x = scale_x.get();
    const A* __restrict scales_y = scale_y.get();
    const A* __restrict weights_of_samples = attention;
    int64_t* __restrict rows = row.get();
    int64_t* __restrict grad_rows = grad_row.get();
    A* __restrict weights = weight.get();
    A* __restrict fractions_x = fraction_x.get();
    A* __restrict fractions_y = fraction_y.get();
    A* __restrict slopes = slope.get();
    const int64_t n = padded(count);
#pragma omp simd
    for (int64_t s = 0; s < n; ++s) {
      const auto pair = Pair<typename Samples::Coordinate>::read(pairs + 2 * s);
      const Sample<A> sample(origins_x[s] + pair.x * scales_x[s],
                             origins_y[s] + pair.y * scales_y[s], widths[s], heights[s], starts[s]);
      const A a = weights_of_samples[s];
      for (int c = 0; c < kCorners; ++c) {
        const bool is_absent = sample.row[c] == kNoRow;
        rows[c * n + s] = is_absent ? absent : sample.row[c] * token;
        weights[c * n + s] = a * sample.weight(c);
        if constexpr (kBackward) {
          grad_rows[c * n + s] = is_absent ? grad_absent : sample.row[c] * grad_token;
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

  const int64_t first_level, P, count;
  const int64_t stride;              // from corner to corner in the arrays below: padded(count)
  Softmax<A> softmax;                // over all levels
  const A* attention;                // of the samples that were read
  Buffer<int64_t> row, grad_row;     // (kCorners, stride): where rows are, in bytes
  Buffer<A> weight;                  // (kCorners, stride): bilinear times attention weight
  Buffer<A> fraction_x, fraction_y;  // how far a sample is from its left and top corners
  Buffer<A> slope;                   // attention weight of a sample inside the map, else 0
  Buffer<A> scale_x, scale_y;        // pixels per unit of location or offset
  Buffer<int32_t> width, height;     // of a sample's level

 private:
  static int64_t num_samples(const Sizes& sizes) {
    return sizes.N * sizes.Q * sizes.M * sizes.L * sizes.P;
  }

  Buffer<int32_t> start_;
  Buffer<A> origin_x_, origin_y_;  // in pixels, where locations or offsets count from
  Buffer<A> softmax_weights_, spare_weights_, spare_pairs_;
};

// Fetches what a Plan reads, some queries before it does: a head's part of each query lies too
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

// Where the samples of one query and head read, and with what weights: computed for all of them at
// once, before any row is read, by a loop without branches that the compiler vectorises.
#pragma once

#include "../problem.h"
#include "../sample.h"
#include "vector.h"

namespace medmask {

constexpr int64_t kQueriesAhead = 4;  // that are fetched before they are needed

template <typename A>
class Plan {
 public:
  // For samples on levels [first_level, last_level).
  Plan(const int64_t* spatial_shapes, const int64_t* level_start_index, int64_t first_level,
       int64_t last_level, int64_t P)
      : count((last_level - first_level) * P),
        row(kCorners * count),
        weight(kCorners * count),
        fraction_x(count),
        fraction_y(count),
        slope_x(count),
        slope_y(count),
        width_(count),
        height_(count),
        start_(count) {
    for (int64_t s = 0; s < count; ++s) {
      const int64_t level = first_level + s / P;
      height_.get()[s] = static_cast<int32_t>(spatial_shapes[2 * level]);
      width_.get()[s] = static_cast<int32_t>(spatial_shapes[2 * level + 1]);
      start_.get()[s] = static_cast<int32_t>(level_start_index[level]);
    }
  }

  // Plans the samples at `locations` (count, 2) with `attention` weights (count,).
  //
  // Weights of corners that have no row are kept: times zero, they let an attention weight that is
  // not finite show in the output, as it does everywhere else.
  inline __attribute__((always_inline)) void make(const A* __restrict locations,
                                                  const A* __restrict attention) {
    const int32_t* __restrict width = width_.get();
    const int32_t* __restrict height = height_.get();
    const int32_t* __restrict start = start_.get();
    int32_t* __restrict rows = row.get();
    A* __restrict weights = weight.get();
    A* __restrict fractions_x = fraction_x.get();
    A* __restrict fractions_y = fraction_y.get();
    A* __restrict slopes_x = slope_x.get();
    A* __restrict slopes_y = slope_y.get();
    const int64_t n = count;
#pragma omp simd
    for (int64_t s = 0; s < n; ++s) {
      const Sample<A> sample(locations[2 * s], locations[2 * s + 1], width[s], height[s], start[s]);
      const A a = attention[s], slope = sample.inside ? a : 0;
      for (int c = 0; c < kCorners; ++c) {
        rows[c * n + s] = sample.row[c];
        weights[c * n + s] = a * sample.weight(c);
      }
      fractions_x[s] = sample.fraction_x;
      fractions_y[s] = sample.fraction_y;
      slopes_x[s] = slope * width[s];
      slopes_y[s] = slope * height[s];
    }
  }

  // Fetches what `make` reads, some queries before it does: a head's part of each query lies too
  // far from the last one for the processor to foresee it.
  inline __attribute__((always_inline)) void fetch(const A* locations, const A* attention) const {
    prefetch(locations, count * 2);
    prefetch(attention, count);
  }

  const int64_t count;
  Buffer<int32_t> row;               // (kCorners, count): token index or kNoRow
  Buffer<A> weight;                  // (kCorners, count): bilinear times attention weight
  Buffer<A> fraction_x, fraction_y;  // how far a sample is from its left and top corners
  Buffer<A> slope_x, slope_y;        // attention weight times pixels per unit of location

 private:
  Buffer<int32_t> width_, height_, start_;
};

// The row at `index`, or `absent` for a corner outside the map.
template <typename T>
MEDMASK_INLINE T* find_row(T* rows, int64_t token_stride, int64_t index, T* absent) {
  return index == kNoRow ? absent : rows + index * token_stride;
}

}  // namespace medmask

// Where the samples of one query and head read, and with what weights: computed for all of them at
// once, before any row is read, by a loop without branches that the compiler vectorises.
#pragma once

#include "cpu_kernels.h"
#include "cpu_vector.h"

namespace medmask {

constexpr int64_t kCorners = 4;  // top left, top right, bottom left, bottom right
constexpr int64_t kNoRow = -1;   // a corner outside the map

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
  // A sample outside the map, or at a location that is not a number, has no rows. Its weights remain
  // multiples of the attention weight, so that one that is not finite shows in the output.
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
    for (int64_t s = 0; s < n; ++s) {
      const int32_t w = width[s], h = height[s];
      A x = locations[2 * s] * w - A(0.5), y = locations[2 * s + 1] * h - A(0.5);
      const bool inside = (x >= -1) & (x < w) & (y >= -1) & (y < h);  // false for NaN
      x = inside ? x : 0;
      y = inside ? y : 0;
      int32_t left = static_cast<int32_t>(x), top = static_cast<int32_t>(y);
      left -= x < left;  // downwards, not towards zero
      top -= y < top;
      const bool has_left = inside & (left >= 0), has_right = inside & (left + 1 < w);
      const bool has_top = top >= 0, has_bottom = top + 1 < h;
      const int32_t first = start[s] + top * w + left;
      rows[s] = has_top & has_left ? first : kNoRow;
      rows[n + s] = has_top & has_right ? first + 1 : kNoRow;
      rows[2 * n + s] = has_bottom & has_left ? first + w : kNoRow;
      rows[3 * n + s] = has_bottom & has_right ? first + w + 1 : kNoRow;
      const A fx = x - left, fy = y - top, a = attention[s], inner = inside ? a : 0;
      weights[s] = a * (1 - fy) * (1 - fx);
      weights[n + s] = a * (1 - fy) * fx;
      weights[2 * n + s] = a * fy * (1 - fx);
      weights[3 * n + s] = a * fy * fx;
      fractions_x[s] = fx;
      fractions_y[s] = fy;
      slopes_x[s] = inner * w;
      slopes_y[s] = inner * h;
    }
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

// The backward kernel. With g the output's gradient of a query and head, and a sample's corners
// weighted by attention times bilinear weights w_c:
//
//   value[row_c]   gets  w_c * g
//   attention      gets  the bilinear interpolation of the corners' <g, value[row_c]>
//   location       gets  the slope of that interpolation, times attention, times the map's size
//
// so that all but the first follow from one scalar a corner.
#pragma once

#include "plan.h"

namespace medmask {

// Adds w_c * g to the gradient rows, and <g, value[row_c]> lane by lane to `products`, for
// kVectors * kLanes channels.
template <int kVectors, typename T>
MEDMASK_INLINE void scatter_block(const Plan<acc_t<T>>& plan, const T* rows, int64_t token_stride,
                                  const T* zeros, acc_t<T>* grad_rows, int64_t grad_token_stride,
                                  acc_t<T>* unused, const T* grad_output, bool first_block,
                                  acc_t<T>* products) {
  using A = acc_t<T>;
  Vector<A> g[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) g[v] = load(grad_output + v * kLanes);
  for (int64_t i = 0; i < kCorners * plan.count; ++i) {
    const int64_t row = plan.row.get()[i];
    const T* const from = find_row(rows, token_stride, row, zeros);
    A* const to = find_row(grad_rows, grad_token_stride, row, unused);
    const A w = plan.weight.get()[i];
    Vector<A> product = g[0] * load(from);
    if (!first_block) product += load(products + i * kLanes);
#pragma GCC unroll 4
    for (int v = 1; v < kVectors; ++v) product += g[v] * load(from + v * kLanes);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      store(to + v * kLanes, load(to + v * kLanes) + w * g[v]);
    }
    store(products + i * kLanes, product);
  }
}

// The same for the few channels that fill no vector; products go to a corner's first lane.
template <typename T>
MEDMASK_INLINE void scatter_rest(const Plan<acc_t<T>>& plan, const T* rows, int64_t token_stride,
                                 acc_t<T>* grad_rows, int64_t grad_token_stride,
                                 const T* grad_output, int64_t channels, acc_t<T>* products) {
  using A = acc_t<T>;
  for (int64_t i = 0; i < kCorners * plan.count; ++i) {
    const int64_t row = plan.row.get()[i];
    if (row == kNoRow) continue;
    for (int64_t d = 0; d < channels; ++d) {
      const A g = A(grad_output[d]);
      products[i * kLanes] += g * A(rows[row * token_stride + d]);
      grad_rows[row * grad_token_stride + d] += plan.weight.get()[i] * g;
    }
  }
}

// Turns the corners' products (kCorners, count) into the gradients of a query's locations (count,
// 2) and attention weights (count,).
template <typename A>
MEDMASK_INLINE void write_sample_gradients(const Plan<A>& plan, const A* __restrict products,
                                           A* __restrict locations, A* __restrict weights) {
  const int64_t n = plan.count;
  const A* __restrict fraction_x = plan.fraction_x.get();
  const A* __restrict fraction_y = plan.fraction_y.get();
  const A* __restrict slope_x = plan.slope_x.get();
  const A* __restrict slope_y = plan.slope_y.get();
  for (int64_t s = 0; s < n; ++s) {
    const Interpolation<A> g(fraction_x[s], fraction_y[s], products[s], products[n + s],
                             products[2 * n + s], products[3 * n + s]);
    weights[s] = g.value;
    locations[2 * s] = slope_x[s] * g.slope_x;
    locations[2 * s + 1] = slope_y[s] * g.slope_y;
  }
}

template <typename T>
MEDMASK_INLINE void backward_share_here(const Problem<T>& problem, const Gradients<T>& gradients,
                                        int64_t n, int64_t m, int64_t first_level,
                                        int64_t last_level) {
  using A = acc_t<T>;
  const auto [N, S, M, D, Q, L, P] = problem.sizes;
  Plan<A> plan(problem.spatial_shapes, problem.level_start_index, first_level, last_level, P);
  const int64_t num_products = (kCorners * plan.count + kLanes - 1) / kLanes * kLanes;
  Buffer<A> lanes(num_products * kLanes), products(num_products), unused(4 * kLanes);
  const Buffer<T> zeros(4 * kLanes);
  const T* const rows = problem.value.first(n, m);
  A* const grad_rows = gradients.value.first(n, m);
  const int64_t stride = problem.value.token, grad_stride = gradients.value.token;
  const int64_t ahead = kQueriesAhead * M;
  for (int64_t q = 0; q < Q; ++q) {
    const int64_t place = (n * Q + q) * M + m;
    const int64_t sample = (place * L + first_level) * P;
    const A* const locations = problem.locations + sample * 2;
    const A* const weights = problem.weights + sample;
    const T* const g = gradients.output + place * D;
    plan.fetch(locations + ahead * L * P * 2, weights + ahead * L * P);
    prefetch(g + ahead * D, D);
    plan.make(locations, weights);
    int64_t d = 0;
    for (; d + 4 * kLanes <= D; d += 4 * kLanes) {
      scatter_block<4>(plan, rows + d, stride, zeros.get(), grad_rows + d, grad_stride,
                       unused.get(), g + d, d == 0, lanes.get());
    }
    for (; d + kLanes <= D; d += kLanes) {
      scatter_block<1>(plan, rows + d, stride, zeros.get(), grad_rows + d, grad_stride,
                       unused.get(), g + d, d == 0, lanes.get());
    }
    if (d < D) {
      if (d == 0) std::memset(lanes.get(), 0, num_products * kLanes * sizeof(A));
      scatter_rest(plan, rows + d, stride, grad_rows + d, grad_stride, g + d, D - d, lanes.get());
    }
    for (int64_t i = 0; i < num_products; i += kLanes) {
      store(products.get() + i, sum_each(lanes.get() + i * kLanes));
    }
    write_sample_gradients(plan, products.get(), gradients.locations + sample * 2,
                           gradients.weights + sample);
  }
}

}  // namespace medmask

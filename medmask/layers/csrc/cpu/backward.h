// The backward kernel. With g the output's gradient of a query and head, and a sample's corners
// weighted by attention times bilinear weights w_c:
//
//   value[row_c]   gets  w_c * g
//   attention      gets  the bilinear interpolation of the corners' <g, value[row_c]>
//   location       gets  the slope of that interpolation, times attention, times the map's size
//
// so that all but the first follow from one scalar a corner.
#pragma once

#include "forward.h"

namespace medmask {

// Adds w_c * g to the gradient rows, and <g, value[row_c]> lane by lane to `products`, for kVectors
// times as many channels as kLanes hold. Gradient rows hold channels in the order of their parts;
// see settle_rows_here.
template <int kLanes, int kVectors, typename T>
MEDMASK_INLINE void scatter_block(const Plan<acc_t<T>>& plan, const T* rows, acc_t<T>* grad_rows,
                                  const T* grad_output, bool first_block, acc_t<T>* products) {
  using A = acc_t<T>;
  using C = Channels<T, kLanes>;
  using V = typename C::V;
  C g[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) g[v] = C::read(grad_output + v * C::kChannels);
  for (int64_t i = 0; i < kCorners * plan.count; ++i) {
    const T* const from = find_row(rows, plan.row.get()[i]);
    A* const to = find_row(grad_rows, plan.grad_row.get()[i]);
    const A w = plan.weight.get()[i];
    V product = {};
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const C channels = C::read(from + v * C::kChannels);
#pragma GCC unroll 2
      for (int p = 0; p < C::kParts; ++p) {
        product += g[v].part[p] * channels.part[p];
        A* const sums = to + v * C::kChannels + p * kLanes;
        store(sums, load<kLanes>(sums) + w * g[v].part[p]);
      }
    }
    Vector<A> folded = fold<A>(product);
    if (!first_block) folded += load(products + i * kEight);
    store(products + i * kEight, folded);
  }
}

// The same for the few channels that fill no vector; products go to a corner's first lane.
template <typename T>
MEDMASK_INLINE void scatter_rest(const Plan<acc_t<T>>& plan, const T* rows, acc_t<T>* grad_rows,
                                 const T* grad_output, int64_t channels, acc_t<T>* products) {
  using A = acc_t<T>;
  for (int64_t i = 0; i < kCorners * plan.count; ++i) {
    const T* const from = find_row(rows, plan.row.get()[i]);
    A* const to = find_row(grad_rows, plan.grad_row.get()[i]);
    for (int64_t d = 0; d < channels; ++d) {
      const A g = A(grad_output[d]);
      products[i * kEight] += g * A(from[d]);
      to[d] += plan.weight.get()[i] * g;
    }
  }
}

// Turns the corners' products (kCorners, count) into the gradients of the attention weights
// (count,) and of x and y in pixels (count,).
template <typename A>
MEDMASK_INLINE void interpolate_products(const Plan<A>& plan, const A* __restrict products,
                                         A* __restrict weights, A* __restrict xs,
                                         A* __restrict ys) {
  const int64_t n = plan.count;
  const A* __restrict fraction_x = plan.fraction_x.get();
  const A* __restrict fraction_y = plan.fraction_y.get();
  const A* __restrict slope = plan.slope.get();
#pragma omp simd
  for (int64_t s = 0; s < n; ++s) {
    const Interpolation<A> g(fraction_x[s], fraction_y[s], products[s], products[n + s],
                             products[2 * n + s], products[3 * n + s]);
    weights[s] = g.value;
    xs[s] = slope[s] * g.slope_x;
    ys[s] = slope[s] * g.slope_y;
  }
}

// Writes the gradients of locations or offsets (count, 2): those of x and y by the chain rule.
template <typename A, typename T>
MEDMASK_INLINE void write_pairs(const Plan<A>& plan, const A* __restrict xs, const A* __restrict ys,
                                T* __restrict pairs) {
  const A* __restrict scale_x = plan.scale_x.get();
  const A* __restrict scale_y = plan.scale_y.get();
#pragma omp simd
  for (int64_t s = 0; s < plan.count; ++s) {
    pairs[2 * s] = static_cast<T>(scale_x[s] * xs[s]);
    pairs[2 * s + 1] = static_cast<T>(scale_y[s] * ys[s]);
  }
}

template <typename T>
MEDMASK_INLINE void write_gradients(const Problem<GivenSamples<T>>& problem,
                                    const Gradients<GivenSamples<T>>& gradients,
                                    const Plan<acc_t<T>>& plan, const Place& place,
                                    const acc_t<T>* xs, const acc_t<T>* ys) {
  const int64_t first = plan.first_sample(problem.sizes, place);
  write_pairs(plan, xs, ys, gradients.samples.locations + 2 * first);
}

template <typename T>
MEDMASK_INLINE void write_gradients(const Problem<ProjectedSamples<T>>& problem,
                                    const Gradients<ProjectedSamples<T>>& gradients,
                                    const Plan<acc_t<T>>& plan, const Place& place,
                                    const acc_t<T>* xs, const acc_t<T>* ys) {
  using A = acc_t<T>;
  const Sizes& sizes = problem.sizes;
  const int64_t first = plan.first_sample(sizes, place), R = problem.samples.R;
  write_pairs(plan, xs, ys, gradients.samples.offsets + 2 * first);
  if (!gradients.samples.references) return;
  A* to = gradients.samples.references +
          (((place.n * sizes.M + place.m) * sizes.Q + place.q) * sizes.L + plan.first_level) * R;
  const T* offset = problem.samples.offsets + 2 * first;
  for (int64_t s = 0; s < plan.count; to += R) {
    const A w = plan.width.get()[s], h = plan.height.get()[s];
    A sums[4] = {};
    for (const int64_t end = s + plan.P; s < end; ++s, offset += 2) {
      sums[0] += xs[s];
      sums[1] += ys[s];
      if (plan.slope.get()[s] == 0) continue;  // the offset may not be finite
      sums[2] += xs[s] * A(offset[0]);
      sums[3] += ys[s] * A(offset[1]);
    }
    to[0] = w * sums[0];
    to[1] = h * sums[1];
    if (R == 4) {
      to[2] = w * sums[2] * (A(0.5) / plan.P);
      to[3] = h * sums[3] * (A(0.5) / plan.P);
    }
  }
}

// Makes room for what write_gradients writes, some queries before: stores wait for each other.
template <typename T>
MEDMASK_INLINE void fetch_gradients(const Problem<GivenSamples<T>>& problem,
                                    const Gradients<GivenSamples<T>>& gradients, int64_t index) {
  const int64_t first = first_sample_ahead(problem.sizes, index);
  const int64_t count = problem.sizes.L * problem.sizes.P;
  prefetch<kToWrite>(gradients.samples.locations + 2 * first, 2 * count);
  prefetch<kToWrite>(gradients.samples.weights + first, count);
}
template <typename T>
MEDMASK_INLINE void fetch_gradients(const Problem<ProjectedSamples<T>>& problem,
                                    const Gradients<ProjectedSamples<T>>& gradients,
                                    int64_t index) {
  const int64_t first = first_sample_ahead(problem.sizes, index);
  const int64_t count = problem.sizes.L * problem.sizes.P;
  prefetch<kToWrite>(gradients.samples.offsets + 2 * first, 2 * count);
  prefetch<kToWrite>(gradients.samples.weights + first, count);
}

template <int kLanes, typename Samples>
MEDMASK_INLINE void backward_share_here(const Problem<Samples>& problem,
                                        const Gradients<Samples>& gradients, int64_t head,
                                        int64_t first_level, int64_t last_level) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  constexpr int kNarrow = std::min(kLanes, kEight);
  const auto [N, S, M, D, Q, L, P] = problem.sizes;
  const int64_t n = head / M, m = head % M;
  Plan<A> plan(problem, first_level, last_level);
  const int64_t num_products = (kCorners * plan.count + kEight - 1) / kEight * kEight;
  Buffer<A> lanes(num_products * kEight), products(num_products), unused(D);
  Buffer<A> xs(plan.count), ys(plan.count);
  const Buffer<T> zeros(D);
  const T* const rows = problem.value.first(n, m);
  A* const grad_rows = gradients.value.first(n, m);
  for (int64_t q = 0; q < Q; ++q) {
    const Place place{n, q, m};
    const int64_t index = place.index(problem.sizes);
    const T* const g = gradients.output + index * D;
    fetch_samples(problem, index);
    prefetch<kToRead>(g + kQueriesAhead * M * D, D);
    fetch_gradients(problem, gradients, index);
    plan.read(problem, place);
    plan.template make<true>(problem.value.token * sizeof(T), distance(rows, zeros.get()),
                             gradients.value.token * sizeof(A), distance(grad_rows, unused.get()));
    int64_t d = 0;
    for (; d + kBlock <= D; d += kBlock) {
      scatter_block<kLanes, kBlock / Channels<T, kLanes>::kChannels>(plan, rows + d, grad_rows + d,
                                                                     g + d, d == 0, lanes.get());
    }
    for (; d + 2 * kEight <= D; d += 2 * kEight) {
      scatter_block<kNarrow, 2 * kEight / Channels<T, kNarrow>::kChannels>(
          plan, rows + d, grad_rows + d, g + d, d == 0, lanes.get());
    }
    if (d < D) {
      if (d == 0) std::memset(lanes.get(), 0, num_products * kEight * sizeof(A));
      scatter_rest(plan, rows + d, grad_rows + d, g + d, D - d, lanes.get());
    }
    for (int64_t i = 0; i < num_products; i += kEight) {
      store(products.get() + i, sum_each(lanes.get() + i * kEight));
    }
    interpolate_products(plan, products.get(),
                         gradients.samples.weights + plan.first_sample(problem.sizes, place),
                         xs.get(), ys.get());
    write_gradients(problem, gradients, plan, place, xs.get(), ys.get());
  }
}

// Turns the gradients of attention weights, of the triples (n, q, m) in [begin, end), into those of
// their logits: weight * (gradient - sum of weight * gradient).
template <typename T>
MEDMASK_INLINE void logits_share_here(const Problem<ProjectedSamples<T>>& problem,
                                      const typename ProjectedSamples<T>::Gradients& gradients,
                                      int64_t begin, int64_t end) {
  using A = acc_t<T>;
  const int64_t count = problem.sizes.L * problem.sizes.P;
  Buffer<A> weights(count);
  A* __restrict weight = weights.get();
  for (int64_t i = begin * count; i < end * count; i += count) {
    const A* __restrict gradient = gradients.weights + i;
    T* to = gradients.logits + i;  // may be where the gradients are
    softmax(problem.samples.logits + i, count, weight);
    A mean = 0;
#pragma omp simd reduction(+ : mean)
    for (int64_t s = 0; s < count; ++s) mean += weight[s] * gradient[s];
    for (int64_t s = 0; s < count; ++s) weight[s] *= gradient[s] - mean;
    for (int64_t s = 0; s < count; ++s) to[s] = static_cast<T>(weight[s]);
  }
}

// Rounds sums that lie in the order of their parts.
template <typename C, typename A, typename T>
MEDMASK_INLINE void settle_channels(const A* sums, T* output) {
  C channels;
  for (int p = 0; p < C::kParts; ++p) channels.part[p] = load<C::kLanes>(sums + p * C::kLanes);
  C::write(output, channels);
}

// Writes `count` rows of D sums, side by side, to rows that lie `stride` apart.
template <int kLanes, typename T>
MEDMASK_INLINE void settle_rows_here(const acc_t<T>* sums, int64_t count, int64_t D, int64_t stride,
                                     T* output) {
  using Wide = Channels<T, kLanes>;
  using Narrow = Channels<T, std::min(kLanes, kEight)>;
  const int64_t blocks = D / kBlock * kBlock, pairs = D / (2 * kEight) * (2 * kEight);
  for (int64_t i = 0; i < count; ++i, sums += D, output += stride) {
    int64_t d = 0;
    for (; d < blocks; d += Wide::kChannels) settle_channels<Wide>(sums + d, output + d);
    for (; d < pairs; d += Narrow::kChannels) settle_channels<Narrow>(sums + d, output + d);
    for (; d < D; ++d) output[d] = static_cast<T>(sums[d]);
  }
}

}  // namespace medmask

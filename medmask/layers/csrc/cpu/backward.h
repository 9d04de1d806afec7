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
template <int kLanes, int kVectors, typename Samples, typename T = typename Samples::Value>
MEDMASK_INLINE void scatter_block(const Plan<Samples>& plan, const T* rows, acc_t<T>* grad_rows,
                                  const T* grad_output, bool first_block, acc_t<T>* products) {
  using A = acc_t<T>;
  using C = Channels<T, kLanes>;
  using V = typename C::V;
  C g[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) g[v] = C::read(grad_output + v * C::kChannels);
  for (int64_t c = 0; c < kCorners; ++c) {
    for (int64_t i = c * plan.stride; i < c * plan.stride + plan.count; ++i) {
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
}

// The same for the few channels that fill no vector; products go to a corner's first lane.
template <typename Samples, typename T = typename Samples::Value>
MEDMASK_INLINE void scatter_rest(const Plan<Samples>& plan, const T* rows, acc_t<T>* grad_rows,
                                 const T* grad_output, int64_t channels, acc_t<T>* products) {
  using A = acc_t<T>;
  for (int64_t c = 0; c < kCorners; ++c) {
    for (int64_t i = c * plan.stride; i < c * plan.stride + plan.count; ++i) {
      const T* const from = find_row(rows, plan.row.get()[i]);
      A* const to = find_row(grad_rows, plan.grad_row.get()[i]);
      for (int64_t d = 0; d < channels; ++d) {
        const A g = A(grad_output[d]);
        products[i * kEight] += g * A(from[d]);
        to[d] += plan.weight.get()[i] * g;
      }
    }
  }
}

// The gradients of a place's samples. Arrays are padded to whole vectors: the numbers go from here
// to the tensors, where the next places' lie behind them.
template <typename Samples>
struct SampleGradients {
  using T = typename Samples::Value;
  using A = acc_t<T>;

  explicit SampleGradients(const Plan<Samples>& plan)
      : attention(plan.stride),
        logit(plan.stride),
        x(plan.stride),
        y(plan.stride),
        pair(2 * plan.stride) {}

  Buffer<A> attention;  // of attention weights
  Buffer<T> logit;
  Buffer<A> x, y;                             // in pixels
  Buffer<typename Samples::Coordinate> pair;  // (count, 2), of locations or offsets
};

// Turns the corners' products (kCorners, stride) into the gradients of the attention weights and of
// x and y, and these, by the chain rule, into those of locations or offsets.
template <typename Samples>
MEDMASK_INLINE void find_gradients(const Plan<Samples>& plan,
                                   const acc_t<typename Samples::Value>* __restrict products,
                                   SampleGradients<Samples>& gradients) {
  using A = acc_t<typename Samples::Value>;
  using Coordinate = typename Samples::Coordinate;
  const int64_t n = padded(plan.count);
  const A* __restrict fraction_x = plan.fraction_x.get();
  const A* __restrict fraction_y = plan.fraction_y.get();
  const A* __restrict slope = plan.slope.get();
  const A* __restrict scale_x = plan.scale_x.get();
  const A* __restrict scale_y = plan.scale_y.get();
  A* __restrict attention = gradients.attention.get();
  A* __restrict xs = gradients.x.get();
  A* __restrict ys = gradients.y.get();
  Coordinate* __restrict pairs = gradients.pair.get();
#pragma omp simd
  for (int64_t s = 0; s < n; ++s) {
    const Interpolation<A> g(fraction_x[s], fraction_y[s], products[s], products[n + s],
                             products[2 * n + s], products[3 * n + s]);
    const A x = slope[s] * g.slope_x, y = slope[s] * g.slope_y;
    attention[s] = g.value;
    xs[s] = x;
    ys[s] = y;
    Pair<Coordinate>::write(pairs + 2 * s, scale_x[s] * x, scale_y[s] * y);
  }
}

template <typename T>
MEDMASK_INLINE void write_gradients(const Problem<GivenSamples<T>>& problem,
                                    const Gradients<GivenSamples<T>>& gradients,
                                    const Plan<GivenSamples<T>>& plan, const Place& place,
                                    SampleGradients<GivenSamples<T>>& from) {
  const int64_t first = plan.first_sample(problem.sizes, place);
  copy(from.attention.get(), plan.count, gradients.samples.weights + first);
  copy(from.pair.get(), 2 * plan.count, gradients.samples.locations + 2 * first);
}

template <typename T>
MEDMASK_INLINE void write_gradients(const Problem<ProjectedSamples<T>>& problem,
                                    const Gradients<ProjectedSamples<T>>& gradients,
                                    const Plan<ProjectedSamples<T>>& plan, const Place& place,
                                    SampleGradients<ProjectedSamples<T>>& from) {
  using A = acc_t<T>;
  const Sizes& sizes = problem.sizes;
  const int64_t first = plan.first_sample(sizes, place), R = problem.samples.R;
  copy(from.pair.get(), 2 * plan.count, gradients.samples.offsets + 2 * first);
  if (gradients.samples.weights) {
    copy(from.attention.get(), plan.count, gradients.samples.weights + first);
  } else {
    plan.softmax.gradients(plan.attention, from.attention.get(), from.logit.get());
    copy(from.logit.get(), plan.count, gradients.samples.logits + first);
  }
  if (!gradients.samples.references) return;
  A* to = gradients.samples.references +
          (((place.n * sizes.M + place.m) * sizes.Q + place.q) * sizes.L + plan.first_level) * R;
  const T* offset = problem.samples.offsets + 2 * first;
  for (int64_t s = 0; s < plan.count; to += R) {
    const A w = plan.width.get()[s], h = plan.height.get()[s];
    A sums[4] = {};
    for (const int64_t end = s + plan.P; s < end; ++s, offset += 2) {
      const A x = from.x.get()[s], y = from.y.get()[s];
      sums[0] += x;
      sums[1] += y;
      if (plan.slope.get()[s] == 0) continue;  // the offset may not be finite
      sums[2] += x * A(offset[0]);
      sums[3] += y * A(offset[1]);
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
  if (gradients.samples.weights) {
    prefetch<kToWrite>(gradients.samples.weights + first, count);
  } else {
    prefetch<kToWrite>(gradients.samples.logits + first, count);
  }
}

template <int kLanes, typename Samples>
MEDMASK_INLINE void backward_share_here(const Problem<Samples>& problem,
                                        const Gradients<Samples>& gradients, int64_t head,
                                        int64_t first_level, int64_t last_level) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  constexpr int kFew = kNarrow<T, kLanes>;
  const auto [N, S, M, D, Q, L, P] = problem.sizes;
  const int64_t n = head / M, m = head % M;
  Plan<Samples> plan(problem, first_level, last_level);
  SampleGradients<Samples> sample_gradients(plan);
  const int64_t num_products = kCorners * plan.stride;
  Buffer<A> lanes(num_products * kEight), products(num_products), unused(D);
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
    plan.template make<true>(problem, place, problem.value.token * sizeof(T),
                             distance(rows, zeros.get()), gradients.value.token * sizeof(A),
                             distance(grad_rows, unused.get()));
    int64_t d = 0;
    for (; d + kBlock <= D; d += kBlock) {
      scatter_block<kLanes, kBlock / Channels<T, kLanes>::kChannels>(plan, rows + d, grad_rows + d,
                                                                     g + d, d == 0, lanes.get());
    }
    for (; d + kSixteen <= D; d += kSixteen) {
      scatter_block<kFew, kSixteen / Channels<T, kFew>::kChannels>(plan, rows + d, grad_rows + d,
                                                                   g + d, d == 0, lanes.get());
    }
    if (d < D) {
      if (d == 0) std::memset(lanes.get(), 0, num_products * kEight * sizeof(A));
      scatter_rest(plan, rows + d, grad_rows + d, g + d, D - d, lanes.get());
    }
    for (int64_t i = 0; i < num_products; i += kEight) {
      store(products.get() + i, sum_each(lanes.get() + i * kEight));
    }
    find_gradients(plan, products.get(), sample_gradients);
    write_gradients(problem, gradients, plan, place, sample_gradients);
  }
}

// Turns the gradients of attention weights, of the triples (n, q, m) in [begin, end), into those of
// their logits.
template <typename T>
MEDMASK_INLINE void logits_share_here(const Problem<ProjectedSamples<T>>& problem,
                                      const typename ProjectedSamples<T>::Gradients& gradients,
                                      int64_t begin, int64_t end) {
  using A = acc_t<T>;
  const int64_t count = problem.sizes.L * problem.sizes.P, n = padded(count);
  const Softmax<A> softmax(count);
  Buffer<A> weights(n), spare_logits(n), spare_gradients(n);
  Buffer<T> logits(n);
  const int64_t total = end * count;  // behind these others work
  for (int64_t i = begin * count; i < total; i += count) {
    softmax.weights(whole_vectors(problem.samples.logits, i, count, n, total, spare_logits.get()),
                    weights.get());
    softmax.gradients(weights.get(),
                      whole_vectors(gradients.weights, i, count, n, total, spare_gradients.get()),
                      logits.get());
    copy(logits.get(), count, gradients.logits + i);
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
  using Narrow = Channels<T, kNarrow<T, kLanes>>;
  const int64_t blocks = D / kBlock * kBlock, sixteens = D / kSixteen * kSixteen;
  for (int64_t i = 0; i < count; ++i, sums += D, output += stride) {
    int64_t d = 0;
    for (; d < blocks; d += Wide::kChannels) settle_channels<Wide>(sums + d, output + d);
    for (; d < sixteens; d += Narrow::kChannels) settle_channels<Narrow>(sums + d, output + d);
    for (; d < D; ++d) output[d] = static_cast<T>(sums[d]);
  }
}

}  // namespace medmask

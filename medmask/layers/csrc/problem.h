// A problem as the kernels of all devices see it: sizes and plain pointers.
#pragma once

#include <c10/macros/Macros.h>

#include <cstdint>

namespace medmask {

// N images, S tokens, M heads, D channels a head, Q queries, L levels, P points.
struct Sizes {
  int64_t N, S, M, D, Q, L, P;
};

// The accumulation type of T: that of sums, locations and weights.
template <typename T>
struct Accumulation {
  using type = float;
};
template <>
struct Accumulation<double> {
  using type = double;
};
template <typename T>
using acc_t = typename Accumulation<T>::type;

// Where rows, the D channels of one token and one head, lie: strides in elements.
template <typename T>
struct Rows {
  T* data;
  int64_t image, head, token;

  // The first row of head m of image n; the next token's is `token` elements further.
  C10_HOST_DEVICE T* first(int64_t n, int64_t m) const { return data + n * image + m * head; }
};

// Where to sample and what each sample counts, as given, and the gradients of both.
template <typename T>
struct GivenSamples {
  using Value = T;
  using Coordinate = acc_t<T>;  // of a location
  struct Gradients {
    acc_t<T>* locations;  // (N, Q, M, L, P, 2), written
    acc_t<T>* weights;    // (N, Q, M, L, P), written
  };

  const Coordinate* pairs() const { return locations; }

  const acc_t<T>* locations;  // (N, Q, M, L, P, 2) as (x, y)
  const acc_t<T>* weights;    // (N, Q, M, L, P)
};

// The same as the projections of a query state it, relative to its reference point or box:
//
//   point:  x = reference_x + offset_x / level_width
//   box:    x = center_x + offset_x * box_width / 2 / P
//
// and likewise y. A head's weights are the softmax of its logits over all levels and points.
template <typename T>
struct ProjectedSamples {
  using Value = T;
  using Coordinate = T;  // of an offset
  struct Gradients {
    acc_t<T>* references;  // (N, M, Q, L, R), the part of each head, written; null if not wanted
    T* offsets;            // (N, Q, M, L, P, 2), written
    T* logits;             // (N, Q, M, L, P), written
    // (N, Q, M, L, P), of the softmax. Where the CPU's kernels see a head's levels one at a time,
    // they leave it here, and the gradients of logits to another pass; null elsewhere.
    acc_t<T>* weights;
  };

  const Coordinate* pairs() const { return offsets; }

  const acc_t<T>* references;  // (N, Q, L, R) as (x, y) or (cx, cy, w, h)
  int64_t R;                   // 2 or 4
  const T* offsets;            // (N, Q, M, L, P, 2) as (x, y)
  const T* logits;             // (N, Q, M, L, P)
};

template <typename Samples>
struct Problem {
  using T = typename Samples::Value;

  Sizes sizes;
  const int64_t* spatial_shapes;     // (L, 2) as (h, w)
  const int64_t* level_start_index;  // (L,)
  Rows<const T> value;
  Samples samples;
};

template <typename Samples>
struct Gradients {
  using T = typename Samples::Value;

  const T* output;       // (N, Q, M, D)
  Rows<acc_t<T>> value;  // added to
  typename Samples::Gradients samples;
};

}  // namespace medmask

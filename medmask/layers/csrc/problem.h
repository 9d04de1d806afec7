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

template <typename T>
struct Problem {
  Sizes sizes;
  const int64_t* spatial_shapes;     // (L, 2) as (h, w)
  const int64_t* level_start_index;  // (L,)
  Rows<const T> value;
  const acc_t<T>* locations;  // (N, Q, M, L, P, 2) as (x, y)
  const acc_t<T>* weights;    // (N, Q, M, L, P)
};

template <typename T>
struct Gradients {
  const T* output;       // (N, Q, M, D)
  Rows<acc_t<T>> value;  // added to
  acc_t<T>* locations;   // (N, Q, M, L, P, 2), written
  acc_t<T>* weights;     // (N, Q, M, L, P), written
};

}  // namespace medmask

// The CPU kernels on plain pointers. They are written once, in cpu_forward.h and cpu_backward.h, and
// compiled for the machine's baseline and for AVX2; the functions below choose when they run.
//
// Each call works on a share of the problem that no other call writes to, in a fixed order: the
// result has the same bits for any number of threads.
#pragma once

#include <cstdint>

#include "ms_deform_attn.h"

namespace medmask {

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
  T* of(int64_t n, int64_t m) const { return data + n * image + m * head; }
};

template <typename T>
struct Problem {
  Sizes sizes;
  const int64_t* spatial_shapes;
  const int64_t* level_start_index;
  Rows<const T> value;
  const acc_t<T>* locations;  // (N, Q, M, L, P, 2)
  const acc_t<T>* weights;    // (N, Q, M, L, P)
};

template <typename T>
struct Gradients {
  const T* output;        // (N, Q, M, D)
  Rows<acc_t<T>> value;   // added to
  acc_t<T>* locations;    // (N, Q, M, L, P, 2)
  acc_t<T>* weights;      // (N, Q, M, L, P)
};

// Computes output (N, Q, M, D) for the triples (n, m, q), counted in this order, in [begin, end).
template <typename T>
void forward_share(const Problem<T>& problem, T* output, int64_t begin, int64_t end);

// Computes the gradients that belong to head m of image n and to levels [first_level, last_level).
template <typename T>
void backward_share(const Problem<T>& problem, const Gradients<T>& gradients, int64_t n, int64_t m,
                    int64_t first_level, int64_t last_level);

}  // namespace medmask

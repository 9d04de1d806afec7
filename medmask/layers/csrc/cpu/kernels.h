// The CPU kernels on plain pointers. They are written once, in forward.h and backward.h, and
// compiled for the machine's baseline and for AVX2; the functions below choose when they run.
//
// Each call works on a share of the problem that no other call writes to, in a fixed order: the
// result has the same bits for any number of threads.
#pragma once

#include "../problem.h"

namespace medmask {

// Computes output (N, Q, M, D) for the triples (n, m, q), counted in this order, in [begin, end).
template <typename T>
void forward_share(const Problem<T>& problem, T* output, int64_t begin, int64_t end);

// Computes the gradients that belong to head m of image n and to levels [first_level, last_level).
template <typename T>
void backward_share(const Problem<T>& problem, const Gradients<T>& gradients, int64_t n, int64_t m,
                    int64_t first_level, int64_t last_level);

}  // namespace medmask

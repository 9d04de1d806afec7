// The CPU kernels on plain pointers. They are written once, in forward.h and backward.h, and
// compiled for the machine's baseline, AVX2 and AVX-512; the functions below choose when they run.
//
// Each call works on a share of the problem that no other call writes to, in a fixed order: the
// result has the same bits for any number of threads.
#pragma once

#include "../problem.h"

namespace medmask {

// Computes output (N, Q, M, D) for the triples (n, m, q), counted in this order, in [begin, end).
template <typename Samples>
void forward_share(const Problem<Samples>& problem, typename Samples::Value* output, int64_t begin,
                   int64_t end);

// Computes the gradients that belong to a head, counted as (n, m), and to levels [first_level,
// last_level), but for those of logits. What it adds to gradients.value wants settle_rows.
template <typename Samples>
void backward_share(const Problem<Samples>& problem, const Gradients<Samples>& gradients,
                    int64_t head, int64_t first_level, int64_t last_level);

// Computes the gradients of the logits of the triples (n, q, m) in [begin, end) from those of the
// attention weights, which may lie in the same place.
template <typename T>
void logits_share(const Problem<ProjectedSamples<T>>& problem,
                  const typename ProjectedSamples<T>::Gradients& gradients, int64_t begin,
                  int64_t end);

// Writes the gradients of value that backward_share has added up: `count` rows of D sums, side by
// side, to rows that lie `stride` apart.
template <typename T>
void settle_rows(const acc_t<T>* sums, int64_t count, int64_t D, int64_t stride, T* output);

}  // namespace medmask

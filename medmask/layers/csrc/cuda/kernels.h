// The CUDA kernels' launchers, on plain pointers, so that the file that nvcc compiles for each
// architecture includes little.
//
// Both launch on PyTorch's current stream and return at once.
#pragma once

#include "../problem.h"

namespace medmask {

// Computes output (N, Q, M, D).
template <typename T>
void launch_forward(const Problem<T>& problem, T* output);

// Adds to gradients.value, whose sums come in an order that differs from run to run, and writes the
// others.
template <typename T>
void launch_backward(const Problem<T>& problem, const Gradients<T>& gradients);

}  // namespace medmask

// The CUDA kernels' launchers, on plain pointers, so that the files that nvcc compiles for each
// architecture include little.
//
// All launch on PyTorch's current stream and return at once.
#pragma once

#include "../problem.h"

namespace medmask {

// Where the gradient of value is added up, for the images of one call: in floating point, in an
// order that differs from run to run, and the roundings with it.
template <typename A>
struct FloatingSums {
  Rows<A> rows;
};

// The same in whole multiples of a small number, whose sums do not depend on the order.
template <typename A>
struct FixedPointSums {
  Rows<int64_t> rows;
  const double* scale;  // multiples in a gradient of one: a power of two, so that scaling is exact
};

struct ImageRange {
  int64_t first, count;
};

// Computes output (N, Q, M, D).
template <typename Samples>
void launch_forward(const Problem<Samples>& problem, typename Samples::Value* output);

// Adds to sums, whose first image is the first of `images`, and writes the gradients of the samples
// of these images.
template <typename Samples, typename Sums>
void launch_backward(const Problem<Samples>& problem, const ImageRange& images,
                     const typename Samples::Value* grad_output, const Sums& sums,
                     const typename Samples::Gradients& gradients);

}  // namespace medmask

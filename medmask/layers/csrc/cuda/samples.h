// Where a group's samples lie and what each counts, read by one thread a sample.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../sample.h"
#include "channels.h"
#include "group.h"

namespace medmask {

// A sample's place and attention weight as the kernels want them.
template <typename A>
struct Located {
  A x, y;              // in pixels
  A weight;            // not yet multiplied with bilinear weights
  A scale_x, scale_y;  // pixels per unit of what the place was given in: locations or offsets
};

template <typename T>
__device__ acc_t<T> read_number(const T* from) {
  return Channels<T, 1>(from).number(0);
}

// Keeps one index, not a pointer to each tensor: registers are scarce.
template <typename Samples, int kLanes>
class SampleReader;

template <typename T, int kLanes>
class SampleReader<GivenSamples<T>, kLanes> {
 public:
  using A = acc_t<T>;

  __device__ SampleReader(const Problem<GivenSamples<T>>& problem, const Group<kLanes>& group)
      : samples_(problem.samples),
        first_(group.index(problem.sizes) * problem.sizes.L * problem.sizes.P) {}

  __device__ Located<A> read(int s, const Level& level) const {
    const A* const location = samples_.locations + 2 * (first_ + s);
    const A x = read_number(location), y = read_number(location + 1);
    return {to_pixels(x, level.width), to_pixels(y, level.height),
            read_number(samples_.weights + first_ + s), A(level.width), A(level.height)};
  }

 private:
  const GivenSamples<T>& samples_;
  const int64_t first_;
};

template <typename T, int kLanes>
class SampleReader<ProjectedSamples<T>, kLanes> {
 public:
  using A = acc_t<T>;

  // Takes the softmax of the group's logits, which wants all threads of a warp.
  __device__ SampleReader(const Problem<ProjectedSamples<T>>& problem, const Group<kLanes>& group)
      : samples_(problem.samples),
        P_(problem.sizes.P),
        first_(group.index(problem.sizes) * problem.sizes.L * P_),
        first_reference_((group.n * problem.sizes.Q + group.q) * problem.sizes.L) {
    const int count = problem.sizes.L * P_;
    largest_ = -INFINITY;
    for (int s = group.lane; s < count; s += kLanes) {
      const A logit = this->logit(s);
      largest_ = logit > largest_ ? logit : largest_;
    }
    largest_ = largest_of_group<kLanes>(largest_);
    A sum = 0;
    for (int s = group.lane; s < count; s += kLanes) sum += exp(logit(s) - largest_);
    scale_ = 1 / sum_over_group<kLanes>(sum);
  }

  __device__ A weight(int s) const { return exp(logit(s) - largest_) * scale_; }

  __device__ A offset(int s, int axis) const {
    return read_number(samples_.offsets + 2 * (first_ + s) + axis);
  }

  __device__ Located<A> read(int s, const Level& level) const {
    const int R = samples_.R;
    const A* const reference = samples_.references + (first_reference_ + level.index) * R;
    A scale_x = 1, scale_y = 1;
    if (R == 4) {
      scale_x = read_number(reference + 2) * level.width * (A(0.5) / P_);
      scale_y = read_number(reference + 3) * level.height * (A(0.5) / P_);
    }
    return {to_pixels(read_number(reference), level.width) + offset(s, 0) * scale_x,
            to_pixels(read_number(reference + 1), level.height) + offset(s, 1) * scale_y, weight(s),
            scale_x, scale_y};
  }

 private:
  __device__ A logit(int s) const { return read_number(samples_.logits + first_ + s); }

  const ProjectedSamples<T>& samples_;
  const int P_;
  const int64_t first_, first_reference_;
  A largest_, scale_;
};

}  // namespace medmask

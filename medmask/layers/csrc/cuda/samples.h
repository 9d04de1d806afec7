// Where a group's samples lie and what each counts, read by one thread a sample.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../sample.h"
#include "channels.h"
#include "group.h"

namespace medmask {

// A sample's place in pixels, its attention weight, and the pixels per unit of what its place was
// given in: locations or offsets.
template <typename A>
struct Located {
  A x, y, weight, scale_x, scale_y;
};

template <typename T>
__device__ acc_t<T> read_number(const T* from) {
  return static_cast<acc_t<T>>(Channels<T, 1>::read(from).channel[0]);
}

template <typename Samples, int kLanes>
class SampleReader;

template <typename T, int kLanes>
class SampleReader<GivenSamples<T>, kLanes> {
 public:
  using A = acc_t<T>;

  __device__ SampleReader(const Problem<GivenSamples<T>>& problem, const Group<kLanes>& group) {
    const int64_t first = group.index * problem.sizes.L * problem.sizes.P;
    locations_ = problem.samples.locations + 2 * first;
    weights_ = problem.samples.weights + first;
  }

  __device__ Located<A> read(int s, const Level& level) const {
    const A x = read_number(locations_ + 2 * s), y = read_number(locations_ + 2 * s + 1);
    return {to_pixels(x, level.width), to_pixels(y, level.height), read_number(weights_ + s),
            A(level.width), A(level.height)};
  }

 private:
  const A *locations_, *weights_;
};

template <typename T, int kLanes>
class SampleReader<ProjectedSamples<T>, kLanes> {
 public:
  using A = acc_t<T>;

  // Takes the softmax of the group's logits, which wants all threads of a warp.
  __device__ SampleReader(const Problem<ProjectedSamples<T>>& problem, const Group<kLanes>& group)
      : P_(problem.sizes.P), R_(problem.samples.R) {
    const int count = static_cast<int>(problem.sizes.L * problem.sizes.P);
    const int64_t first = group.index * count;
    references_ =
        problem.samples.references + (group.n * problem.sizes.Q + group.q) * problem.sizes.L * R_;
    offsets_ = problem.samples.offsets + 2 * first;
    logits_ = problem.samples.logits + first;
    largest_ = -INFINITY;
    for (int s = group.lane; s < count; s += kLanes) {
      const A logit = read_number(logits_ + s);
      largest_ = logit > largest_ ? logit : largest_;
    }
    largest_ = largest_of_group<kLanes>(largest_);
    A sum = 0;
    for (int s = group.lane; s < count; s += kLanes) {
      sum += exp(read_number(logits_ + s) - largest_);
    }
    scale_ = 1 / sum_over_group<kLanes>(sum);
  }

  __device__ A weight(int s) const { return exp(read_number(logits_ + s) - largest_) * scale_; }

  __device__ A offset(int s, int axis) const { return read_number(offsets_ + 2 * s + axis); }

  __device__ Located<A> read(int s, const Level& level) const {
    const A* const reference = references_ + level.index * R_;
    A scale_x = 1, scale_y = 1;
    if (R_ == 4) {
      scale_x = read_number(reference + 2) * level.width * (A(0.5) / P_);
      scale_y = read_number(reference + 3) * level.height * (A(0.5) / P_);
    }
    return {to_pixels(read_number(reference), level.width) + offset(s, 0) * scale_x,
            to_pixels(read_number(reference + 1), level.height) + offset(s, 1) * scale_y, weight(s),
            scale_x, scale_y};
  }

 private:
  const int P_, R_;
  const A* references_;
  const T *offsets_, *logits_;
  A largest_, scale_;
};

}  // namespace medmask

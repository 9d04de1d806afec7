// The gradients of a group's samples, written by the thread that read the sample.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "group.h"
#include "samples.h"

namespace medmask {

// What the chain rule gives a sample: the gradients of its attention weight, and of its place in
// pixels and in units of what the place was given in.
template <typename A>
struct SampleGradient {
  A by_weight, by_x, by_y, by_given_x, by_given_y;
};

template <typename Samples, int kLanes>
class GradientWriter;

template <typename T, int kLanes>
class GradientWriter<GivenSamples<T>, kLanes> {
 public:
  using Samples = GivenSamples<T>;
  using A = acc_t<T>;

  // Numbers of a sample that wait in shared memory for those of the group's other samples.
  static int num_kept(const typename Samples::Gradients&) { return 0; }

  __device__ GradientWriter(const Problem<Samples>& problem,
                            const typename Samples::Gradients& gradients,
                            const Group<kLanes>& group, A*)
      : gradients_(gradients),
        first_(group.index(problem.sizes) * problem.sizes.L * problem.sizes.P) {}

  __device__ void write(int s, const SampleGradient<A>& gradient) const {
    A* const location = gradients_.locations + 2 * (first_ + s);
    location[0] = gradient.by_given_x;
    location[1] = gradient.by_given_y;
    gradients_.weights[first_ + s] = gradient.by_weight;
  }

  __device__ void finish(const Problem<Samples>&, const SampleReader<Samples, kLanes>&,
                         const Group<kLanes>&, const Level*) const {}

 private:
  const typename Samples::Gradients& gradients_;
  const int64_t first_;
};

// The gradient of a logit needs those of all attention weights, and that of a reference point those
// of all offsets on its level.
template <typename T, int kLanes>
class GradientWriter<ProjectedSamples<T>, kLanes> {
 public:
  using Samples = ProjectedSamples<T>;
  using A = acc_t<T>;

  static int num_kept(const typename Samples::Gradients& gradients) {
    return gradients.references ? 3 : 1;
  }

  __device__ GradientWriter(const Problem<Samples>& problem,
                            const typename Samples::Gradients& gradients,
                            const Group<kLanes>& group, A* kept)
      : gradients_(gradients),
        count_(problem.sizes.L * problem.sizes.P),
        first_(group.index(problem.sizes) * count_),
        kept_(kept + threadIdx.x - group.lane) {}

  __device__ void write(int s, const SampleGradient<A>& gradient) const {
    T* const offset = gradients_.offsets + 2 * (first_ + s);
    offset[0] = static_cast<T>(gradient.by_given_x);
    offset[1] = static_cast<T>(gradient.by_given_y);
    kept(kByWeight, s) = gradient.by_weight;
    if (gradients_.references) {
      kept(kByX, s) = gradient.by_x;
      kept(kByX + 1, s) = gradient.by_y;
    }
  }

  // Wants all threads of a warp.
  __device__ void finish(const Problem<Samples>& problem,
                         const SampleReader<Samples, kLanes>& reader, const Group<kLanes>& group,
                         const Level* levels) const {
    A mean = 0;
    if (group.active) {  // else nothing was kept
      for (int s = group.lane; s < count_; s += kLanes) {
        mean += reader.weight(s) * kept(kByWeight, s);
      }
    }
    mean = sum_over_group<kLanes>(mean);
    if (group.active) {
      for (int s = group.lane; s < count_; s += kLanes) {
        gradients_.logits[first_ + s] =
            static_cast<T>(reader.weight(s) * (kept(kByWeight, s) - mean));
      }
    }
    if (!gradients_.references) return;
    __syncwarp();  // what the group's threads have kept is there
    if (group.active) write_references(problem, reader, group, levels);
  }

 private:
  static constexpr int kByWeight = 0, kByX = 1;

  // A number of sample s.
  __device__ A& kept(int number, int s) const {
    const int rounds = (count_ + kLanes - 1) / kLanes;
    return kept_[(number * rounds + s / kLanes) * blockDim.x + s % kLanes];
  }

  // A thread sums up the points of a level for x, and its box's width, or for y and the height.
  __device__ void write_references(const Problem<Samples>& problem,
                                   const SampleReader<Samples, kLanes>& reader,
                                   const Group<kLanes>& group, const Level* levels) const {
    const Sizes& sizes = problem.sizes;
    const int P = sizes.P, R = problem.samples.R;
    A* const references =
        gradients_.references + ((group.n * sizes.M + group.m) * sizes.Q + group.q) * sizes.L * R;
    for (int i = group.lane; i < 2 * sizes.L; i += kLanes) {
      const int l = i / 2, axis = i % 2;
      A by_place = 0, by_size = 0;
      for (int s = l * P; s < (l + 1) * P; ++s) {
        const A gradient = kept(kByX + axis, s);
        by_place += gradient;
        if (gradient != 0) by_size += gradient * reader.offset(s, axis);  // else maybe not finite
      }
      const A pixels = axis == 0 ? levels[l * P].width : levels[l * P].height;
      references[l * R + axis] = pixels * by_place;
      if (R == 4) references[l * R + 2 + axis] = pixels * by_size * (A(0.5) / P);
    }
  }

  const typename Samples::Gradients& gradients_;
  const int count_;
  const int64_t first_;
  A* const kept_;  // of the group's first thread
};

}  // namespace medmask

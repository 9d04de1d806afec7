// The gradients of a group's samples, written by the thread that read the sample.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "group.h"
#include "samples.h"

namespace medmask {

// What the chain rule gives a sample: the gradients of its attention weight and of x and y.
template <typename A>
struct SampleGradient {
  A by_weight, by_x, by_y;
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
                            const Group<kLanes>& group, A*) {
    const int64_t first = group.index * problem.sizes.L * problem.sizes.P;
    locations_ = gradients.locations + 2 * first;
    weights_ = gradients.weights + first;
  }

  __device__ void write(int s, const Located<A>& sample, const SampleGradient<A>& gradient) {
    locations_[2 * s] = sample.scale_x * gradient.by_x;
    locations_[2 * s + 1] = sample.scale_y * gradient.by_y;
    weights_[s] = gradient.by_weight;
  }

  __device__ void finish(const Problem<Samples>&, const SampleReader<Samples, kLanes>&,
                         const Group<kLanes>&, const Level*) {}

 private:
  A *locations_, *weights_;
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
      : count_(problem.sizes.L * problem.sizes.P), kept_(kept + threadIdx.x - group.lane) {
    const int64_t first = group.index * count_;
    offsets_ = gradients.offsets + 2 * first;
    logits_ = gradients.logits + first;
    references_ = gradients.references;
    if (references_) {
      const Sizes& sizes = problem.sizes;
      references_ +=
          ((group.n * sizes.M + group.m) * sizes.Q + group.q) * sizes.L * problem.samples.R;
    }
  }

  __device__ void write(int s, const Located<A>& sample, const SampleGradient<A>& gradient) {
    offsets_[2 * s] = static_cast<T>(sample.scale_x * gradient.by_x);
    offsets_[2 * s + 1] = static_cast<T>(sample.scale_y * gradient.by_y);
    mean_ += sample.weight * gradient.by_weight;
    kept(kByWeight, s) = gradient.by_weight;
    if (references_) {
      kept(kByX, s) = gradient.by_x;
      kept(kByX + 1, s) = gradient.by_y;
    }
  }

  // Wants all threads of a warp.
  __device__ void finish(const Problem<Samples>& problem,
                         const SampleReader<Samples, kLanes>& reader, const Group<kLanes>& group,
                         const Level* levels) {
    const A mean = sum_over_group<kLanes>(mean_);
    if (group.active) {
      for (int s = group.lane; s < count_; s += kLanes) {
        logits_[s] = static_cast<T>(reader.weight(s) * (kept(kByWeight, s) - mean));
      }
    }
    if (!references_) return;
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
    const int P = problem.sizes.P, R = problem.samples.R;
    for (int i = group.lane; i < 2 * problem.sizes.L; i += kLanes) {
      const int l = i / 2, axis = i % 2;
      A by_place = 0, by_size = 0;
      for (int s = l * P; s < (l + 1) * P; ++s) {
        const A gradient = kept(kByX + axis, s);
        by_place += gradient;
        if (gradient != 0) by_size += gradient * reader.offset(s, axis);  // else maybe not finite
      }
      const A pixels = axis == 0 ? levels[l * P].width : levels[l * P].height;
      references_[l * R + axis] = pixels * by_place;
      if (R == 4) references_[l * R + 2 + axis] = pixels * by_size * (A(0.5) / P);
    }
  }

  const int count_;
  A* const kept_;  // of the group's first thread
  T *offsets_, *logits_;
  A* references_;
  A mean_ = 0;  // of the attention weights' gradients, weighted by them: this thread's part
};

}  // namespace medmask

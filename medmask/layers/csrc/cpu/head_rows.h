// Copies of one head's rows, side by side: they fill cache lines, cache sets and pages without
// gaps. With many samples a token that is worth more than the copying takes.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>

#include <cstring>
#include <vector>

#include "../problem.h"
#include "kernels.h"

namespace medmask {

// Whether to work on copies. For few samples they would take longer than the kernel.
inline bool gathers_heads(const Sizes& sizes) {
  return sizes.M > 1 && sizes.Q * sizes.L * sizes.P >= 2 * sizes.S;
}

// The first token of each level, and the end of the last.
template <typename Samples>
std::vector<int64_t> level_bounds(const Problem<Samples>& problem) {
  const int64_t* const starts = problem.level_start_index;
  std::vector<int64_t> bounds(starts, starts + problem.sizes.L);
  bounds.push_back(problem.sizes.S);
  return bounds;
}

// The values of one head after another.
template <typename Samples>
class HeadRows {
 public:
  using T = typename Samples::Value;

  explicit HeadRows(const Problem<Samples>& problem)
      : problem_(problem),
        bounds_(level_bounds(problem)),
        values_(at::empty({problem.sizes.S, problem.sizes.D}, c10::CppTypeToScalarType<T>::value)) {
  }

  // The problem, with the values of a head, counted as (n, m), on some levels in place of all.
  Problem<Samples> gather(int64_t head, int64_t first_level, int64_t last_level) {
    const int64_t D = problem_.sizes.D, M = problem_.sizes.M;
    const T* const from = problem_.value.first(head / M, head % M);
    T* const values = values_.mutable_data_ptr<T>();
    for (int64_t s = bounds_[first_level]; s < bounds_[last_level]; ++s) {
      std::memcpy(values + s * D, from + s * problem_.value.token, D * sizeof(T));
    }
    Problem<Samples> problem = problem_;
    problem.value = {values, 0, 0, D};
    return problem;
  }

 private:
  const Problem<Samples>& problem_;
  const std::vector<int64_t> bounds_;
  const at::Tensor values_;  // (S, D)
};

// The sums that make up the gradients of one head's values after another.
template <typename Samples>
class HeadSums {
 public:
  using T = typename Samples::Value;
  using A = acc_t<T>;

  explicit HeadSums(const Problem<Samples>& problem)
      : sizes_(problem.sizes),
        bounds_(level_bounds(problem)),
        sums_(at::empty({problem.sizes.S, problem.sizes.D}, c10::CppTypeToScalarType<A>::value)) {}

  // Rows of zeros to add to.
  Rows<A> clear(int64_t first_level, int64_t last_level) {
    const int64_t D = sizes_.D, begin = bounds_[first_level] * D, end = bounds_[last_level] * D;
    A* const sums = sums_.mutable_data_ptr<A>();
    std::memset(sums + begin, 0, (end - begin) * sizeof(A));
    return {sums, 0, 0, D};
  }

  // Writes what was added as the gradient of value of a head, counted as (n, m).
  void settle(int64_t head, int64_t first_level, int64_t last_level, const Rows<T>& to) const {
    const int64_t begin = bounds_[first_level], end = bounds_[last_level];
    settle_rows(sums_.const_data_ptr<A>() + begin * sizes_.D, end - begin, sizes_.D, to.token,
                to.first(head / sizes_.M, head % sizes_.M) + begin * to.token);
  }

 private:
  const Sizes sizes_;
  const std::vector<int64_t> bounds_;
  const at::Tensor sums_;  // (S, D)
};

}  // namespace medmask

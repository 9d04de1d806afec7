// The operator on the CPU: lays the tensors out for the kernels, shares the work among threads, and
// registers the result with PyTorch's dispatcher.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <vector>

#include "../inputs.h"
#include "../registration.h"
#include "head_rows.h"
#include "kernels.h"

namespace medmask {
namespace {

constexpr int64_t kGrain = 32768;  // multiplications below which a thread is not worth waking

// That the levels fill the tokens one after the other.
void check_levels(const ValueInputs& inputs) {
  const int64_t* const shapes = inputs.spatial_shapes.const_data_ptr<int64_t>();
  const int64_t* const starts = inputs.level_start_index.const_data_ptr<int64_t>();
  const int64_t num_tokens = inputs.sizes.S;
  int64_t end = 0;
  for (int64_t level = 0; level < inputs.sizes.L; ++level) {
    const int64_t h = shapes[2 * level], w = shapes[2 * level + 1];
    TORCH_CHECK_VALUE(h > 0 && w > 0, "spatial_shapes[", level, "] must be positive, but is ", h,
                      " x ", w);
    TORCH_CHECK_VALUE(starts[level] == end, "level_start_index[", level, "] must be ", end,
                      ", where the level before it ends, but is ", starts[level]);
    TORCH_CHECK_VALUE(h <= (num_tokens - end) / w, "spatial_shapes must hold as many cells as ",
                      "value has tokens, ", num_tokens, ", but holds more");
    end += h * w;
  }
  TORCH_CHECK_VALUE(end == num_tokens, "spatial_shapes must hold as many cells as value has ",
                    "tokens, ", num_tokens, ", but holds ", end);
}

// Lays the checked arguments out. There are no kernels for float16: it is widened.
template <typename Inputs>
Inputs prepare(Inputs inputs) {
  check_levels(inputs);
  inputs.widen_half();
  return inputs;
}

// Calls `run` with a number of the C++ type of `dtype`.
template <typename Run>
auto dispatch_cpu(at::ScalarType dtype, const Run& run) {
  return dispatch<float, double, at::BFloat16>(dtype, run);
}

// Calls `work` with shares of [0, count), items of `cost` multiplications each.
template <typename Work>
void share(int64_t count, int64_t cost, const Work& work) {
  at::parallel_for(0, count, kGrain / std::max<int64_t>(1, cost) + 1, work);
}

template <typename Samples>
at::Tensor run_forward(const ValueInputs& inputs, const Problem<Samples>& problem) {
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const at::Tensor output = at::empty({N, Q, M * D}, inputs.value.options());
  auto* const to = output.mutable_data_ptr<typename Samples::Value>();
  share(N * M * Q, L * P * D, [&, Q = Q, L = L](int64_t begin, int64_t end) {
    if (!gathers_heads(problem.sizes)) return forward_share(problem, to, begin, end);
    HeadRows<Samples> rows(problem);
    for (int64_t i = begin; i < end;) {
      const int64_t head = i / Q, head_end = std::min(end, (head + 1) * Q);
      forward_share(rows.gather(head, 0, L), to, i, head_end);
      i = head_end;
    }
  });
  return output;
}

// A head of an image, and levels [first_level, last_level).
struct HeadLevels {
  int64_t head, first_level, last_level;
};

// Whether a head is one piece of work a level, which keeps more threads busy, or one in all. Either
// way each gradient has one owner, which adds in the order of the queries.
bool goes_by_level(const Sizes& sizes) {
  const int64_t heads = sizes.N * sizes.M, threads = at::get_num_threads();
  return heads % threads != 0 && heads < 8 * threads;
}

// Calls `work` with vectors of heads and levels.
template <typename Work>
void share_heads(const Sizes& sizes, const Work& work) {
  const int64_t heads = sizes.N * sizes.M, L = sizes.L, pieces = goes_by_level(sizes) ? L : 1;
  at::parallel_for(0, heads * pieces, 1, [&](int64_t begin, int64_t end) {
    std::vector<HeadLevels> share;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t piece = i % pieces;
      share.push_back({i / pieces, piece * L / pieces, (piece + 1) * L / pieces});
    }
    work(share);
  });
}

// Runs the backward kernel; gives the gradient of value.
template <typename Samples>
at::Tensor run_backward(const ValueInputs& inputs, const Problem<Samples>& problem,
                        const at::Tensor& grad_output,
                        const typename Samples::Gradients& sample_gradients) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const T* const g = grad_output.const_data_ptr<T>();
  if (gathers_heads(inputs.sizes)) {
    const at::Tensor grad_value = at::empty({N, S, M, D}, inputs.value.options());
    const Rows<T> to = rows_of<T>(grad_value);
    share_heads(inputs.sizes, [&](const std::vector<HeadLevels>& share) {
      HeadRows<Samples> rows(problem);
      HeadSums<Samples> sums(problem);
      for (const auto [head, first_level, last_level] : share) {
        const Gradients<Samples> gradients{g, sums.clear(first_level, last_level),
                                           sample_gradients};
        backward_share(rows.gather(head, first_level, last_level), gradients, head, first_level,
                       last_level);
        sums.settle(head, first_level, last_level, to);
      }
    });
    return grad_value;
  }
  const auto options = inputs.value.options().dtype(accumulation_dtype(inputs.value.scalar_type()));
  const at::Tensor sums = at::zeros({N, S, M, D}, options);
  const Gradients<Samples> gradients{g, rows_of<A>(sums), sample_gradients};
  share_heads(inputs.sizes, [&](const std::vector<HeadLevels>& share) {
    for (const auto [head, first_level, last_level] : share) {
      backward_share(problem, gradients, head, first_level, last_level);
    }
  });
  if constexpr (std::is_same_v<T, A>) {
    return sums;
  } else {
    const at::Tensor grad_value = at::empty({N, S, M, D}, inputs.value.options());
    T* const to = grad_value.mutable_data_ptr<T>();
    share(N * S * M, D, [&, D = D](int64_t begin, int64_t end) {
      settle_rows(sums.const_data_ptr<A>() + begin * D, end - begin, D, D, to + begin * D);
    });
    return grad_value;
  }
}

at::Tensor ms_deform_attn(const at::Tensor& value, const at::Tensor& spatial_shapes,
                          const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const auto inputs = prepare(
      GivenInputs(value, spatial_shapes, level_start_index, sampling_locations, attention_weights));
  return dispatch_cpu(
             inputs.value.scalar_type(),
             [&](auto number) { return run_forward(inputs, inputs.problem<decltype(number)>()); })
      .to(value.scalar_type());
}

at::Tensor ms_deform_attn_fused(const at::Tensor& value, const at::Tensor& spatial_shapes,
                                const at::Tensor& level_start_index,
                                const at::Tensor& reference_points,
                                const at::Tensor& sampling_offsets,
                                const at::Tensor& attention_logits) {
  const auto inputs =
      prepare(ProjectedInputs(value, spatial_shapes, level_start_index, reference_points,
                              sampling_offsets, attention_logits));
  return dispatch_cpu(
             inputs.value.scalar_type(),
             [&](auto number) { return run_forward(inputs, inputs.problem<decltype(number)>()); })
      .to(value.scalar_type());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(
    const at::Tensor& grad_output, const at::Tensor& value, const at::Tensor& spatial_shapes,
    const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
    const at::Tensor& attention_weights) {
  const auto inputs = prepare(
      GivenInputs(value, spatial_shapes, level_start_index, sampling_locations, attention_weights));
  const auto dtype = inputs.value.scalar_type();
  const at::Tensor g = check_grad_output(grad_output, value, inputs.sizes).to(dtype);
  const at::Tensor grad_locations = at::empty_like(inputs.sampling_locations);
  const at::Tensor grad_weights = at::empty_like(inputs.attention_weights);
  const at::Tensor grad_value = dispatch_cpu(dtype, [&](auto number) {
    using T = decltype(number);
    return run_backward(
        inputs, inputs.problem<T>(), g,
        {grad_locations.mutable_data_ptr<acc_t<T>>(), grad_weights.mutable_data_ptr<acc_t<T>>()});
  });
  return {grad_value.to(value.scalar_type()), grad_locations, grad_weights};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_fused_backward(
    const at::Tensor& grad_output, const at::Tensor& value, const at::Tensor& spatial_shapes,
    const at::Tensor& level_start_index, const at::Tensor& reference_points,
    const at::Tensor& sampling_offsets, const at::Tensor& attention_logits,
    bool reference_points_need_grad) {
  const auto inputs =
      prepare(ProjectedInputs(value, spatial_shapes, level_start_index, reference_points,
                              sampling_offsets, attention_logits));
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const int64_t R = reference_points.size(3);
  const auto dtype = inputs.value.scalar_type();
  const at::Tensor g = check_grad_output(grad_output, value, inputs.sizes).to(dtype);
  const at::Tensor grad_offsets = at::empty_like(inputs.sampling_offsets);
  const at::Tensor grad_logits = at::empty_like(inputs.attention_logits);
  const bool by_level = goes_by_level(inputs.sizes);
  const auto sums = accumulation_dtype(dtype);
  const at::Tensor grad_weights =  // read only if by_level
      by_level && dtype != sums ? at::empty(grad_logits.sizes(), grad_logits.options().dtype(sums))
                                : grad_logits;
  const at::Tensor grad_references =  // zeros, as levels without points leave theirs
      at::zeros(reference_points_need_grad ? at::DimVector{N, M, Q, L, R} : at::DimVector{0},
                inputs.reference_points.options());
  const at::Tensor grad_value = dispatch_cpu(dtype, [&](auto number) {
    using T = decltype(number);
    using A = acc_t<T>;
    const auto problem = inputs.problem<T>();
    const typename ProjectedSamples<T>::Gradients sample_gradients{
        reference_points_need_grad ? grad_references.mutable_data_ptr<A>() : nullptr,
        grad_offsets.mutable_data_ptr<T>(), grad_logits.mutable_data_ptr<T>(),
        by_level ? grad_weights.mutable_data_ptr<A>() : nullptr};
    at::Tensor result = run_backward(inputs, problem, g, sample_gradients);
    if (by_level) {
      share(N * Q * M, L * P, [&](int64_t begin, int64_t end) {
        logits_share(problem, sample_gradients, begin, end);
      });
    }
    return result;
  });
  const auto given = value.scalar_type();
  return {grad_value.to(given),
          reference_points_need_grad ? grad_references.sum(1) : grad_references,
          grad_offsets.to(given), grad_logits.to(given)};
}

}  // namespace

TORCH_LIBRARY_IMPL(medmask, CPU, registered) {
  register_kernels(registered, [](torch::Library& library) {
    library.impl("ms_deform_attn", ms_deform_attn);
    library.impl("ms_deform_attn_backward", ms_deform_attn_backward);
    library.impl("ms_deform_attn_fused", ms_deform_attn_fused);
    library.impl("ms_deform_attn_fused_backward", ms_deform_attn_fused_backward);
  });
}

}  // namespace medmask

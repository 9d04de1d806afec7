// The operator on the CPU: lays the tensors out for the kernels, shares the work among threads, and
// registers the result with PyTorch's dispatcher.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "../inputs.h"
#include "kernels.h"

namespace medmask {
namespace {

using Tensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

constexpr int64_t kGrain = 32768;  // multiplications below which a thread is not worth waking

// That the levels fill the tokens one after the other.
void check_levels(const Inputs& inputs) {
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

// With many samples a token it pays to gather each head's rows first: they then fill cache lines,
// cache sets and pages without gaps. For few samples the copy would take longer than the kernel.
bool gathers_heads(const Sizes& sizes) {
  return sizes.M > 1 && sizes.Q * sizes.L * sizes.P >= 2 * sizes.S;
}

// Checks the arguments and lays them out. There are no kernels for float16: it is widened.
Inputs prepare(const at::Tensor& value, const at::Tensor& spatial_shapes,
               const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
               const at::Tensor& attention_weights) {
  Inputs inputs(value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  check_levels(inputs);
  if (value.scalar_type() == at::kHalf) inputs.value = inputs.value.to(at::kFloat);
  if (gathers_heads(inputs.sizes)) {
    inputs.value = inputs.value.transpose(1, 2).contiguous().transpose(1, 2);
  }
  return inputs;
}

// Calls `run` with a number of the C++ type of `dtype`.
template <typename Run>
auto dispatch(at::ScalarType dtype, const Run& run) {
  switch (dtype) {
    case at::kFloat:
      return run(float{});
    case at::kDouble:
      return run(double{});
    case at::kBFloat16:
      return run(at::BFloat16{});
    default:
      TORCH_CHECK_VALUE(false, "value must be float32, float64, bfloat16 or float16, but is ",
                        dtype);
  }
}

template <typename T>
at::Tensor run_forward(const Inputs& inputs) {
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const at::Tensor output = at::empty({N, Q, M * D}, inputs.value.options());
  const Problem<T> problem = inputs.problem<T>();
  T* const to = output.mutable_data_ptr<T>();
  const int64_t grain = kGrain / std::max<int64_t>(1, L * P * D) + 1;
  at::parallel_for(0, N * M * Q, grain,
                   [&](int64_t begin, int64_t end) { forward_share(problem, to, begin, end); });
  return output;
}

template <typename T>
Tensors run_backward(const Inputs& inputs, const at::Tensor& grad_output) {
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const auto options = inputs.attention_weights.options();  // those of sums
  const at::Tensor grad_value = gathers_heads(inputs.sizes)
                                    ? at::zeros({N, M, S, D}, options).transpose(1, 2)
                                    : at::zeros({N, S, M, D}, options);
  const at::Tensor grad_locations = at::empty({N, Q, M, L, P, 2}, options);
  const at::Tensor grad_weights = at::empty({N, Q, M, L, P}, options);
  const Problem<T> problem = inputs.problem<T>();
  const Gradients<T> gradients{grad_output.const_data_ptr<T>(), rows_of<acc_t<T>>(grad_value),
                               grad_locations.mutable_data_ptr<acc_t<T>>(),
                               grad_weights.mutable_data_ptr<acc_t<T>>()};
  // A head of an image is one piece of work, or one a level where that keeps more threads busy:
  // either way each gradient has one owner, which adds in the order of the queries.
  const int64_t heads = N * M, threads = at::get_num_threads();
  const int64_t pieces = heads % threads == 0 || heads >= 8 * threads ? 1 : L;
  at::parallel_for(0, heads * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / pieces, piece = i % pieces;
      backward_share(problem, gradients, head / M, head % M, piece * L / pieces,
                     (piece + 1) * L / pieces);
    }
  });
  return {grad_value, grad_locations, grad_weights};
}

at::Tensor ms_deform_attn(const at::Tensor& value, const at::Tensor& spatial_shapes,
                          const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const Inputs inputs =
      prepare(value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  return dispatch(inputs.value.scalar_type(),
                  [&](auto number) { return run_forward<decltype(number)>(inputs); })
      .to(value.scalar_type());
}

Tensors ms_deform_attn_backward(const at::Tensor& grad_output, const at::Tensor& value,
                                const at::Tensor& spatial_shapes,
                                const at::Tensor& level_start_index,
                                const at::Tensor& sampling_locations,
                                const at::Tensor& attention_weights) {
  const Inputs inputs =
      prepare(value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  const at::Tensor g =
      check_grad_output(grad_output, value, inputs.sizes).to(inputs.value.scalar_type());
  auto [grad_value, grad_locations, grad_weights] =
      dispatch(inputs.value.scalar_type(),
               [&](auto number) { return run_backward<decltype(number)>(inputs, g); });
  return {grad_value.contiguous().to(value.scalar_type()), grad_locations, grad_weights};
}

}  // namespace

TORCH_LIBRARY_IMPL(medmask, CPU, library) {
  library.impl("ms_deform_attn", ms_deform_attn);
  library.impl("ms_deform_attn_backward", ms_deform_attn_backward);
}

}  // namespace medmask

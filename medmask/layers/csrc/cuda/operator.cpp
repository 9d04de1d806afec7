// The operator on CUDA devices: lays the tensors out for the kernels and registers the result with
// PyTorch's dispatcher.
#include <ATen/Context.h>
#include <ATen/DeviceGuard.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <tuple>

#include "../inputs.h"
#include "kernels.h"

namespace medmask {
namespace {

using Tensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// Calls `run` with a number of the C++ type of `dtype`.
template <typename Run>
auto dispatch(at::ScalarType dtype, const Run& run) {
  switch (dtype) {
    case at::kFloat:
      return run(float{});
    case at::kDouble:
      return run(double{});
    case at::kHalf:
      return run(at::Half{});
    case at::kBFloat16:
      return run(at::BFloat16{});
    default:
      TORCH_CHECK_VALUE(false, "value must be float32, float64, bfloat16 or float16, but is ",
                        dtype);
  }
}

at::Tensor ms_deform_attn(const at::Tensor& value, const at::Tensor& spatial_shapes,
                          const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const at::DeviceGuard guard(value.device());
  const Inputs inputs(value, spatial_shapes, level_start_index, sampling_locations,
                      attention_weights);
  const Sizes& sizes = inputs.sizes;
  const at::Tensor output = at::empty({sizes.N, sizes.Q, sizes.M * sizes.D}, value.options());
  if (output.numel() == 0) return output;
  dispatch(value.scalar_type(), [&](auto number) {
    using T = decltype(number);
    launch_forward(inputs.problem<T>(), output.mutable_data_ptr<T>());
  });
  return output;
}

Tensors ms_deform_attn_backward(const at::Tensor& grad_output, const at::Tensor& value,
                                const at::Tensor& spatial_shapes,
                                const at::Tensor& level_start_index,
                                const at::Tensor& sampling_locations,
                                const at::Tensor& attention_weights) {
  const at::DeviceGuard guard(value.device());
  const Inputs inputs(value, spatial_shapes, level_start_index, sampling_locations,
                      attention_weights);
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const at::Tensor g = check_grad_output(grad_output, value, inputs.sizes);
  const auto options = attention_weights.options();  // those of sums
  const at::Tensor grad_value = at::zeros({N, S, M, D}, options);
  const at::Tensor grad_locations = at::zeros({N, Q, M, L, P, 2}, options);
  const at::Tensor grad_weights = at::zeros({N, Q, M, L, P}, options);
  if (g.numel() > 0 && grad_weights.numel() > 0) {
    at::globalContext().alertNotDeterministic("ms_deform_attn_backward_cuda");
    dispatch(value.scalar_type(), [&](auto number) {
      using T = decltype(number);
      const Gradients<T> gradients{g.const_data_ptr<T>(), rows_of<acc_t<T>>(grad_value),
                                   grad_locations.mutable_data_ptr<acc_t<T>>(),
                                   grad_weights.mutable_data_ptr<acc_t<T>>()};
      launch_backward(inputs.problem<T>(), gradients);
    });
  }
  return {grad_value.to(value.scalar_type()), grad_locations, grad_weights};
}

}  // namespace

TORCH_LIBRARY_IMPL(medmask, CUDA, library) {
  library.impl("ms_deform_attn", ms_deform_attn);
  library.impl("ms_deform_attn_backward", ms_deform_attn_backward);
}

}  // namespace medmask

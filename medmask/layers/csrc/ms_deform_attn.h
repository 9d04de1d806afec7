// What the kernels of all devices share: the shape of a problem, and the checks that keep a direct
// call through torch.ops within its tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace medmask {

// Shape suffixes: N images, S tokens, Q queries, M heads, D channels a head, L levels, P points.
struct Sizes {
  int64_t N, S, M, D, Q, L, P;
};

// The dtype of sums, sampling locations and attention weights.
inline at::ScalarType accumulation_dtype(at::ScalarType value_dtype) {
  return value_dtype == at::kDouble ? at::kDouble : at::kFloat;
}

// Checks shapes, dtypes and devices, and returns the sizes.
inline Sizes check_inputs(const at::Tensor& value, const at::Tensor& spatial_shapes,
                          const at::Tensor& level_start_index,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  TORCH_CHECK_VALUE(value.dim() == 4, "value must be (N, S, M, D), but its shape is ",
                    value.sizes());
  TORCH_CHECK_VALUE(sampling_locations.dim() == 6,
                    "sampling_locations must be (N, Q, M, L, P, 2), but its shape is ",
                    sampling_locations.sizes());
  const Sizes sizes{value.size(0),
                    value.size(1),
                    value.size(2),
                    value.size(3),
                    sampling_locations.size(1),
                    sampling_locations.size(3),
                    sampling_locations.size(4)};
  const auto check = [&](const char* name, const at::Tensor& tensor, at::IntArrayRef shape,
                         at::ScalarType dtype) {
    TORCH_CHECK_VALUE(tensor.sizes() == shape, name, " must have the shape ", shape, ", but has ",
                      tensor.sizes());
    TORCH_CHECK_VALUE(tensor.scalar_type() == dtype, name, " must be ", dtype, ", but is ",
                      tensor.scalar_type());
    TORCH_CHECK_VALUE(tensor.device() == value.device(), name, " must be on value's device, ",
                      value.device(), ", but is on ", tensor.device());
  };
  const auto [N, S, M, D, Q, L, P] = sizes;
  const auto dtype = accumulation_dtype(value.scalar_type());
  check("spatial_shapes", spatial_shapes, {L, 2}, at::kLong);
  check("level_start_index", level_start_index, {L}, at::kLong);
  check("sampling_locations", sampling_locations, {N, Q, M, L, P, 2}, dtype);
  check("attention_weights", attention_weights, {N, Q, M, L, P}, dtype);
  return sizes;
}

inline void check_grad_output(const at::Tensor& grad_output, const at::Tensor& value,
                              const Sizes& sizes) {
  const int64_t shape[] = {sizes.N, sizes.Q, sizes.M * sizes.D};
  TORCH_CHECK_VALUE(grad_output.sizes() == at::IntArrayRef(shape),
                    "grad_output must have the shape ", at::IntArrayRef(shape), ", but has ",
                    grad_output.sizes());
  TORCH_CHECK_VALUE(grad_output.scalar_type() == value.scalar_type(), "grad_output must be ",
                    value.scalar_type(), ", but is ", grad_output.scalar_type());
  TORCH_CHECK_VALUE(grad_output.device() == value.device(),
                    "grad_output must be on value's device, ", value.device(), ", but is on ",
                    grad_output.device());
}

}  // namespace medmask

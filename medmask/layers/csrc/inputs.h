// The operator's arguments, checked: a direct call through torch.ops must not reach beyond a
// tensor. medmask.layers.ms_deform_attn makes the same checks earlier.
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>
#include <type_traits>

#include "problem.h"

namespace medmask {

// The dtype of sums, locations and weights.
inline at::ScalarType accumulation_dtype(at::ScalarType value_dtype) {
  return value_dtype == at::kDouble ? at::kDouble : at::kFloat;
}

inline void check_tensor(const char* name, const at::Tensor& tensor, at::IntArrayRef shape,
                         at::ScalarType dtype, at::Device device) {
  TORCH_CHECK_VALUE(tensor.sizes() == shape, name, " must have the shape ", shape, ", but has ",
                    tensor.sizes());
  TORCH_CHECK_VALUE(tensor.scalar_type() == dtype, name, " must be ", dtype, ", but is ",
                    tensor.scalar_type());
  TORCH_CHECK_VALUE(tensor.device() == device, name, " must be on value's device, ", device,
                    ", but is on ", tensor.device());
}

inline Sizes check_inputs(const at::Tensor& value, const at::Tensor& spatial_shapes,
                          const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  TORCH_CHECK_VALUE(value.dim() == 4, "value must be (N, S, M, D), but its shape is ",
                    value.sizes());
  TORCH_CHECK_VALUE(sampling_locations.dim() == 6,
                    "sampling_locations must be (N, Q, M, L, P, 2), but its shape is ",
                    sampling_locations.sizes());
  const int64_t N = value.size(0), S = value.size(1), M = value.size(2), D = value.size(3);
  const int64_t Q = sampling_locations.size(1), L = sampling_locations.size(3),
                P = sampling_locations.size(4);
  TORCH_CHECK_VALUE(S <= std::numeric_limits<int32_t>::max(),
                    "value must have fewer than 2^31 tokens, but has ", S);
  const auto dtype = accumulation_dtype(value.scalar_type());
  const auto device = value.device();
  check_tensor("spatial_shapes", spatial_shapes, {L, 2}, at::kLong, device);
  check_tensor("level_start_index", level_start_index, {L}, at::kLong, device);
  check_tensor("sampling_locations", sampling_locations, {N, Q, M, L, P, 2}, dtype, device);
  check_tensor("attention_weights", attention_weights, {N, Q, M, L, P}, dtype, device);
  return {N, S, M, D, Q, L, P};
}

template <typename T>
Rows<T> rows_of(const at::Tensor& value) {
  T* data;
  if constexpr (std::is_const_v<T>) {
    data = value.const_data_ptr<std::remove_const_t<T>>();
  } else {
    data = value.mutable_data_ptr<T>();
  }
  return {data, value.stride(0), value.stride(2), value.stride(1)};
}

// The checked arguments, laid out as the kernels want them.
struct Inputs {
  Inputs(const at::Tensor& value, const at::Tensor& spatial_shapes,
         const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
         const at::Tensor& attention_weights)
      : sizes(check_inputs(value, spatial_shapes, level_start_index, sampling_locations,
                           attention_weights)),
        value(value.stride(3) == 1 ? value : value.contiguous()),
        spatial_shapes(spatial_shapes.contiguous()),
        level_start_index(level_start_index.contiguous()),
        sampling_locations(sampling_locations.contiguous()),
        attention_weights(attention_weights.contiguous()) {}

  template <typename T>
  Problem<T> problem() const {
    return {sizes,
            spatial_shapes.const_data_ptr<int64_t>(),
            level_start_index.const_data_ptr<int64_t>(),
            rows_of<const T>(value),
            sampling_locations.const_data_ptr<acc_t<T>>(),
            attention_weights.const_data_ptr<acc_t<T>>()};
  }

  const Sizes sizes;
  at::Tensor value;  // (N, S, M, D), the channels of a row side by side
  at::Tensor spatial_shapes, level_start_index, sampling_locations, attention_weights;
};

// The gradient of the output, checked and contiguous.
inline at::Tensor check_grad_output(const at::Tensor& grad_output, const at::Tensor& value,
                                    const Sizes& sizes) {
  check_tensor("grad_output", grad_output, {sizes.N, sizes.Q, sizes.M * sizes.D},
               value.scalar_type(), value.device());
  return grad_output.contiguous();
}

}  // namespace medmask

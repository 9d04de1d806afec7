// The operator's arguments, checked: a direct call through torch.ops must not reach beyond a
// tensor. medmask.layers.ms_deform_attn makes the same checks earlier.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

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

// Calls `run` with a number of the C++ type of `dtype`, which is one of Ts.
template <typename T, typename... Ts, typename Run>
auto dispatch(at::ScalarType dtype, const Run& run) {
  if (dtype == c10::CppTypeToScalarType<T>::value) return run(T{});
  if constexpr (sizeof...(Ts) > 0) {
    return dispatch<Ts...>(dtype, run);
  } else {
    TORCH_CHECK_VALUE(false, "value must be float32, float64, bfloat16 or float16, but is ", dtype);
  }
}

// Checks all but the tensors that say where to sample; `samples` is the one of these that is
// (N, Q, M, L, P, 2).
inline Sizes check_value(const at::Tensor& value, const at::Tensor& spatial_shapes,
                         const at::Tensor& level_start_index, const char* name,
                         const at::Tensor& samples) {
  TORCH_CHECK_VALUE(value.dim() == 4, "value must be (N, S, M, D), but its shape is ",
                    value.sizes());
  TORCH_CHECK_VALUE(samples.dim() == 6, name, " must be (N, Q, M, L, P, 2), but its shape is ",
                    samples.sizes());
  const int64_t N = value.size(0), S = value.size(1), M = value.size(2), D = value.size(3);
  const int64_t Q = samples.size(1), L = samples.size(3), P = samples.size(4);
  TORCH_CHECK_VALUE(S <= std::numeric_limits<int32_t>::max(),
                    "value must have fewer than 2^31 tokens, but has ", S);
  const auto device = value.device();
  check_tensor("spatial_shapes", spatial_shapes, {L, 2}, at::kLong, device);
  check_tensor("level_start_index", level_start_index, {L}, at::kLong, device);
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

// The checked arguments, laid out as the kernels want them: what both operators share.
struct ValueInputs {
  ValueInputs(const Sizes& sizes, const at::Tensor& value, const at::Tensor& spatial_shapes,
              const at::Tensor& level_start_index)
      : sizes(sizes),
        value(value.stride(3) == 1 ? value : value.contiguous()),
        spatial_shapes(spatial_shapes.contiguous()),
        level_start_index(level_start_index.contiguous()) {}

  void widen_half() {
    if (value.scalar_type() == at::kHalf) value = value.to(at::kFloat);
  }

  template <typename Samples>
  Problem<Samples> problem_of(const Samples& samples) const {
    return {sizes, spatial_shapes.const_data_ptr<int64_t>(),
            level_start_index.const_data_ptr<int64_t>(),
            rows_of<const typename Samples::Value>(value), samples};
  }

  const Sizes sizes;
  at::Tensor value;  // (N, S, M, D), the channels of a row side by side
  at::Tensor spatial_shapes, level_start_index;
};

// The arguments of ms_deform_attn.
struct GivenInputs : ValueInputs {
  template <typename T>
  using Samples = GivenSamples<T>;

  GivenInputs(const at::Tensor& value, const at::Tensor& spatial_shapes,
              const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
              const at::Tensor& attention_weights)
      : ValueInputs(check_value(value, spatial_shapes, level_start_index, "sampling_locations",
                                sampling_locations),
                    value, spatial_shapes, level_start_index),
        sampling_locations(sampling_locations.contiguous()),
        attention_weights(attention_weights.contiguous()) {
    const auto [N, S, M, D, Q, L, P] = sizes;
    const auto dtype = accumulation_dtype(value.scalar_type());
    const auto device = value.device();
    check_tensor("sampling_locations", sampling_locations, {N, Q, M, L, P, 2}, dtype, device);
    check_tensor("attention_weights", attention_weights, {N, Q, M, L, P}, dtype, device);
  }

  template <typename T>
  Problem<GivenSamples<T>> problem() const {
    return problem_of(GivenSamples<T>{sampling_locations.const_data_ptr<acc_t<T>>(),
                                      attention_weights.const_data_ptr<acc_t<T>>()});
  }

  at::Tensor sampling_locations, attention_weights;
};

// The arguments of ms_deform_attn_fused.
struct ProjectedInputs : ValueInputs {
  template <typename T>
  using Samples = ProjectedSamples<T>;

  ProjectedInputs(const at::Tensor& value, const at::Tensor& spatial_shapes,
                  const at::Tensor& level_start_index, const at::Tensor& reference_points,
                  const at::Tensor& sampling_offsets, const at::Tensor& attention_logits)
      : ValueInputs(check_value(value, spatial_shapes, level_start_index, "sampling_offsets",
                                sampling_offsets),
                    value, spatial_shapes, level_start_index),
        reference_points(reference_points.contiguous()),
        sampling_offsets(sampling_offsets.contiguous()),
        attention_logits(attention_logits.contiguous()) {
    const auto [N, S, M, D, Q, L, P] = sizes;
    const auto dtype = value.scalar_type();
    const auto device = value.device();
    TORCH_CHECK_VALUE(reference_points.dim() == 4 &&
                          (reference_points.size(3) == 2 || reference_points.size(3) == 4),
                      "reference_points must be (N, Q, L, 2) or (N, Q, L, 4), but its shape is ",
                      reference_points.sizes());
    check_tensor("reference_points", reference_points, {N, Q, L, reference_points.size(3)},
                 accumulation_dtype(dtype), device);
    check_tensor("sampling_offsets", sampling_offsets, {N, Q, M, L, P, 2}, dtype, device);
    check_tensor("attention_logits", attention_logits, {N, Q, M, L, P}, dtype, device);
  }

  void widen_half() {
    ValueInputs::widen_half();
    sampling_offsets = sampling_offsets.to(value.scalar_type());
    attention_logits = attention_logits.to(value.scalar_type());
  }

  template <typename T>
  Problem<ProjectedSamples<T>> problem() const {
    return problem_of(ProjectedSamples<T>{
        reference_points.const_data_ptr<acc_t<T>>(), reference_points.size(3),
        sampling_offsets.const_data_ptr<T>(), attention_logits.const_data_ptr<T>()});
  }

  at::Tensor reference_points, sampling_offsets, attention_logits;
};

// The gradient of the output, checked and contiguous.
inline at::Tensor check_grad_output(const at::Tensor& grad_output, const at::Tensor& value,
                                    const Sizes& sizes) {
  check_tensor("grad_output", grad_output, {sizes.N, sizes.Q, sizes.M * sizes.D},
               value.scalar_type(), value.device());
  return grad_output.contiguous();
}

}  // namespace medmask

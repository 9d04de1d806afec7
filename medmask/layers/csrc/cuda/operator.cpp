// The operator on CUDA devices: lays the tensors out for the kernels, chooses how the gradient of
// value is added up, and registers the result with PyTorch's dispatcher.
#include <ATen/Context.h>
#include <ATen/DeviceGuard.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <tuple>

#include "../inputs.h"
#include "../registration.h"
#include "kernels.h"

namespace medmask {
namespace {

// Of sums that are not themselves the gradient of value: images are taken a few at a time, so that
// the sums need little memory, most of which stays in the second cache.
constexpr int64_t kSumBytes = 32 << 20;

template <typename Run>
auto dispatch_cuda(at::ScalarType dtype, const Run& run) {
  return dispatch<float, double, at::Half, at::BFloat16>(dtype, run);
}

template <typename Inputs>
at::Tensor run_forward(const Inputs& inputs) {
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const at::Tensor output = at::empty({N, Q, M * D}, inputs.value.options());
  if (output.numel() == 0) return output;
  dispatch_cuda(inputs.value.scalar_type(), [&](auto number) {
    using T = decltype(number);
    launch_forward(inputs.template problem<T>(), output.mutable_data_ptr<T>());
  });
  return output;
}

// Whether there is nothing to launch a kernel for: all gradients are zero.
bool is_empty(const Sizes& sizes) {
  return sizes.N * sizes.Q * sizes.M * sizes.D * sizes.L * sizes.P == 0;
}

// Calls `run` with one range of images after the other and with zeros (count, S, M, D) for their
// sums; gives it the part of `result` (N, S, M, D) to write them to.
template <typename Run>
void run_by_images(const at::Tensor& result, at::ScalarType sum_dtype, const Run& run) {
  const int64_t N = result.size(0);
  const int64_t image_bytes = std::max<int64_t>(1, result[0].numel() * c10::elementSize(sum_dtype));
  const int64_t at_once = std::clamp<int64_t>(kSumBytes / image_bytes, 1, N);
  const at::Tensor sums = at::empty({at_once, result.size(1), result.size(2), result.size(3)},
                                    result.options().dtype(sum_dtype));
  for (int64_t first = 0; first < N; first += at_once) {
    const int64_t count = std::min(at_once, N - first);
    run(ImageRange{first, count}, sums.narrow(0, 0, count).zero_(), result.narrow(0, first, count));
  }
}

// The largest power of two by which the terms of a sum may be multiplied so that no sum of them
// exceeds 2^62; not a positive number, and neither is its inverse, if a term is not finite.
//
// A term is a part of an attention weight times a number of grad_output. Stays on the device.
at::Tensor fixed_point_scale(const at::Tensor& grad_output, const at::Tensor& attention_weights) {
  const auto [smallest, largest] = at::aminmax(grad_output);
  const at::Tensor gradient = at::maximum(-smallest, largest).to(at::kDouble);
  const at::Tensor weight =
      at::linalg_vector_norm(attention_weights, 1, at::IntArrayRef{1, 3, 4}).amax().to(at::kDouble);
  const at::Tensor bound = gradient * weight.clamp_min(1);
  return (62 - bound.log2().ceil()).clamp_max(126).exp2();  // 126: a float can hold it
}

// Launches the backward kernel; gives the gradient of value. `attention_weights` makes these, for
// sums in fixed point.
template <typename Samples, typename AttentionWeights>
at::Tensor run_backward(const ValueInputs& inputs, const Problem<Samples>& problem,
                        const at::Tensor& grad_output, const typename Samples::Gradients& gradients,
                        const AttentionWeights& attention_weights) {
  using T = typename Samples::Value;
  using A = acc_t<T>;
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const T* const g = grad_output.const_data_ptr<T>();
  const auto options = inputs.value.options();
  if (at::globalContext().deterministicAlgorithms()) {
    const at::Tensor result = at::empty({N, S, M, D}, options);
    const at::Tensor scale = fixed_point_scale(grad_output, attention_weights());
    const at::Tensor inverse = scale.reciprocal();
    run_by_images(
        result, at::kLong, [&](const ImageRange& images, const at::Tensor& sums, at::Tensor part) {
          const FixedPointSums<A> to{rows_of<int64_t>(sums), scale.const_data_ptr<double>()};
          launch_backward(problem, images, g, to, gradients);
          at::mul_out(part, sums, inverse);
        });
    return result;
  }
  if constexpr (std::is_same_v<T, A>) {
    const at::Tensor result = at::zeros({N, S, M, D}, options);
    launch_backward(problem, {0, N}, g, FloatingSums<A>{rows_of<A>(result)}, gradients);
    return result;
  } else {
    const at::Tensor result = at::empty({N, S, M, D}, options);
    run_by_images(result, at::kFloat,
                  [&](const ImageRange& images, const at::Tensor& sums, const at::Tensor& part) {
                    launch_backward(problem, images, g, FloatingSums<A>{rows_of<A>(sums)},
                                    gradients);
                    part.copy_(sums);
                  });
    return result;
  }
}

at::Tensor ms_deform_attn(const at::Tensor& value, const at::Tensor& spatial_shapes,
                          const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const at::DeviceGuard guard(value.device());
  return run_forward(
      GivenInputs(value, spatial_shapes, level_start_index, sampling_locations, attention_weights));
}

at::Tensor ms_deform_attn_fused(const at::Tensor& value, const at::Tensor& spatial_shapes,
                                const at::Tensor& level_start_index,
                                const at::Tensor& reference_points,
                                const at::Tensor& sampling_offsets,
                                const at::Tensor& attention_logits) {
  const at::DeviceGuard guard(value.device());
  return run_forward(ProjectedInputs(value, spatial_shapes, level_start_index, reference_points,
                                     sampling_offsets, attention_logits));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(
    const at::Tensor& grad_output, const at::Tensor& value, const at::Tensor& spatial_shapes,
    const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
    const at::Tensor& attention_weights) {
  const at::DeviceGuard guard(value.device());
  const GivenInputs inputs(value, spatial_shapes, level_start_index, sampling_locations,
                           attention_weights);
  const at::Tensor g = check_grad_output(grad_output, value, inputs.sizes);
  if (is_empty(inputs.sizes)) {
    return {at::zeros_like(value), at::zeros_like(sampling_locations),
            at::zeros_like(attention_weights)};
  }
  const at::Tensor grad_locations = at::empty_like(inputs.sampling_locations);
  const at::Tensor grad_weights = at::empty_like(inputs.attention_weights);
  const at::Tensor grad_value = dispatch_cuda(value.scalar_type(), [&](auto number) {
    using T = decltype(number);
    using A = acc_t<T>;
    const typename GivenSamples<T>::Gradients gradients{grad_locations.mutable_data_ptr<A>(),
                                                        grad_weights.mutable_data_ptr<A>()};
    return run_backward(inputs, inputs.problem<T>(), g, gradients,
                        [&] { return inputs.attention_weights; });
  });
  return {grad_value, grad_locations, grad_weights};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_fused_backward(
    const at::Tensor& grad_output, const at::Tensor& value, const at::Tensor& spatial_shapes,
    const at::Tensor& level_start_index, const at::Tensor& reference_points,
    const at::Tensor& sampling_offsets, const at::Tensor& attention_logits,
    bool reference_points_need_grad) {
  const at::DeviceGuard guard(value.device());
  const ProjectedInputs inputs(value, spatial_shapes, level_start_index, reference_points,
                               sampling_offsets, attention_logits);
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const at::Tensor g = check_grad_output(grad_output, value, inputs.sizes);
  const at::Tensor unwanted = at::empty({0}, reference_points.options());
  if (is_empty(inputs.sizes)) {
    return {at::zeros_like(value),
            reference_points_need_grad ? at::zeros_like(reference_points) : unwanted,
            at::zeros_like(sampling_offsets), at::zeros_like(attention_logits)};
  }
  const at::Tensor grad_offsets = at::empty_like(inputs.sampling_offsets);
  const at::Tensor grad_logits = at::empty_like(inputs.attention_logits);
  const at::Tensor grad_references =  // the part of each head
      reference_points_need_grad
          ? at::empty({N, M, Q, L, reference_points.size(3)}, reference_points.options())
          : unwanted;
  const at::Tensor grad_value = dispatch_cuda(value.scalar_type(), [&](auto number) {
    using T = decltype(number);
    using A = acc_t<T>;
    const typename ProjectedSamples<T>::Gradients gradients{
        reference_points_need_grad ? grad_references.mutable_data_ptr<A>() : nullptr,
        grad_offsets.mutable_data_ptr<T>(), grad_logits.mutable_data_ptr<T>(), nullptr};
    return run_backward(inputs, inputs.problem<T>(), g, gradients, [&] {
      const at::Tensor logits = inputs.attention_logits.flatten(3);
      return logits.softmax(-1, accumulation_dtype(logits.scalar_type())).view_as(grad_logits);
    });
  });
  return {grad_value, reference_points_need_grad ? grad_references.sum(1) : unwanted, grad_offsets,
          grad_logits};
}

}  // namespace

TORCH_LIBRARY_IMPL(medmask, CUDA, registered) {
  register_kernels(registered, [](torch::Library& library) {
    library.impl("ms_deform_attn", ms_deform_attn);
    library.impl("ms_deform_attn_backward", ms_deform_attn_backward);
    library.impl("ms_deform_attn_fused", ms_deform_attn_fused);
    library.impl("ms_deform_attn_fused_backward", ms_deform_attn_fused_backward);
  });
}

}  // namespace medmask

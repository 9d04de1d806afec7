// The operator on the CPU: lays the tensors out for the kernels, shares the work among threads, and
// registers the result with PyTorch's dispatcher.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <type_traits>

#include "cpu_kernels.h"

namespace medmask {
namespace {

constexpr int64_t kGrain = 32768;  // multiplications below which a thread is not worth waking

// That the levels fill the tokens one after the other, so that every planned row exists.
void check_levels(const at::Tensor& spatial_shapes, const at::Tensor& level_start_index,
                  const Sizes& sizes) {
  const int64_t* const shapes = spatial_shapes.const_data_ptr<int64_t>();
  const int64_t* const starts = level_start_index.const_data_ptr<int64_t>();
  int64_t end = 0;
  for (int64_t level = 0; level < sizes.L; ++level) {
    const int64_t h = shapes[2 * level], w = shapes[2 * level + 1];
    TORCH_CHECK_VALUE(h > 0 && w > 0, "spatial_shapes[", level, "] must be positive, but is ", h,
                      " x ", w);
    TORCH_CHECK_VALUE(starts[level] == end, "level_start_index[", level, "] must be ", end,
                      ", where the level before it ends, but is ", starts[level]);
    TORCH_CHECK_VALUE(h <= (sizes.S - end) / w, "spatial_shapes must hold as many cells as value ",
                      "has tokens, ", sizes.S, ", but holds more");
    end += h * w;
  }
  TORCH_CHECK_VALUE(end == sizes.S, "spatial_shapes must hold as many cells as value has tokens, ",
                    sizes.S, ", but holds ", end);
}

// With many samples a token it pays to gather each head's rows first: they then fill cache lines,
// cache sets and pages without gaps. For few samples the copy would take longer than the kernel.
bool gathers_heads(const Sizes& sizes) {
  return sizes.M > 1 && sizes.Q * sizes.L * sizes.P >= 2 * sizes.S;
}

// (N, S, M, D) with the rows of each head together in memory, or as it is.
at::Tensor lay_out(const at::Tensor& value, bool gathered) {
  if (gathered) return value.transpose(1, 2).contiguous().transpose(1, 2);
  return value.stride(3) == 1 ? value : value.contiguous();
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

// What the kernels read, kept alive and contiguous.
struct Inputs {
  Inputs(const at::Tensor& value, const at::Tensor& spatial_shapes,
         const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
         const at::Tensor& attention_weights)
      : sizes(check_inputs(value, spatial_shapes, level_start_index, sampling_locations,
                           attention_weights)),
        value(lay_out(value, gathers_heads(sizes))),
        spatial_shapes(spatial_shapes.contiguous()),
        level_start_index(level_start_index.contiguous()),
        sampling_locations(sampling_locations.contiguous()),
        attention_weights(attention_weights.contiguous()) {
    check_levels(this->spatial_shapes, this->level_start_index, sizes);
    TORCH_CHECK_VALUE(sizes.S <= std::numeric_limits<int32_t>::max(),
                      "value must have fewer than 2^31 tokens");
  }

  template <typename T>
  Problem<T> problem() const {
    return {sizes,
            spatial_shapes.const_data_ptr<int64_t>(),
            level_start_index.const_data_ptr<int64_t>(),
            rows_of<const T>(value),
            sampling_locations.const_data_ptr<acc_t<T>>(),
            attention_weights.const_data_ptr<acc_t<T>>()};
  }

  Sizes sizes;
  at::Tensor value, spatial_shapes, level_start_index, sampling_locations, attention_weights;
};

template <typename T>
at::Tensor forward(const Inputs& inputs) {
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  at::Tensor output = at::empty({N, Q, M * D}, inputs.value.options());
  const Problem<T> problem = inputs.problem<T>();
  T* const to = output.mutable_data_ptr<T>();
  const int64_t grain = kGrain / std::max<int64_t>(1, L * P * D) + 1;
  at::parallel_for(0, N * M * Q, grain, [&](int64_t begin, int64_t end) {
    forward_share(problem, to, begin, end);
  });
  return output;
}

template <typename T>
std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_output,
                                                        const Inputs& inputs) {
  const auto [N, S, M, D, Q, L, P] = inputs.sizes;
  const auto options = inputs.value.options();
  const auto sum_options = inputs.attention_weights.options();
  const at::Tensor g = grad_output.contiguous();
  at::Tensor grad_value = gathers_heads(inputs.sizes)
                              ? at::zeros({N, M, S, D}, sum_options).transpose(1, 2)
                              : at::zeros({N, S, M, D}, sum_options);
  at::Tensor grad_locations = at::empty({N, Q, M, L, P, 2}, sum_options);
  at::Tensor grad_weights = at::empty({N, Q, M, L, P}, sum_options);

  const Problem<T> problem = inputs.problem<T>();
  const Gradients<T> gradients{
      g.const_data_ptr<T>(), rows_of<acc_t<T>>(grad_value),
      grad_locations.mutable_data_ptr<acc_t<T>>(), grad_weights.mutable_data_ptr<acc_t<T>>()};
  // A head of an image is one piece of work, or one a level where this keeps more threads busy:
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
  return {grad_value.to(options).contiguous(), grad_locations, grad_weights};
}

// Calls `run` with a value of the dtype's C++ type. There is no kernel for float16: the caller
// converts it.
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
      TORCH_CHECK_TYPE(false, "value must be float32, float64, bfloat16 or float16, but is ", dtype);
  }
}

at::Tensor widened(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kHalf ? tensor.to(at::kFloat) : tensor;
}

at::Tensor ms_deform_attn(const at::Tensor& value, const at::Tensor& spatial_shapes,
                          const at::Tensor& level_start_index,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const Inputs inputs(widened(value), spatial_shapes, level_start_index, sampling_locations,
                      attention_weights);
  const at::Tensor output = dispatch(inputs.value.scalar_type(), [&](auto zero) {
    return forward<decltype(zero)>(inputs);
  });
  return output.to(value.scalar_type());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(
    const at::Tensor& grad_output, const at::Tensor& value, const at::Tensor& spatial_shapes,
    const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
    const at::Tensor& attention_weights) {
  const Inputs inputs(widened(value), spatial_shapes, level_start_index, sampling_locations,
                      attention_weights);
  check_grad_output(grad_output, value, inputs.sizes);
  auto [grad_value, grad_locations, grad_weights] =
      dispatch(inputs.value.scalar_type(), [&](auto zero) {
        return backward<decltype(zero)>(widened(grad_output), inputs);
      });
  return {grad_value.to(value.scalar_type()), grad_locations, grad_weights};
}

}  // namespace

TORCH_LIBRARY_IMPL(medmask, CPU, library) {
  library.impl("ms_deform_attn", ms_deform_attn);
  library.impl("ms_deform_attn_backward", ms_deform_attn_backward);
}

}  // namespace medmask

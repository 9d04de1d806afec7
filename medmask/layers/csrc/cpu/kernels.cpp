// Compiles the CPU kernels for the machine's baseline and, on x86-64, for AVX2 and AVX-512, and
// chooses between them when they run: a package built on one machine works on another.
#include "kernels.h"

#include <ATen/Version.h>

#include <string>

#include "backward.h"
#include "forward.h"

namespace medmask {
namespace {

// The kernels, compiled for one kind of machine with kLanes numbers to a float32 vector.
#define MEDMASK_KERNELS(Machine, kTarget, kLanes)                                                 \
  struct Machine {                                                                                \
    template <typename T>                                                                         \
    static constexpr int lanes = sizeof(acc_t<T>) == sizeof(float) ? kLanes : kEight;             \
                                                                                                  \
    template <typename Samples>                                                                   \
    kTarget static void forward(const Problem<Samples>& problem, typename Samples::Value* output, \
                                int64_t begin, int64_t end) {                                     \
      forward_share_here<lanes<typename Samples::Value>>(problem, output, begin, end);            \
    }                                                                                             \
    template <typename Samples>                                                                   \
    kTarget static void backward(const Problem<Samples>& problem,                                 \
                                 const Gradients<Samples>& gradients, int64_t head,               \
                                 int64_t first_level, int64_t last_level) {                       \
      backward_share_here<lanes<typename Samples::Value>>(problem, gradients, head, first_level,  \
                                                          last_level);                            \
    }                                                                                             \
    template <typename T>                                                                         \
    kTarget static void logits(const Problem<ProjectedSamples<T>>& problem,                       \
                               const typename ProjectedSamples<T>::Gradients& gradients,          \
                               int64_t begin, int64_t end) {                                      \
      logits_share_here(problem, gradients, begin, end);                                          \
    }                                                                                             \
    template <typename T>                                                                         \
    kTarget static void settle(const acc_t<T>* sums, int64_t count, int64_t D, int64_t stride,    \
                               T* output) {                                                       \
      settle_rows_here<lanes<T>>(sums, count, D, stride, output);                                 \
    }                                                                                             \
  };

MEDMASK_KERNELS(Baseline, , kEight / 2)

#if defined(__x86_64__)
MEDMASK_KERNELS(Avx2, __attribute__((target("avx2,fma,prfchw"))), kEight)
MEDMASK_KERNELS(Avx512,
                __attribute__((target("avx2,fma,prfchw,avx512f,avx512bw,avx512dq,avx512vl"))),
                2 * kEight)
#endif

// Calls `run` with the kernels for this machine, or for the lesser one that the environment
// variable ATEN_CPU_CAPABILITY has PyTorch take it for.
template <typename Run>
void on_this_machine(const Run& run) {
#if defined(__x86_64__)
  static const std::string capability = at::get_cpu_capability();
  if (capability == "AVX512") return run(Avx512{});
  if (capability == "AVX2") return run(Avx2{});
#endif
  run(Baseline{});
}

}  // namespace

template <typename Samples>
void forward_share(const Problem<Samples>& problem, typename Samples::Value* output, int64_t begin,
                   int64_t end) {
  on_this_machine([&](auto kernels) { kernels.forward(problem, output, begin, end); });
}

template <typename Samples>
void backward_share(const Problem<Samples>& problem, const Gradients<Samples>& gradients,
                    int64_t head, int64_t first_level, int64_t last_level) {
  on_this_machine(
      [&](auto kernels) { kernels.backward(problem, gradients, head, first_level, last_level); });
}

template <typename T>
void logits_share(const Problem<ProjectedSamples<T>>& problem,
                  const typename ProjectedSamples<T>::Gradients& gradients, int64_t begin,
                  int64_t end) {
  on_this_machine([&](auto kernels) { kernels.logits(problem, gradients, begin, end); });
}

template <typename T>
void settle_rows(const acc_t<T>* sums, int64_t count, int64_t D, int64_t stride, T* output) {
  on_this_machine([&](auto kernels) { kernels.settle(sums, count, D, stride, output); });
}

#define MEDMASK_INSTANTIATE_FOR(Samples)                                                    \
  template void forward_share(const Problem<Samples>&, Samples::Value*, int64_t, int64_t);  \
  template void backward_share(const Problem<Samples>&, const Gradients<Samples>&, int64_t, \
                               int64_t, int64_t);
#define MEDMASK_INSTANTIATE(T)                                                         \
  MEDMASK_INSTANTIATE_FOR(GivenSamples<T>)                                             \
  MEDMASK_INSTANTIATE_FOR(ProjectedSamples<T>)                                         \
  template void logits_share(const Problem<ProjectedSamples<T>>&,                      \
                             const ProjectedSamples<T>::Gradients&, int64_t, int64_t); \
  template void settle_rows(const acc_t<T>*, int64_t, int64_t, int64_t, T*);
MEDMASK_INSTANTIATE(float)
MEDMASK_INSTANTIATE(double)
MEDMASK_INSTANTIATE(c10::BFloat16)

}  // namespace medmask

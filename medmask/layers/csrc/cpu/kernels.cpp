// Compiles the CPU kernels for the machine's baseline and, on x86-64, for AVX2, and chooses between
// the two when they run: a package built on one machine works on another.
#include "kernels.h"

#include "backward.h"
#include "forward.h"

#if defined(__x86_64__)
#define MEDMASK_AVX2 __attribute__((target("avx2,fma")))
#endif

namespace medmask {
namespace {

#ifdef MEDMASK_AVX2
const bool kHasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");

template <typename T>
MEDMASK_AVX2 void forward_share_avx2(const Problem<T>& problem, T* output, int64_t begin,
                                     int64_t end) {
  forward_share_here(problem, output, begin, end);
}

template <typename T>
MEDMASK_AVX2 void backward_share_avx2(const Problem<T>& problem, const Gradients<T>& gradients,
                                      int64_t n, int64_t m, int64_t first_level,
                                      int64_t last_level) {
  backward_share_here(problem, gradients, n, m, first_level, last_level);
}
#endif

}  // namespace

template <typename T>
void forward_share(const Problem<T>& problem, T* output, int64_t begin, int64_t end) {
#ifdef MEDMASK_AVX2
  if (kHasAvx2) return forward_share_avx2(problem, output, begin, end);
#endif
  forward_share_here(problem, output, begin, end);
}

template <typename T>
void backward_share(const Problem<T>& problem, const Gradients<T>& gradients, int64_t n, int64_t m,
                    int64_t first_level, int64_t last_level) {
#ifdef MEDMASK_AVX2
  if (kHasAvx2) return backward_share_avx2(problem, gradients, n, m, first_level, last_level);
#endif
  backward_share_here(problem, gradients, n, m, first_level, last_level);
}

#define MEDMASK_INSTANTIATE(T)                                                                    \
  template void forward_share(const Problem<T>&, T*, int64_t, int64_t);                           \
  template void backward_share(const Problem<T>&, const Gradients<T>&, int64_t, int64_t, int64_t, \
                               int64_t);
MEDMASK_INSTANTIATE(float)
MEDMASK_INSTANTIATE(double)
MEDMASK_INSTANTIATE(c10::BFloat16)

}  // namespace medmask

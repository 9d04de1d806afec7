// Registering kernels with PyTorch's dispatcher when the library is loaded.
#pragma once

#include <c10/util/Exception.h>
#include <torch/library.h>

#include <string>

namespace medmask {

// Why kernels could not be registered; empty if they could. The import of the module tells it.
inline std::string registration_error;

// Calls `run` with the library, in a TORCH_LIBRARY_IMPL: an exception that left it would end the
// process. Kernels of other sources than the Python code, whose operators have other arguments,
// meet one.
template <typename Run>
void register_kernels(torch::Library& library, const Run& run) {
  try {
    run(library);
  } catch (const c10::Error& error) {
    library.reset();  // rather no kernel than some
    registration_error = error.what_without_backtrace();
  }
}

}  // namespace medmask

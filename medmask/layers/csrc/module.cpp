// An empty Python module: importing it loads the library, whose static initializers register the
// kernels with PyTorch's dispatcher.
#include <Python.h>

#include "registration.h"

PyMODINIT_FUNC PyInit__C() {
  if (!medmask::registration_error.empty()) {
    PyErr_Format(PyExc_ImportError, "it was built from other sources: %s",
                 medmask::registration_error.c_str());
    return nullptr;
  }
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr};
  return PyModule_Create(&module);
}

// An empty Python module: importing it loads the library, whose static initializers register the
// kernels with PyTorch's dispatcher.
#include <Python.h>

PyMODINIT_FUNC PyInit__C() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr};
  return PyModule_Create(&module);
}

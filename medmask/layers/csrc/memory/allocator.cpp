// Has PyTorch get the memory of its large tensors on the CPU from a pool of blocks.
//
// What a training frees, in blocks of megabytes whose sizes change with those of the images, it
// wants again a moment later. glibc's malloc either returns it to the system, and every page must
// be cleared for its next use, or keeps it, and then cannot reuse much of it: up to version 2.37 it
// finds no block for an aligned request of the size of one that was freed, so that a process comes
// to hold several times what it has ever used at once.
#include <torch/library.h>

#ifdef __linux__

#include <c10/core/CPUAllocator.h>
#include <pthread.h>

#include "block_pool.h"

#endif

namespace medmask {

namespace {

#ifdef __linux__

constexpr std::size_t kSmallest = std::size_t(1) << 20;  // malloc does well with what is smaller

// Neither is ever destroyed: tensors may outlive static objects.
BlockPool& pool = *new BlockPool;
c10::Allocator* previous = nullptr;

void free_block(void* address) {
  c10::profiledCPUMemoryReporter().Delete(address);  // before it may be another tensor's
  pool.free(address);
}

// Frees what the pool or the previous allocator made, before this one was there or since.
void free_any(void* address) {
  if (pool.holds(address)) {
    free_block(address);
  } else {
    previous->raw_deallocate(address);
  }
}

class PooledAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t num_bytes) override {
    void* address = num_bytes < kSmallest ? nullptr : pool.allocate(num_bytes);
    // What the system refuses, the previous allocator fails at with PyTorch's own words.
    if (address == nullptr) return previous->allocate(num_bytes);
    c10::profiledCPUMemoryReporter().New(address, num_bytes);
    return {address, address, &free_block, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_any; }

  void copy_data(void* destination, const void* source, std::size_t num_bytes) const override {
    default_copy_data(destination, source, num_bytes);
  }
};

bool pool_large_blocks() {
  static const bool installed = [] {
    pthread_atfork([] { pool.mutex().lock(); }, [] { pool.mutex().unlock(); },
                   [] { pool.mutex().unlock(); });
    previous = c10::GetCPUAllocator();
    auto* allocator = new PooledAllocator;
    c10::SetCPUAllocator(allocator);
    return c10::GetCPUAllocator() == allocator;
  }();
  return installed;
}

void release_large_blocks() { pool.release(); }

#else

bool pool_large_blocks() { return false; }

void release_large_blocks() {}

#endif

}  // namespace

TORCH_LIBRARY_FRAGMENT(medmask, library) {
  library.def("pool_large_blocks() -> bool", pool_large_blocks);
  library.def("release_large_blocks() -> ()", release_large_blocks);
}

}  // namespace medmask

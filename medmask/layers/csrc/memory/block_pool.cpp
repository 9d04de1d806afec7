#ifdef __linux__

#include "block_pool.h"

#include <sys/mman.h>

#include <algorithm>

namespace medmask {

namespace {

constexpr std::size_t kHugePage = std::size_t(2) << 20;

// The next power of two, or the step halfway to it.
std::size_t round_up(std::size_t num_bytes) {
  std::size_t power = 1;
  while (power < num_bytes) power *= 2;
  const std::size_t halfway = power / 4 * 3;
  return num_bytes <= halfway ? halfway : power;
}

void* map(std::size_t capacity) {
  void* address =
      mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return nullptr;
  // Fewer faults, and fewer misses of the translation buffer; a system that has none says no.
  if (capacity >= 2 * kHugePage) madvise(address, capacity, MADV_HUGEPAGE);
  return address;
}

}  // namespace

void* BlockPool::allocate(std::size_t num_bytes) {
  const std::size_t capacity = round_up(num_bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  Block block;
  if (const auto found = find_free(capacity); found != free_.end()) {
    block = *found;
    free_.erase(found);
  } else {
    const std::size_t most_used = std::max(most_used_, num_used_ + num_bytes);
    const auto most_resident = static_cast<std::size_t>(kMostKept * most_used);
    unmap_oldest_until(most_resident - std::min(most_resident, num_bytes));
    block = {map(capacity), capacity, 0, 0};
    if (block.address == nullptr) {
      unmap_oldest_until(0);
      block.address = map(capacity);
      if (block.address == nullptr) return nullptr;
    }
  }
  if (num_bytes > block.num_touched) {
    num_resident_ += num_bytes - block.num_touched;
    block.num_touched = num_bytes;
  }
  block.num_used = num_bytes;
  num_used_ += num_bytes;
  most_used_ = std::max(most_used_, num_used_);
  used_.emplace(block.address, block);
  return block.address;
}

void BlockPool::free(void* address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = used_.find(address);
  num_used_ -= found->second.num_used;
  free_.push_back(found->second);
  used_.erase(found);
}

bool BlockPool::holds(void* address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return used_.count(address) > 0;
}

void BlockPool::release() {
  const std::lock_guard<std::mutex> lock(mutex_);
  unmap_oldest_until(0);
  most_used_ = num_used_;
}

// The smallest one that has the capacity and at most twice as much; of these the latest freed,
// which caches are likeliest to hold.
std::list<BlockPool::Block>::iterator BlockPool::find_free(std::size_t capacity) {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->capacity < capacity || it->capacity > 2 * capacity) continue;
    if (best == free_.end() || it->capacity <= best->capacity) best = it;
  }
  return best;
}

void BlockPool::unmap_oldest_until(std::size_t num_resident) {
  while (!free_.empty() && num_resident_ > num_resident) {
    const Block& oldest = free_.front();
    munmap(oldest.address, oldest.capacity);
    num_resident_ -= oldest.num_touched;
    free_.pop_front();
  }
}

}  // namespace medmask

#endif

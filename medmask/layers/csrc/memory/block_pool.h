// Large blocks of memory that are kept when they are freed, for what is allocated next.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <unordered_map>

namespace medmask {

// Blocks come from the system and are reused whole: a free block serves requests of half its size
// and more. Sizes are rounded up to powers of two and the steps halfway, which costs addresses, not
// memory, for pages count only once they are touched. Where no free block fits, a new one is made,
// and the blocks that have been free the longest go back to the system as long as more than
// kMostKept times the bytes that were ever in use at once are resident.
//
// All members may be called by several threads.
class BlockPool {
 public:
  static constexpr double kMostKept = 1.5;

  // A block of at least num_bytes, on a page boundary; nullptr where the system has no more.
  void* allocate(std::size_t num_bytes);

  // Takes a block back.
  void free(void* address);

  // True where this is the address of a block that is in use.
  bool holds(void* address);

  // Returns all free blocks to the system, and forgets how many bytes have been in use.
  void release();

  // Kept locked while the process is copied, so that the copy can use its own pool.
  std::mutex& mutex() { return mutex_; }

 private:
  struct Block {
    void* address;
    std::size_t capacity;
    std::size_t num_touched;  // bytes, from its beginning, that have been in use
    std::size_t num_used;     // bytes that are in use
  };

  std::list<Block>::iterator find_free(std::size_t capacity);
  void unmap_oldest_until(std::size_t num_resident);

  std::mutex mutex_;
  std::unordered_map<void*, Block> used_;
  std::list<Block> free_;  // the longest free first
  std::size_t num_resident_ = 0;
  std::size_t num_used_ = 0;
  std::size_t most_used_ = 0;
};

}  // namespace medmask

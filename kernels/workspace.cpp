#include "workspace.hpp"

#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace gatecast {
namespace {

constexpr std::size_t page = std::size_t(2) << 20, most_idle = 8;
constexpr Index most_idle_bytes = Index(1) << 30;

struct Block {
    void* memory;
    Index bytes;
};

struct Shelf {
    std::mutex mutex;
    std::vector<Block> idle, lent;
};

// Never destroyed: tensors may give back after the module's end. A forked child starts with an empty one, since the
// parent's may have been locked; what it inherited on loan is freed by nobody.
Shelf*& shelf() {
    static Shelf* the = [] {
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, [] { shelf() = new Shelf; });
#endif
        return new Shelf;
    }();
    return the;
}

Block take(std::vector<Block>& from, std::size_t i) {
    const Block block = from[i];
    from.erase(from.begin() + std::ptrdiff_t(i));
    return block;
}

Block allocate(Index bytes) {
    const Index rounded = (bytes + Index(page) - 1) / Index(page) * Index(page);
    void* memory = ::operator new(std::size_t(rounded), std::align_val_t(page));
#if defined(__linux__)
    madvise(memory, std::size_t(rounded), MADV_HUGEPAGE);
#endif
    return {memory, rounded};
}

void free_block(const Block& block) { ::operator delete(block.memory, std::align_val_t(page)); }

}  // namespace

void* borrow(Index bytes) {
    Shelf& s = *shelf();
    std::lock_guard<std::mutex> lock(s.mutex);
    std::size_t best = s.idle.size();
    for (std::size_t i = 0; i < s.idle.size(); i++)
        if (s.idle[i].bytes >= bytes && s.idle[i].bytes <= 2 * bytes + Index(page) &&
            (best == s.idle.size() || s.idle[i].bytes < s.idle[best].bytes))
            best = i;
    const Block block = best < s.idle.size() ? take(s.idle, best) : allocate(bytes);
    s.lent.push_back(block);
    return block.memory;
}

void give_back(void* memory) {
    Shelf& s = *shelf();
    std::lock_guard<std::mutex> lock(s.mutex);
    for (std::size_t i = 0; i < s.lent.size(); i++)
        if (s.lent[i].memory == memory) {
            s.idle.push_back(take(s.lent, i));
            break;
        }
    Index total = 0;
    for (const Block& each : s.idle) total += each.bytes;
    while (!s.idle.empty() && (s.idle.size() > most_idle || total > most_idle_bytes)) {
        total -= s.idle.front().bytes;
        free_block(take(s.idle, 0));
    }
}

}  // namespace gatecast

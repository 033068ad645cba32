#include "pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace gatecast {
namespace {

constexpr int spins = 2000;  // some tens of microseconds: a training step calls again soon

inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Denormals to zero while tasks run: backward passes through time make many, and each costs a hundred cycles.
class FlushDenormals {
#if defined(__x86_64__) || defined(_M_X64)
    unsigned before_ = _mm_getcsr();

   public:
    FlushDenormals() { _mm_setcsr(before_ | 0x8040u); }
    ~FlushDenormals() { _mm_setcsr(before_); }
#elif defined(__aarch64__)
    std::uint64_t before_;

   public:
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" ::"r"(before_ | (1ull << 24)));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }
#endif
};

class Pool {
   public:
    bool try_run(int threads, int count, const std::function<void(int)>& task) {
        std::unique_lock<std::mutex> only(caller_, std::try_to_lock);
        if (!only.owns_lock()) return false;
        const int helpers = std::min(threads, count) - 1;
        while (int(threads_.size()) < helpers) add_thread();
        keep_off_callers_processor();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            task_ = &task;
            count_ = count;
            next_.store(0);
            helpers_ = helpers;
            left_.store(helpers);
            round_.fetch_add(1);
        }
        wake_.notify_all();
        work();
        spin([&] { return left_.load() == 0; });
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [&] { return left_.load() == 0; });
        return true;
    }

   private:
    void add_thread() {
        const int number = int(threads_.size());
        std::thread thread([this, number, seen = round_.load()]() mutable { live(number, seen); });
        threads_.push_back(thread.native_handle());
        thread.detach();
        caller_processor_ = -1;
    }

    // Linux likes to wake a thread on the processor of who wakes it, where it would wait for its caller's own share of
    // the work to end. So helpers may run anywhere else.
    void keep_off_callers_processor() {
#if defined(__linux__)
        const int here = sched_getcpu();
        cpu_set_t allowed;
        if (here == caller_processor_ || here < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
        caller_processor_ = here;
        if (CPU_COUNT(&allowed) < 2) return;
        CPU_CLR(here, &allowed);
        for (const auto& each : threads_) pthread_setaffinity_np(each, sizeof allowed, &allowed);
#endif
    }

    void live(int number, unsigned seen) {
        FlushDenormals flush;
        for (;;) {
            spin([&] { return round_.load() != seen; });
            std::unique_lock<std::mutex> lock(mutex_);
            wake_.wait(lock, [&] { return round_.load() != seen; });
            seen = round_.load();
            if (number >= helpers_) continue;
            lock.unlock();
            work();
            lock.lock();
            if (left_.fetch_sub(1) == 1) done_.notify_one();
        }
    }

    template <class Condition>
    static void spin(Condition met) {
        for (int i = 0; i < spins && !met(); i++) relax();
    }

    void work() {
        for (int i; (i = next_.fetch_add(1)) < count_;) (*task_)(i);
    }

    std::mutex caller_, mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread::native_handle_type> threads_;
    int caller_processor_ = -1;
    const std::function<void(int)>* task_ = nullptr;
    int count_ = 0, helpers_ = 0;
    std::atomic<int> next_{0}, left_{0};
    std::atomic<unsigned> round_{0};
};

// Never destroyed: its threads sleep in it until the process ends. A forked child has no threads and makes a new one.
Pool*& pool() {
    static Pool* the = [] {
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, [] { pool() = new Pool; });
#endif
        return new Pool;
    }();
    return the;
}

}  // namespace

void run_parallel(int threads, int count, const std::function<void(int)>& task) {
    FlushDenormals flush;
    if (threads > 1 && count > 1 && pool()->try_run(threads, count, task)) return;
    for (int i = 0; i < count; i++) task(i);
}

int available_processors() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace gatecast

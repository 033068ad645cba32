// A small pool of threads: lazy, parked between calls, made anew after a fork. One fork and join per call.
#pragma once

#include <functional>

namespace gatecast {

// Runs task(0) ... task(count - 1) on up to `threads` threads, the caller among them, and returns when all are done.
// Another caller that finds the pool busy runs its tasks alone. Tasks must neither throw nor run
// tasks themselves.
void run_parallel(int threads, int count, const std::function<void(int)>& task);

// Processors that this process may use.
int available_processors();

}  // namespace gatecast

// Threads and memory: the pool, callers at the same time, children of a fork, the workspace, the choice of ISA.
#include <stdexcept>

#include "groups.hpp"
#include "network.hpp"
#include "pool.hpp"
#include "workspace.hpp"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace gatecast {
namespace tests {
namespace {

constexpr int rounds = 400;

// Plain numbers: whatever a task writes, the caller must see when the round is over.
void run_rounds() {
    std::vector<int> done;
    for (int round = 0; round < rounds; round++) {
        const int threads = 1 + round % 4, count = round % 10;
        done.assign(std::size_t(count), 0);
        run_parallel(threads, count, [&](int i) { done[std::size_t(i)] += i + round; });
        for (int i = 0; i < count; i++)
            if (done[std::size_t(i)] != i + round) fail("a task of the pool ran twice or not at all");
    }
    passed += rounds;
}

template <class F>
void twice_at_once(F f) {
    std::thread first(f), second(f);
    first.join();
    second.join();
}

Data small_data() { return Data(Shape{Cell::gru, 2, 5, 2, 2, 40, 3, true, true, 0.3}, 77); }

template <class S>
void repeat(const Data& data, Isa isa, const Outputs<S>& wanted, const GradientsOf<S>& gradients, int times) {
    for (int i = 0; i < times; i++) {
        Network<S> net(data, isa);
        const Outputs<S> out = net.forward(true, 2);
        same_bits("y of two callers", out.y.numbers(), wanted.y.numbers());
        same_bits("gradients of two callers", net.backward(out, 2).weights, gradients.weights);
    }
}

template <class S>
void share_frozen(const Data& data, Isa isa, const Outputs<S>& wanted) {
    Network<S> net(data, isa);
    net.stack.pack_steps();
    net.stack.pack_forward(2);
    twice_at_once([&] {
        for (int i = 0; i < 10; i++)
            same_bits("y of a shared stack", net.forward(false, 2).y.numbers(), wanted.y.numbers());
    });
}

// Lends memory of several sizes, some of it at the same time; nobody else may touch it meanwhile.
void borrow_often(unsigned char mark) {
    for (int round = 0; round < 50; round++) {
        const Index sizes[] = {1, 4096 + 100 * round, Index(2) << 20, (Index(2) << 20) + 1};
        std::vector<unsigned char*> lent;
        for (const Index bytes : sizes) {
            unsigned char* memory = static_cast<unsigned char*>(borrow(bytes));
            if (reinterpret_cast<std::uintptr_t>(memory) % 64 != 0) fail("the workspace is not aligned");
            memory[0] = memory[bytes - 1] = mark;
            lent.push_back(memory);
        }
        for (std::size_t i = 0; i < lent.size(); i++)
            if (lent[i][0] != mark || lent[i][sizes[i] - 1] != mark) fail("the workspace lent memory twice");
        for (unsigned char* each : lent) give_back(each);
        passed++;
    }
}

#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__)
// Whether f succeeds in a child, which has a minute for it.
template <class F>
bool in_child(F f) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        f();
        _exit(0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
#endif

}  // namespace

void check_dispatch() {
    for (const std::string& name : available_isas())
        check(name_of(choose_isa(name)) == name, "an ISA has another name");
    check(name_of(choose_isa("")) == available_isas().back(), "the best ISA is not chosen");
    try {
        choose_isa("abacus");
    } catch (const std::invalid_argument& cause) {
        check(std::string(cause.what()).find("baseline") != std::string::npos, "the error does not say what there is");
        return;
    }
    fail("an unknown ISA is accepted");
}

void check_pool() {
    check(available_processors() >= 1, "no processors");
    run_rounds();
    twice_at_once(run_rounds);
}

void check_workspace() {
    borrow_often(1);
    std::thread first(borrow_often, 2), second(borrow_often, 3), third(borrow_often, 4);
    first.join();
    second.join();
    third.join();
    constexpr Index unlike_others = Index(9) << 20;
    void* memory = borrow(unlike_others);
    std::thread([=] { give_back(memory); }).join();
    check(borrow(unlike_others) == memory, "memory given back is not lent again");
    give_back(memory);
}

void check_two_callers(Isa isa) {
    const Data data = small_data();
    Network<float> net(data, isa);
    Network<double> exact(data, isa);
    const Outputs<float> out = net.forward(true);
    const Outputs<double> exact_out = exact.forward(true);
    const GradientsOf<float> gradients = net.backward(out);
    const GradientsOf<double> exact_gradients = exact.backward(exact_out);
    twice_at_once([&] { repeat<float>(data, isa, out, gradients, 10); });
    twice_at_once([&] { repeat<double>(data, isa, exact_out, exact_gradients, 5); });
    share_frozen<float>(data, isa, out);
    Shape few = data.shape;
    few.batch = 2;
    few.dropout = 0;
    const Data two(few, 78);
    share_frozen<float>(two, isa, Network<float>(two, isa).forward(true));
    Exact<float> sink(12);
    sink[0] = 0.5f, sink[1] = 0.25f;
    check(net.stack.kernels.peak(10, sink.get()) > 0, "no operations done");
}

#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__)
// A child has none of the pool's threads, nor has its own child; the parent goes on with those it has.
void check_fork(Isa isa) {
    const Data data = small_data();
    Network<float> net(data, isa);
    const Outputs<float> out = net.forward(true, 2);
    const GradientsOf<float> gradients = net.backward(out, 2);
    const auto work = [&] { repeat<float>(data, isa, out, gradients, 3); };
    for (int i = 0; i < 3; i++) {
        check(in_child([&] {
                  work();
                  if (!in_child(work)) _exit(1);
              }),
              "a child of a fork failed");
        work();
    }
    std::atomic<bool> stop{false};
    std::thread busy([&] {
        while (!stop) run_parallel(2, 8, [](int) {});
    });
    for (int i = 0; i < 5; i++) check(in_child(work), "a child of a fork in the middle of a call failed");
    stop = true;
    busy.join();
}
#else
void check_fork(Isa) {}
#endif

}  // namespace tests
}  // namespace gatecast

// Inside the simulated CUDA runtime: its objects, its one lock, and what the files of this folder offer each other.
#ifndef FS_TESTS_CUDA_SIM_CUDART_H
#define FS_TESTS_CUDA_SIM_CUDART_H

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <cuda_runtime_api.h>

#include "tests/cuda_sim/sim.h"

namespace sim {

using Lock = std::unique_lock<std::mutex>;

struct Allocation {
    sim_kind kind; // SIM_DEVICE_MEMORY, SIM_PINNED_MEMORY, SIM_REGISTERED_MEMORY
    unsigned char *data;
    size_t bytes;
    unsigned char *map; // what holds data: guard page, canary, data, canary, guard page
    size_t map_bytes;
    bool alive;
};
using AllocationRef = std::shared_ptr<Allocation>;

// One kernel, copy, memset or host function with everything it needs: what streams queue and graphs record.
struct Work {
    cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
    std::string name;
    // kernel
    const void *entry = nullptr;
    void (*library)(const void *) = nullptr; // sim_enqueue instead of entry
    unsigned grid[3] = {1, 1, 1}, block = 1, shared = 0;
    std::vector<unsigned char> params;
    bool early = false;   // may start before what is in front of it has ended
    unsigned cluster = 0; // blocks of a cluster, 0: none
    // copy and memset; rows of width bytes
    unsigned char *target = nullptr;
    const unsigned char *source = nullptr;
    size_t target_pitch = 0, source_pitch = 0, width = 0, height = 1;
    cudaMemcpyKind kind = cudaMemcpyDefault;
    int value = 0;
    std::vector<unsigned char> staged; // pageable source, copied at the call
    // host function
    cudaHostFn_t host = nullptr;
    void *user = nullptr;

    std::vector<AllocationRef> uses; // must be alive when it runs
};

// Work with the indices of what must precede it in the same operation.
struct Item {
    Work work;
    std::vector<size_t> after;
    bool enabled = true, done = false;
};

// One entry of a stream: a single item, the items of a graph, or none (event records and waits).
struct Operation {
    std::vector<Item> items;
    // A graph's items at its launch, copied when the first of them runs: a launch costs the caller little, as on a GPU.
    std::shared_ptr<const std::vector<Item>> launched;
    std::vector<std::shared_ptr<Operation>> after; // operations of other streams
    bool running = false, done = false;
    double finished = 0; // simulated ms

    const std::vector<Item> &known() const { return launched ? *launched : items; }
    std::vector<Item> &begun() {
        if (launched) items = *launched;
        launched.reset();
        return items;
    }
};
using OperationRef = std::shared_ptr<Operation>;

struct Graph;
struct Node {
    uintptr_t handle;
    Graph *graph;
    Work work;
    std::vector<Node *> after;
    void *argument = nullptr; // kernelParams[0] as given by cudaGraphKernelNodeGetParams
};
struct Graph {
    uintptr_t handle;
    std::vector<std::unique_ptr<Node>> nodes; // each after those it depends on
};
struct Exec {
    uintptr_t handle;
    std::vector<uintptr_t> nodes; // handles of the graph's nodes
    // Parallel to nodes; copied before a change when a launch shares it.
    std::shared_ptr<std::vector<Item>> items = std::make_shared<std::vector<Item>>();
    OperationRef last; // launches of one exec follow each other
};

struct Stream;
struct Capture {
    unsigned long long id;
    std::shared_ptr<Graph> graph;
    Stream *origin;
    std::thread::id thread;
    cudaStreamCaptureMode mode;
    bool invalid = false, ended = false;
};
using CaptureRef = std::shared_ptr<Capture>;

struct Stream {
    uintptr_t handle;
    unsigned flags = cudaStreamDefault;
    int priority = 0;
    bool alive = true, legacy = false;
    std::deque<OperationRef> queue;
    OperationRef last;
    CaptureRef capture;
    std::vector<Node *> tips;                  // what the next captured node depends on
    std::vector<cudaGraphNode_t> tips_handles; // as given out by cudaStreamGetCaptureInfo
    bool blocking() const { return !legacy && !(flags & cudaStreamNonBlocking); }
};

struct Event {
    uintptr_t handle;
    unsigned flags;
    OperationRef recorded;
    CaptureRef capture; // last recorded in this capture, after tips
    std::vector<Node *> tips;
};

// Objects by handle. Handles are numbers, never reused, so that a stale one is recognised.
template <class T> struct Table {
    std::map<uintptr_t, std::shared_ptr<T>> objects;
    T *find(const void *handle) const {
        auto found = objects.find(reinterpret_cast<uintptr_t>(handle));
        return found == objects.end() ? nullptr : found->second.get();
    }
};

struct State {
    State();
    std::mutex mutex;
    std::condition_variable progress; // an operation that ran without the lock has ended

    sim_device device;
    std::string device_name;
    Table<Stream> streams;
    Table<Event> events;
    Table<Graph> graphs;
    Table<Exec> execs;
    std::map<uintptr_t, Node *> nodes;
    Stream *legacy, *per_thread;
    std::vector<CaptureRef> captures;
    std::map<uintptr_t, AllocationRef> memory; // by first address
    std::deque<AllocationRef> freed;           // the latest ones, to recognise their use
    std::map<const void *, int> shared_limit;  // cudaFuncSetAttribute
    size_t device_bytes = 0, peak_bytes = 0;
    int memory_open = 0; // nesting of open_memory

    uintptr_t next_handle = 0x5100000000;
    unsigned long long next_capture = 1, random = 1;
    double clock = 0; // simulated ms
    std::map<const void *, double> durations;
    cudaError_t sticky = cudaSuccess;

    unsigned long calls = 0;
    std::map<std::string, unsigned long> calls_named;
    bool computes = true; // sim_compute
    unsigned long fail_in = 0, fail_work_in = 0;
    bool fail_sticky = false, fail_fired = false;
    cudaError_t fail_code = cudaSuccess, fail_work_code = cudaSuccess;
    unsigned long misuses = 0;
    std::vector<std::string> misuse;
};
State &state();

// ---- cudart.cpp: every runtime call passes here ----

enum Trait : unsigned {
    PLAIN = 0,
    UNSAFE = 1,     // may not be called during a capture, which it invalidates
    FREES = 2,      // does its work even when it returns an error of before
    NO_DEVICE = 4,  // works without a device
    ANY_THREAD = 8, // allowed in host functions
};
cudaError_t api(const char *function, unsigned traits, const std::function<cudaError_t(Lock &)> &body);
void misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned below(unsigned n); // seeded
uintptr_t new_handle();
template <class Handle> Handle to(uintptr_t handle) {
    return reinterpret_cast<Handle>(handle);
}
extern thread_local bool in_host_function;
extern thread_local cudaStreamCaptureMode thread_capture_mode;

// ---- cudart_memory.cpp ----

AllocationRef allocation_at(const void *pointer); // null: pageable host memory or nothing
void open_memory();                               // device memory is accessible until close_memory
void close_memory();
void find_uses(Work &work); // fills uses from the parameters of a kernel, from target and source
// Validates a copy or memset, and resolves cudaMemcpyDefault.
cudaError_t check_copy(const char *function, Work &work);

// ---- cudart_work.cpp ----

cudaError_t make_kernel(const char *function, const void *entry, dim3 grid, dim3 block, size_t shared, void **args,
                        Work &work);
void execute(Lock &lock, Work &work); // errors become sticky

// ---- cudart_stream.cpp ----

Stream *stream_of(const char *function, cudaStream_t handle); // null: misuse, reported
void enqueue(Stream &stream, const OperationRef &operation);
// Queues work, or records it where the stream is capturing.
cudaError_t submit(Stream &stream, Work work);
cudaError_t wait(Lock &lock, const OperationRef &operation); // null: nothing to wait for
cudaError_t wait_all(Lock &lock);
bool step(Lock &lock, const OperationRef &towards); // one item of any stream, or one that brings `towards` nearer

// ---- cudart_capture.cpp ----

bool capture_forbids_unsafe(); // for the calling thread; invalidates the captures in the way
void invalidate(Capture &capture, const char *why);
cudaError_t capturing(Stream &stream); // cudaSuccess, or why work cannot be captured now
// Use of, or (without effect) a question about, the legacy stream while a blocking stream captures.
cudaError_t implicit_capture(const Stream &stream, bool question = false);
void record(Stream &stream, Work work);

} // namespace sim

#endif
